// Mounts by descriptor (fsopen(2), open_tree(2), move_mount(2), mount_setattr(2)): a mount is made and dressed before it
// is attached, and attached to a descriptor that was resolved inside a root, so that no path can be swapped in between
// (CVE-2021-30465, CVE-2025-31133).
//
// A file system's own words about a refused option are read from its context and put into the error.

internal import CKernel
internal import Glibc
public import System

/// What a mount allows (mount_setattr(2)).
public struct MountAttributes: OptionSet, Sendable, Hashable {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    public static let readOnly = MountAttributes(rawValue: 0x1)
    public static let noSetUID = MountAttributes(rawValue: 0x2)
    public static let noDevices = MountAttributes(rawValue: 0x4)
    public static let noExecute = MountAttributes(rawValue: 0x8)
    public static let noAccessTimes = MountAttributes(rawValue: 0x10)
    public static let noSymlinkFollow = MountAttributes(rawValue: 0x20_0000)
}

/// How mounts below propagate between namespaces (mount_namespaces(7)).
public enum MountPropagation: UInt64, Sendable {
    case unchanged = 0
    case unbindable = 0x2_0000  // MS_UNBINDABLE
    case `private` = 0x4_0000  // MS_PRIVATE
    case slave = 0x8_0000  // MS_SLAVE
    case shared = 0x10_0000  // MS_SHARED
}

/// A file system that refused: what, with which option, and the kernel's explanation.
public struct MountError: Error, CustomStringConvertible, Sendable {
    public let failure: SystemError
    /// Lines the file system wrote about it, for example `overlay: No changes allowed in reconfigure`.
    public let explanation: [String]

    public var description: String {
        explanation.isEmpty ? failure.description : "\(failure) (\(explanation.joined(separator: "; ")))"
    }
}

public enum Mounts {
    /// A detached new mount of a file system: `create("tmpfs", ["size": "65536k", "mode": "755"])`.
    /// - Parameter options: in this order; a nil value is a flag (`("ro", nil)`).
    public static func create(
        _ fileSystem: String, _ options: [(key: String, value: String?)] = [], attributes: MountAttributes = []
    ) throws -> FileDescriptor {
        let context = FileDescriptor(owning: try systemCall("fsopen", fileSystem) { kernel_fsopen(fileSystem) })
        do throws(SystemError) {
            for (key, value) in options {
                try systemCall("fsconfig \(key)", "\(fileSystem) \(value ?? "")") {
                    if let value {
                        kernel_fsconfig_string(context.raw, key, value)
                    } else {
                        kernel_fsconfig_flag(context.raw, key)
                    }
                }
            }
            try systemCall("fsconfig create", fileSystem) { kernel_fsconfig_create(context.raw) }
            return FileDescriptor(
                owning: try systemCall("fsmount", fileSystem) {
                    kernel_fsmount(context.raw, UInt32(attributes.rawValue))
                })
        } catch {
            throw MountError(failure: error, explanation: messages(context))
        }
    }

    /// A detached overlay (layers read-only when `upper` is nil). `layers` are ordered top first. Directories are named
    /// one option each where the kernel can (6.7), so that no page limit applies. A comma in a path fails before 6.5.
    public static func createOverlay(
        layers: [String], upper: String?, work: String?, attributes: MountAttributes = []
    ) throws -> FileDescriptor {
        var options: [(key: String, value: String?)] = [("source", "overlay")]
        options += layers.map { ("lowerdir+", $0) }
        if let upper, let work { options += [("upperdir", upper), ("workdir", work)] }
        do {
            return try create("overlay", options, attributes: attributes)
        } catch let error as MountError where error.failure.errno == .EINVAL {
            // Linux before 6.7 does not know lowerdir+, and before 6.5 collects options blindly and refuses at the end.
            // A real mistake fails again below.
            options.removeAll { $0.key == "lowerdir+" }
            let escaped = layers.map { $0.replacing("\\", with: "\\\\").replacing(":", with: "\\:") }
            options.insert(("lowerdir", escaped.joined(separator: ":")), at: 1)
            return try create("overlay", options, attributes: attributes)
        }
    }

