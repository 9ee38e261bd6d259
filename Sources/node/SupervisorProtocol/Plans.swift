// The plans: everything that the supervisor is to do, decided by noded in values. Paths are bytes without a NUL.
// Each plan writes itself into fields and reads itself back; a test sends each one there and back.

/// What all containers of the pod share.
public struct SandboxPlan: Sendable {
    public var newNetwork = true
    public var newIPC = true
    public var newUTS = true
    /// One PID namespace for the pod, with a reaper as its PID 1.
    public var sharedPID = false
    public var hostPID = false
    public var hostname: [UInt8] = []
    /// File below /proc/sys and what to write there, alternating.
    public var sysctls: [[UInt8]] = []
    /// Where the pod's /dev/shm is mounted (a directory that exists); empty: the pod shares the machine's.
    public var sharedMemory: [UInt8] = []
    public var sharedMemorySize: UInt64 = 64 << 20
    /// Handed back, unread.
    public var record: [UInt8] = []

    public init() {}

    public var fields: FieldWriter {
        var writer = FieldWriter()
        writer.put(1, newNetwork)
        writer.put(2, newIPC)
        writer.put(3, newUTS)
        writer.put(4, sharedPID)
        writer.put(5, hostPID)
        writer.put(6, hostname)
        writer.put(7, list: sysctls)
        writer.put(8, sharedMemory)
        writer.put(9, sharedMemorySize)
        writer.put(10, record)
        return writer
    }

    public init?(_ bytes: [UInt8]) {
        var reader = FieldReader(bytes)
        while let field = reader.next() {
            switch field.tag {
            case 1: newNetwork = field.flag
            case 2: newIPC = field.flag
            case 3: newUTS = field.flag
            case 4: sharedPID = field.flag
            case 5: hostPID = field.flag
            case 6: hostname = field.bytes
            case 7: sysctls.append(field.bytes)
            case 8: sharedMemory = field.bytes
            case 9: sharedMemorySize = field.integer
            case 10: record = field.bytes
            default: break
            }
        }
        if reader.malformed || sysctls.count % 2 != 0 { return nil }
    }
}

/// One process: what it runs, as whom, with what rights.
public struct ProcessPlan: Sendable {
    public var arguments: [[UInt8]] = []
    /// `NAME=value` each.
    public var environment: [[UInt8]] = []
    public var workingDirectory: [UInt8] = []
    public var uid: UInt32 = 0
    public var gid: UInt32 = 0
    public var groups: [UInt32] = []
    /// Bit n is capability n: bounding, permitted and effective set. Inheritable and ambient are empty.
    public var capabilities: UInt64 = 0
    public var noNewPrivileges = false
    /// An array of struct sock_filter; empty is unconfined.
    public var seccomp: [UInt8] = []
    public var terminal = false
    /// Written to oom_score_adj; 10000 leaves it alone.
    public var oomScore: Int32 = ProcessPlan.inheritOOMScore
    public static let inheritOOMScore: Int32 = 10000

    public init() {}

    public var fields: FieldWriter {
        var writer = FieldWriter()
        writer.put(1, list: arguments)
        writer.put(2, list: environment)
        writer.put(3, workingDirectory)
        writer.put(4, UInt64(uid))
        writer.put(5, UInt64(gid))
        for group in groups { writer.put(6, UInt64(group)) }
        writer.put(7, capabilities)
        writer.put(8, noNewPrivileges)
        writer.put(9, seccomp)
        writer.put(10, terminal)
        writer.put(11, Int64(oomScore))
        return writer
    }

    public init?(_ bytes: [UInt8]) {
        var reader = FieldReader(bytes)
        while let field = reader.next() {
            switch field.tag {
            case 1: arguments.append(field.bytes)
            case 2: environment.append(field.bytes)
            case 3: workingDirectory = field.bytes
            case 4: uid = field.uint32
            case 5: gid = field.uint32
            case 6: groups.append(field.uint32)
            case 7: capabilities = field.integer
            case 8: noNewPrivileges = field.flag
            case 9: seccomp = field.bytes
            case 10: terminal = field.flag
            case 11: oomScore = field.int32
            default: break
            }
        }
        // 4294967295 means "unchanged" to setresuid: a user that is no user must not become root (CVE-2024-40635).
        if reader.malformed || arguments.isEmpty || uid == .max || gid == .max { return nil }
        if seccomp.count % 8 != 0 || groups.contains(.max) { return nil }
    }
}

