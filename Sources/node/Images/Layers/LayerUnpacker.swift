// Makes one layer's tree out of its tar stream, by the rules of the OCI image layer specification, in a form that is an
// overlay lower directory as it stands: no temporary mounts, and layers are unpacked independently of each other.
//
// A layer is hostile until proven otherwise (CVE-2025-47290, CVE-2021-32760). Names are resolved by the kernel inside
// the layer's root (RootedDirectory), one folder descriptor and one plain name at a time, so that neither "..", nor
// absolute names and links, nor links swapped in by later entries lead out. Beyond that:
//
//     ".." in a name          refused, nothing honest writes it
//     hard links              only to what this layer has made
//     .wh.NAME                character device 0:0; hides NAME of the layers below, never what this layer itself brings
//     .wh..wh..opq            trusted.overlay.opaque on the folder; other .wh..wh. names are aufs' own and left out
//     devices                 null, zero, full, random, urandom and tty are made; others are left out and reported:
//                             they would be doors to the host's disks, and the runtime provides /dev
//     extended attributes     security.capability and user.* are kept; trusted., system., overlay's own and other
//                             security. names mean something to the host or its policy and are dropped
//     owners                  kept, 0 to 4294967294; setuid and setgid bits and times are kept
//     the same name twice     the later entry counts, two directories are one
//
// Folders that no entry describes are root's, 0755, as docker and podman make them.

import Kernel
import System

struct UnpackedLayer: Sendable {
    /// The root carries the opaque mark.
    var hidesLower = false
    /// Devices that were left out, for the log (the first 20).
    var leftOut: [String] = []
}

final class LayerUnpacker {
    private static let whiteout = ".wh."
    private static let opaque = ".wh..wh..opq"
    private static let aufs = ".wh..wh."

    /// The folder that holds the root, and the root's name in it.
    private let parent: RootedDirectory
    private let rootName: String
    private let root: RootedDirectory
    private let quota: ImportQuota
    private var result = UnpackedLayer()
    /// Entries of one folder come together.
    private var folder: (path: String, directory: RootedDirectory)?
    /// Set when everything in them is made, the deepest last.
    private var directoryTimes: [(path: String, time: Timestamp)] = []

    /// Makes `rootName` in `parent`.
    init(in parent: RootedDirectory, rootName: String, quota: ImportQuota) throws {
        self.parent = parent
        self.rootName = rootName
        self.quota = quota
        try parent.makeDirectory(rootName, mode: 0o755)
        try parent.setMode(rootName, 0o755)
        root = try parent.subdirectory(rootName)
    }

    func unpack(_ tar: TarReader) throws -> UnpackedLayer {
        while let entry = try tar.next() {
            try quota.takeEntry()
            do {
                try make(entry, tar)
            } catch let error as SystemError {
                // What is the machine's fault is not blamed on the archive.
                if [.ENOSPC, .EIO, .EROFS, .ENOMEM, .EMFILE].contains(error.errno) { throw error }
                throw ArchiveFault.impossible(entry: entry.name, error)
            }
        }
        for (path, time) in directoryTimes.reversed() {
            // A later entry may have put something else in its place.
            guard let now = try? root.attributes(path), now.kind == .directory else { continue }
            try root.setModified(path, time)
        }
        return result
    }

    // MARK: Entries

    private func make(_ entry: TarEntry, _ tar: TarReader) throws {
        let components = try Self.components(entry.name)
        guard let last = components.last else { return try makeRoot(entry) }
        let above = components.dropLast().joined(separator: "/")
        if last.hasPrefix(Self.aufs) {
            return last == Self.opaque ? try makeOpaque(above) : ()
        }
        let folder = try self.folder(above)
        if last.hasPrefix(Self.whiteout) {
            return try makeWhiteout(String(last.dropFirst(Self.whiteout.count)), in: folder, entry)
        }
        let path = components.joined(separator: "/")
        switch entry.kind {
        case .file:
            let file = try replacing(last, in: folder) { (name) throws(SystemError) in
                try folder.createFile(name, mode: 0o600)
            }
            try tar.readContent { piece in
                var rest = piece
                while !rest.isEmpty { rest = UnsafeRawBufferPointer(rebasing: rest[try file.write(rest)...]) }
            }
        case .directory: try makeDirectory(last, in: folder)
        case .symlink:
            try replacing(last, in: folder) { (name) throws(SystemError) in
                try folder.makeSymlink(name, to: entry.target)
            }
        case .hardLink:
            let target = try Self.components(entry.target).joined(separator: "/")
            guard root.exists(target) else {
                throw ArchiveFault.unsafe(
                    entry: entry.name,
                    why: "a hard link to \(ArchiveFault.quote(entry.target)), which this layer has not made")
            }
            // The other name has the attributes already.
            return try replacing(path, in: root) { (name) throws(SystemError) in
                try root.makeHardLink(name, to: target)
            }
        case .characterDevice, .blockDevice:
            guard Self.isHarmless(entry) else { return leaveOut(entry) }
            try replacing(last, in: folder) { (name) throws(SystemError) in
                try folder.makeNode(name, mode: 0o020600, major: entry.deviceMajor, minor: entry.deviceMinor)
            }
        case .fifo:
            try replacing(last, in: folder) { (name) throws(SystemError) in
                try folder.makeNode(name, mode: 0o010600, major: 0, minor: 0)
            }
        }
        try dress(last, in: folder, entry)
        if entry.kind == .directory {
            directoryTimes.append((path, entry.modified))
        } else {
            try folder.setModified(last, entry.modified)
        }
    }