    /// A detached copy of what is mounted at a path (a bind mount that is nowhere yet).
    /// - Parameters:
    ///   - directory: where `path` starts; the current directory without.
    ///   - recursive: with the mounts below.
    public static func clone(
        _ path: String, in directory: borrowing FileDescriptor, recursive: Bool = false
    ) throws(SystemError) -> FileDescriptor {
        try clone(path, at: directory.raw, recursive)
    }

    public static func clone(_ path: String, recursive: Bool = false) throws(SystemError) -> FileDescriptor {
        try clone(path, at: AT_FDCWD, recursive)
    }

    private static func clone(_ path: String, at directory: Int32, _ recursive: Bool) throws(SystemError)
        -> FileDescriptor
    {
        // OPEN_TREE_CLONE | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_RECURSIVE
        let flags: UInt32 = 0x1 | 0x100 | (path.isEmpty ? 0x1000 : 0) | (recursive ? 0x8000 : 0)
        return FileDescriptor(owning: try systemCall("open_tree", path) { kernel_open_tree(directory, path, flags) })
    }

    /// Attaches a detached mount on top of an opened place (O_PATH is enough).
    public static func attach(_ mount: borrowing FileDescriptor, to place: borrowing FileDescriptor) throws(SystemError)
    {
        let (from, to) = (mount.raw, place.raw)
        try systemCall("move_mount", "fd \(to)") { kernel_move_mount(from, to, "") }
    }

    public static func attach(_ mount: borrowing FileDescriptor, to path: String) throws(SystemError) {
        let from = mount.raw
        try systemCall("move_mount", path) { kernel_move_mount(from, AT_FDCWD, path) }
    }

    /// Changes the attributes of a mount; `fd` is the mount itself or its root.
    public static func setAttributes(
        _ fd: Int32, set: MountAttributes = [], clear: MountAttributes = [], propagation: MountPropagation = .unchanged,
        recursive: Bool = false
    ) throws(SystemError) {
        try systemCall("mount_setattr", "fd \(fd)") {
            kernel_mount_setattr(fd, "", recursive ? 1 : 0, set.rawValue, clear.rawValue, propagation.rawValue, -1)
        }
    }

    /// Unmounts what is on top of the path, which is not followed when it is a link.
    /// - Parameter detach: also when in use; it vanishes from the tree now and is freed with its last user.
    /// - Returns: false when nothing was mounted there.
    @discardableResult
    public static func unmount(_ path: String, detach: Bool = true) throws(SystemError) -> Bool {
        do throws(SystemError) {
            try systemCall("umount2", path) { kernel_umount(path, detach ? 1 : 0) }
            return true
        } catch  where error.errno == .EINVAL || error.errno == .ENOENT {
            return false
        }
    }

    /// Unmounts everything at and below the path, the newest first. Twice does nothing.
    public static func unmountAll(below path: String) throws(SystemError) {
        let root = path.hasSuffix("/") ? String(path.dropLast()) : path
        for mount in try MountTable.read().reversed() where mount.point == root || mount.point.hasPrefix(root + "/") {
            try unmount(mount.point)
        }
    }

    /// The context's messages: one per read, "e " before an error, "w " and "i " before others.
    private static func messages(_ context: borrowing FileDescriptor) -> [String] {
        var lines: [String] = []
        while let bytes = try? context.read(upTo: 4096), !bytes.isEmpty, lines.count < 16 {
            let line = String(decoding: bytes, as: UTF8.self)
            lines.append(String(line.dropFirst(2)).trimmingNewline)
        }
        return lines
    }
}

extension String {
    fileprivate var trimmingNewline: String { hasSuffix("\n") ? String(dropLast()) : self }
}