public enum MountKind: UInt64, Sendable {
    /// A host path.
    case bind = 1
    /// A new instance of a file system.
    case fileSystem = 2
    /// A tmpfs for /dev, with the plan's device nodes in it.
    case devices = 3
    /// A new devpts instance; the terminal is opened through it.
    case terminals = 4
}

public enum WirePropagation: UInt64, Sendable {
    case `private` = 0
    case slave = 1
    case shared = 2
}

/// One mount of a container, in the order in which they are made.
public struct MountPlan: Sendable {
    public var kind = MountKind.bind
    /// Host path, or the file system's type.
    public var source: [UInt8] = []
    /// Below `source`; never leaves it.
    public var subPath: [UInt8] = []
    /// Path inside the root.
    public var destination: [UInt8] = []
    /// MOUNT_ATTR_* (mount_setattr(2)).
    public var attributes: UInt64 = 0
    /// Whether the mounts below `source` come along, and whether attributes hold for them, too.
    public var recursive = false
    public var recursiveAttributes = false
    /// The destination must be a real directory with no symbolic link on the way (/proc, /sys, /dev).
    public var strict = false
    public var propagation = WirePropagation.private
    /// Option and value, alternating; an empty value is a flag.
    public var options: [[UInt8]] = []

    public init() {}

    public static let readOnly: UInt64 = 1
    public static let noSetUID: UInt64 = 2
    public static let noDevices: UInt64 = 4
    public static let noExecute: UInt64 = 8

    public var fields: FieldWriter {
        var writer = FieldWriter()
        writer.put(1, kind.rawValue)
        writer.put(2, source)
        writer.put(3, subPath)
        writer.put(4, destination)
        writer.put(5, attributes)
        writer.put(6, recursive)
        writer.put(7, recursiveAttributes)
        writer.put(8, strict)
        writer.put(9, propagation.rawValue)
        writer.put(10, list: options)
        return writer
    }

    public init?(_ bytes: [UInt8]) {
        var reader = FieldReader(bytes)
        while let field = reader.next() {
            switch field.tag {
            case 1:
                guard let value = MountKind(rawValue: field.integer) else { return nil }
                kind = value
            case 2: source = field.bytes
            case 3: subPath = field.bytes
            case 4: destination = field.bytes
            case 5: attributes = field.integer
            case 6: recursive = field.flag
            case 7: recursiveAttributes = field.flag
            case 8: strict = field.flag
            case 9:
                guard let value = WirePropagation(rawValue: field.integer) else { return nil }
                propagation = value
            case 10: options.append(field.bytes)
            default: break
            }
        }
        if reader.malformed || options.count % 2 != 0 { return nil }
    }
}

/// A device node below /dev.
public struct DevicePlan: Sendable {
    /// Relative to /dev.
    public var path: [UInt8] = []
    /// st_mode with its type bits.
    public var mode: UInt32 = 0
    public var major: UInt32 = 0
    public var minor: UInt32 = 0
    public var uid: UInt32 = 0
    public var gid: UInt32 = 0

    public init() {}

    public var fields: FieldWriter {
        var writer = FieldWriter()
        writer.put(1, path)
        writer.put(2, UInt64(mode))
        writer.put(3, UInt64(major))
        writer.put(4, UInt64(minor))
        writer.put(5, UInt64(uid))
        writer.put(6, UInt64(gid))
        return writer
    }

    public init?(_ bytes: [UInt8]) {
        var reader = FieldReader(bytes)
        while let field = reader.next() {
            switch field.tag {
            case 1: path = field.bytes
            case 2: mode = field.uint32
            case 3: major = field.uint32
            case 4: minor = field.uint32
            case 5: uid = field.uint32
            case 6: gid = field.uint32
            default: break
            }
        }
        if reader.malformed || path.isEmpty { return nil }
    }
}

/// One container. With it comes one descriptor, its cgroup's directory, or none where there is no cgroup tree.
public struct ContainerPlan: Sendable {
    public var id: [UInt8] = []
    /// Overlay directories, lower ones top first.
    public var lower: [[UInt8]] = []
    public var upper: [UInt8] = []
    public var work: [UInt8] = []
    /// A host directory to hang the root into for the moment before pivot_root.
    public var rootMount: [UInt8] = []
    /// MOUNT_ATTR_* of the root, set before anything is mounted in it (no devices), and after (read only).
    public var rootAttributes: UInt64 = 0
    public var rootReadOnly = false
    public var mounts: [MountPlan] = []
    public var devices: [DevicePlan] = []
    public var masked: [[UInt8]] = []
    public var readOnlyPaths: [[UInt8]] = []
    public var process = ProcessPlan()
    public var log: [UInt8] = []
    public var logMaximumSize: UInt64 = 0
    public var logMaximumFiles: UInt64 = 1
    public var stdin = false
    public var stdinOnce = false
    /// The running container whose PID namespace it joins, where each has one of its own; empty for its own.
    public var processNamespace: [UInt8] = []
    /// Handed back, unread.
    public var record: [UInt8] = []