    private func makeRoot(_ entry: TarEntry) throws {
        guard entry.kind == .directory else {
            throw ArchiveFault.unsafe(entry: entry.name, why: "the root of an image is a directory")
        }
        try dress(rootName, in: parent, entry)
        try parent.setModified(rootName, entry.modified)
    }

    /// Owner, attributes, mode: in this order, since a change of the owner clears capabilities and setuid bits.
    private func dress(_ name: String, in folder: RootedDirectory, _ entry: TarEntry) throws {
        try folder.setOwner(name, uid: entry.uid, gid: entry.gid)
        guard entry.kind != .symlink else { return }
        if entry.kind == .file || entry.kind == .directory {
            for attribute in entry.attributes { try setAttribute(attribute.name, attribute.value, name, folder) }
        }
        try folder.setMode(name, entry.mode)
    }

    private func setAttribute(_ attribute: String, _ value: [UInt8], _ name: String, _ folder: RootedDirectory) throws {
        guard Self.isKept(attribute) else { return }
        do throws(SystemError) {
            try folder.setExtendedAttribute(name, attribute, value)
        } catch {
            // A file system without user attributes: programs are prepared for that.
            if error.errno == .EOPNOTSUPP, attribute.hasPrefix("user.") { return }
            throw error
        }
    }

    private func makeDirectory(_ name: String, in folder: RootedDirectory) throws {
        do throws(SystemError) {
            return try folder.makeDirectory(name, mode: 0o700)
        } catch  where error.errno == .EEXIST {}
        let present = try folder.attributes(name)
        if present.kind == .directory { return }
        try remove(name, in: folder)
        try folder.makeDirectory(name, mode: 0o700)
        if Self.isWhiteout(present) { try markOpaque(name, in: folder) }
    }

    /// Makes a name, and when it is taken removes what has it first.
    private func replacing<R: ~Copyable>(
        _ name: String, in folder: RootedDirectory, _ make: (String) throws(SystemError) -> R
    ) throws(SystemError) -> R {
        do throws(SystemError) {
            return try make(name)
        } catch  where error.errno == .EEXIST {
            try remove(name, in: folder)
            return try make(name)
        }
    }

    private func remove(_ name: String, in folder: RootedDirectory) throws(SystemError) {
        try folder.removeTree(name)
        // It may have been the folder at hand, or above it.
        self.folder = nil
    }

    /// The folder of that path inside the root, made when it is missing.
    private func folder(_ path: String) throws(SystemError) -> RootedDirectory {
        if path.isEmpty { return root }
        if let folder, folder.path == path { return folder.directory }
        let directory = RootedDirectory(try root.makeDirectories(path, mode: 0o755), path: path)
        folder = (path, directory)
        return directory
    }

    // MARK: Whiteouts

    private func makeWhiteout(_ name: String, in folder: RootedDirectory, _ entry: TarEntry) throws {
        guard !name.isEmpty, name != ".", name != ".." else {
            throw ArchiveFault.unsafe(entry: entry.name, why: "a whiteout of no name")
        }
        guard let present = try? folder.attributes(name) else {
            return try folder.makeNode(name, mode: 0o020000, major: 0, minor: 0)
        }
        if present.kind == .directory { try markOpaque(name, in: folder) }
    }

    private func makeOpaque(_ path: String) throws {
        if path.isEmpty {
            result.hidesLower = true
            return
        }
        try root.makeDirectories(path, mode: 0o755)
        guard try root.attributes(path).kind == .directory else {
            throw ArchiveFault.unsafe(entry: "\(path)/\(Self.opaque)", why: "its folder is a link")
        }
        try markOpaque(path, in: root)
    }

    private func markOpaque(_ name: String, in folder: RootedDirectory) throws(SystemError) {
        try folder.setExtendedAttribute(name, "trusted.overlay.opaque", [UInt8(ascii: "y")])
    }

    private static func isWhiteout(_ present: RootedDirectory.Attributes) -> Bool {
        // Only whiteouts of ours have this number: it is not among the harmless devices.
        present.kind == .characterDevice && present.deviceMajor == 0 && present.deviceMinor == 0
    }

    // MARK: Policy

    /// A name's parts; "/" at the start and "." mean nothing.
    private static func components(_ name: String) throws -> [String] {
        let parts = name.split(separator: "/").filter { $0 != "." }.map(String.init)
        if parts.contains("..") { throw ArchiveFault.unsafe(entry: name, why: "the name climbs with \"..\"") }
        return parts
    }

    private static func isHarmless(_ entry: TarEntry) -> Bool {
        guard entry.kind == .characterDevice else { return false }
        switch (entry.deviceMajor, entry.deviceMinor) {
        case (1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0): return true
        default: return false
        }
    }

    private func leaveOut(_ entry: TarEntry) {
        if result.leftOut.count < 20 {
            result.leftOut.append("\(ArchiveFault.quote(entry.name)) \(entry.deviceMajor):\(entry.deviceMinor)")
        }
    }

    private static func isKept(_ attribute: String) -> Bool {
        attribute == "security.capability" || attribute.hasPrefix("user.") && !attribute.hasPrefix("user.overlay.")
    }
}
