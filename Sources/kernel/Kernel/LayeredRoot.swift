// Directories on top of each other, looked into as an overlay mount of them would show them (overlayfs.rst of the kernel's
// documentation), without one: for the few files of an image that noded itself reads (passwd, group). Names are looked
// up one by one, through all layers:
//
//     nothing                 the next layer decides
//     a folder                merged with those of the layers below, unless it is opaque
//     character device 0:0    a whiteout: the layers below have nothing to say
//     anything else           is the name, and ends a folder's merging when it lies below one
//
// Links are followed in the merged tree, since their targets may lie in other layers, and never out of it. Whatever
// cannot be looked at fails: a lower layer never answers for an upper one that could not be asked.

public import System

public struct LayeredRoot: Sendable {
    /// As many as the kernel follows.
    private static let links = 40
    private static let isOpaque = "trusted.overlay.opaque"

    /// One folder of the merged tree: where it lies in the layers, top first. Empty never.
    private typealias Merged = [RootedDirectory]

    private enum Found {
        case folder(Merged)
        case link(String)
        /// In this directory, under the name that was looked up.
        case other(RootedDirectory)
    }

    private let root: Merged

    /// - Parameter layers: top first, as an overlay's lower directories. All must exist.
    public init(_ layers: [String]) throws(SystemError) {
        var root: Merged = []
        for layer in layers { root.append(try RootedDirectory(layer)) }
        self.root = root
    }

    /// The content of a regular file, of at most `limit` bytes (else EFBIG); nil when there is no such name. EINVAL when it
    /// is no file, ENOTDIR when something on the way is no folder, ELOOP for too many links.
    public func read(_ path: String, limit: Int = 1 << 20) throws(SystemError) -> [UInt8]? {
        var way: [Merged] = []
        var rest = Self.names(path)
        var links = 0
        while let name = rest.popLast() {
            if name == ".." {
                _ = way.popLast()
                continue
            }
            guard let found = try find(name, in: way.last ?? root) else { return nil }
            switch found {
            case .folder(let folder): way.append(folder)
            case .link(let target):
                links += 1
                guard links <= Self.links else { throw SystemError("follow links", path, .ELOOP) }
                if target.hasPrefix("/") { way = [] }
                rest += Self.names(target)
            case .other(let folder):
                guard rest.isEmpty else { throw SystemError("open", path, .ENOTDIR) }
                return try folder.read(name, limit: limit)
            }
        }
        throw SystemError("read a folder", path, .EINVAL)
    }

    /// The last name first.
    private static func names(_ path: String) -> [String] {
        path.split(separator: "/").filter { $0 != "." }.reversed().map(String.init)
    }

    private func find(_ name: String, in merged: Merged) throws(SystemError) -> Found? {
        var folders: Merged = []
        for layer in merged {
            let attributes: RootedDirectory.Attributes
            do throws(SystemError) {
                attributes = try layer.attributes(name)
            } catch {
                if error.errno == .ENOENT { continue }
                throw error
            }
            switch attributes.kind {
            case .directory:
                folders.append(try layer.subdirectory(name))
                if try layer.extendedAttribute(name, Self.isOpaque) == [UInt8(ascii: "y")] { return .folder(folders) }
                continue
            case .characterDevice where attributes.deviceMajor == 0 && attributes.deviceMinor == 0: break
            case .symlink where folders.isEmpty: return .link(try layer.symlinkTarget(name))
            default: if folders.isEmpty { return .other(layer) }
            }
            break
        }
        return folders.isEmpty ? nil : .folder(folders)
    }
}