    public init() {}

    public var fields: FieldWriter {
        var writer = FieldWriter()
        writer.put(1, id)
        writer.put(2, list: lower)
        writer.put(3, upper)
        writer.put(4, work)
        writer.put(5, rootMount)
        writer.put(6, rootAttributes)
        writer.put(7, rootReadOnly)
        for mount in mounts { writer.put(8, group: mount.fields) }
        for device in devices { writer.put(9, group: device.fields) }
        writer.put(10, list: masked)
        writer.put(11, list: readOnlyPaths)
        writer.put(12, group: process.fields)
        writer.put(13, log)
        writer.put(14, logMaximumSize)
        writer.put(15, logMaximumFiles)
        writer.put(16, stdin)
        writer.put(17, stdinOnce)
        writer.put(18, record)
        writer.put(19, processNamespace)
        return writer
    }

    public init?(_ bytes: [UInt8]) {
        var reader = FieldReader(bytes)
        while let field = reader.next() {
            switch field.tag {
            case 1: id = field.bytes
            case 2: lower.append(field.bytes)
            case 3: upper = field.bytes
            case 4: work = field.bytes
            case 5: rootMount = field.bytes
            case 6: rootAttributes = field.integer
            case 7: rootReadOnly = field.flag
            case 8:
                guard let mount = MountPlan(field.bytes) else { return nil }
                mounts.append(mount)
            case 9:
                guard let device = DevicePlan(field.bytes) else { return nil }
                devices.append(device)
            case 10: masked.append(field.bytes)
            case 11: readOnlyPaths.append(field.bytes)
            case 12:
                guard let plan = ProcessPlan(field.bytes) else { return nil }
                process = plan
            case 13: log = field.bytes
            case 14: logMaximumSize = field.integer
            case 15: logMaximumFiles = field.integer
            case 16: stdin = field.flag
            case 17: stdinOnce = field.flag
            case 18: record = field.bytes
            case 19: processNamespace = field.bytes
            default: break
            }
        }
        if reader.malformed || id.isEmpty || lower.isEmpty || process.arguments.isEmpty { return nil }
    }
}

/// A further process in a running container. Three descriptors come with it (stdin, stdout, stderr), none with a
/// terminal. What is not said is taken from the container's own process.
public struct ExecPlan: Sendable {
    public var container: [UInt8] = []
    public var arguments: [[UInt8]] = []
    /// `NAME=value` each, put in front of the container's own (which then lose).
    public var environment: [[UInt8]] = []
    /// Empty: the container's.
    public var workingDirectory: [UInt8] = []
    public var hasUser = false
    public var uid: UInt32 = 0
    public var gid: UInt32 = 0
    public var groups: [UInt32] = []
    public var terminal = false

    public init() {}

    public var fields: FieldWriter {
        var writer = FieldWriter()
        writer.put(1, container)
        writer.put(2, list: arguments)
        writer.put(3, list: environment)
        writer.put(4, workingDirectory)
        writer.put(5, hasUser)
        writer.put(6, UInt64(uid))
        writer.put(7, UInt64(gid))
        for group in groups { writer.put(8, UInt64(group)) }
        writer.put(9, terminal)
        return writer
    }

    public init?(_ bytes: [UInt8]) {
        var reader = FieldReader(bytes)
        while let field = reader.next() {
            switch field.tag {
            case 1: container = field.bytes
            case 2: arguments.append(field.bytes)
            case 3: environment.append(field.bytes)
            case 4: workingDirectory = field.bytes
            case 5: hasUser = field.flag
            case 6: uid = field.uint32
            case 7: gid = field.uint32
            case 8: groups.append(field.uint32)
            case 9: terminal = field.flag
            default: break
            }
        }
        if reader.malformed || arguments.isEmpty || uid == .max || gid == .max || groups.contains(.max) { return nil }
    }
}
