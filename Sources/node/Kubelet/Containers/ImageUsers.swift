// "user[:group]" of an image or a manifest -> numbers, through the image's own /etc/passwd and /etc/group, as its
// containers see them. An image may be without; files that are there and cannot be read are an error, because what they
// would have said decides about rights.

import Containers
import Kernel
import System

struct ImageUsers {
    /// Overlay lower directories, top first.
    let layers: [String]

    /// "" is root. Numbers need no entry; names do. The user's supplementary groups are those that list it.
    func resolve(_ text: String) throws -> ContainerUser {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let name = parts.first ?? ""
        let root = try LayeredRoot(layers)
        let passwd = try lines("etc/passwd", root)
        let group = try lines("etc/group", root)
        var user = ContainerUser()
        var login: String?
        if let number = try number(name) {
            user.uid = number
            if let entry = passwd.first(where: { $0.count > 3 && $0[2] == name }) {
                login = entry[0]
                user.gid = try self.group(entry[3], of: entry[0])
            }
        } else if !name.isEmpty {
            guard let entry = passwd.first(where: { $0.count > 3 && $0[0] == name }), let uid = try number(entry[2])
            else {
                throw KubeletError.notFound("unable to find user \(name): no matching entries in passwd file")
            }
            login = name
            user.uid = uid
            user.gid = try self.group(entry[3], of: name)
        } else if let entry = passwd.first(where: { $0.count > 3 && $0[2] == "0" }) {
            login = entry[0]
            user.gid = try self.group(entry[3], of: entry[0])
        }
        if parts.count > 1, !parts[1].isEmpty {
            if let number = try number(parts[1]) {
                user.gid = number
            } else {
                guard let entry = group.first(where: { $0.count > 2 && $0[0] == parts[1] }),
                    let gid = try number(entry[2])
                else {
                    throw KubeletError.notFound("unable to find group \(parts[1]): no matching entries in group file")
                }
                user.gid = gid
            }
        }
        if let login {
            for entry in group where entry.count > 3 && entry[3].split(separator: ",").contains(where: { $0 == login })
            {
                guard let gid = try number(entry[2]), gid != user.gid else { continue }
                user.supplementalGroups.append(gid)
            }
        }
        return user
    }

    /// A passwd entry's group. What is no group must not become group 0 (CVE-2024-40635).
    private func group(_ text: String, of user: String) throws -> UInt32 {
        guard let number = try number(text) else {
            throw KubeletError.badRequest("group \"\(text)\" of user \(user) in the image's passwd file is no number")
        }
        return number
    }

    private func number(_ text: String) throws -> UInt32? {
        guard !text.isEmpty, text.utf8.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }) else { return nil }
        guard let number = UInt32(text), number < UInt32.max else {
            throw KubeletError.badRequest("user or group id \(text) is out of range")
        }
        return number
    }

    private func lines(_ path: String, _ root: LayeredRoot) throws -> [[String]] {
        String(decoding: try root.read(path) ?? [], as: UTF8.self).split(separator: "\n").map { line in
            line.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        }
    }
}
