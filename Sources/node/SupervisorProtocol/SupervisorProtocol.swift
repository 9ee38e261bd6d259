// What noded asks and the supervisor answers. Requests carry an id that the answer repeats; events carry 0.
//
//     noded                                     supervisor
//       hello                            ->       sandbox (its version, pid, containers); from now on events, too
//       createSandbox plan               ->       sandbox | failed
//       startContainer plan [cgroup fd]  ->       started pid | failed step errno target
//       exec plan [stdin stdout stderr]  ->       execStarted [terminal fd] | failed; later execExited, the same id
//       attach id [stdout stderr]        ->       attached [stdin fd], which number 1 does without
//       cancelStart                      ->   container (as it was found) | failed
//       signal, kill, remove, reopenLog, cancelExec, shutdown   ->   done | failed
//                                        <-       exited (event: a container ended)

public enum MessageKind: UInt16, Sendable {
    case hello = 1
    case createSandbox = 2
    case startContainer = 3
    case signal = 4
    /// Kills every process of the container.
    case kill = 5
    /// Forgets an ended container.
    case remove = 6
    case exec = 7
    case attach = 8
    case reopenLog = 9
    /// Kills the command of an exec that this connection started (field `number` = the exec's id).
    case cancelExec = 10
    /// Kills everything, then ends itself.
    case shutdown = 11
    /// Kills a container whose program does not run yet, and leaves every other alone.
    case cancelStart = 12

    case failed = 100
    case done = 101
    case sandbox = 102
    case started = 103
    case execStarted = 104
    case attached = 105
    /// A `ContainerReport`.
    case container = 106

    case exited = 200
    case execExited = 201
}

/// Sessions that may be attached to a container at once: each costs two descriptors of the supervisor, which every
/// container of the pod needs.
public let mostAttachedSessions = 64

/// Tags of small messages' fields.
public enum Tag {
    public static let id: UInt16 = 1
    public static let number: UInt16 = 2
    public static let step: UInt16 = 3
    public static let errno: UInt16 = 4
    public static let target: UInt16 = 5
    public static let pid: UInt16 = 6
    public static let version: UInt16 = 7
    public static let createdAt: UInt16 = 8
    public static let record: UInt16 = 9
    public static let container: UInt16 = 10
    public static let startedAt: UInt16 = 11
    public static let finishedAt: UInt16 = 12
    public static let code: UInt16 = 13
    public static let signal: UInt16 = 14
    public static let state: UInt16 = 15
    public static let note: UInt16 = 16
}

/// What was being done when something failed. The raw value travels; the words are noded's.
public enum Step: UInt16, Sendable {
    case none = 0
    case protocolError, noContainer, notRunning, duplicate
    case unshareNetwork = 10, unshareIPC, unshareUTS, unsharePID, reaper, loopback, hostname, sysctl, sharedMemory
    case openLog = 30, pipe, clone, execCgroup, sessions
    case oomScore = 40, bindSource, subPath, propagation, overlay, pivot, mountpoint, fileSystem, move, attributes
    case device, terminal, maskedPath, readOnlyPath, readOnlyRoot, cgroupNamespace
    case joinNamespaces = 70, standardStreams, workingDirectory, workingDirectoryOutside, bounding, groups, gid, uid
    case capabilities, noNewPrivileges, seccomp, parentDeath, closeDescriptors, execute
}

/// Container states on the wire.
public enum WireState: UInt64, Sendable {
    case starting = 0
    case running = 1
    case exited = 2
}

/// The answer `failed`.
public struct Failure: Error {
    public var step: Step
    public var errno: Int32
    public var target: [UInt8]

    public init(_ step: Step, _ errno: Int32, _ target: [UInt8] = []) {
        self.step = step
        self.errno = errno
        self.target = target
    }

    public var fields: FieldWriter {
        var writer = FieldWriter()
        writer.put(Tag.step, UInt64(step.rawValue))
        writer.put(Tag.errno, Int64(errno))
        writer.put(Tag.target, target)
        return writer
    }

    public init(_ fields: [UInt8]) {
        self.init(.protocolError, 0)
        var reader = FieldReader(fields)
        while let field = reader.next() {
            switch field.tag {
            case Tag.step: step = Step(rawValue: UInt16(clamping: field.integer)) ?? .protocolError
            case Tag.errno: errno = field.int32
            case Tag.target: target = field.bytes
            default: break
            }
        }
    }
}

/// A container as the supervisor knows it, the answer `container`, and the event `exited`.
public struct ContainerReport: Sendable {
    public var id: [UInt8] = []
    public var state = WireState.starting
    public var pid: Int32 = 0
    /// Nanoseconds since 1970; 0 when it has not happened.
    public var startedAt: Int64 = 0
    public var finishedAt: Int64 = 0
    /// Exit code, 0 to 255, and the signal that ended it (else 0).
    public var code: Int32 = 0
    public var signal: Int32 = 0
    /// noded's own words about the container, unread by the supervisor.
    public var record: [UInt8] = []

    public init() {}

    public var fields: FieldWriter {
        var writer = FieldWriter()
        writer.put(Tag.id, id)
        writer.put(Tag.state, state.rawValue)
        writer.put(Tag.pid, Int64(pid))
        writer.put(Tag.startedAt, startedAt)
        writer.put(Tag.finishedAt, finishedAt)
        writer.put(Tag.code, Int64(code))
        writer.put(Tag.signal, Int64(signal))
        writer.put(Tag.record, record)
        return writer
    }

    public init(_ fields: [UInt8]) {
        var reader = FieldReader(fields)
        while let field = reader.next() {
            switch field.tag {
            case Tag.id: id = field.bytes
            case Tag.state: state = WireState(rawValue: field.integer) ?? .exited
            case Tag.pid: pid = field.int32
            case Tag.startedAt: startedAt = field.signed
            case Tag.finishedAt: finishedAt = field.signed
            case Tag.code: code = field.int32
            case Tag.signal: signal = field.int32
            case Tag.record: record = field.bytes
            default: break
            }
        }
    }
}

/// The answer `sandbox`.
public struct SandboxReport: Sendable {
    public var version: UInt64 = 0
    public var pid: Int32 = 0
    /// Nanoseconds since 1970; 0 before createSandbox.
    public var createdAt: Int64 = 0
    public var record: [UInt8] = []
    public var containers: [ContainerReport] = []

    public init() {}

    public var fields: FieldWriter {
        var writer = FieldWriter()
        writer.put(Tag.version, version)
        writer.put(Tag.pid, Int64(pid))
        writer.put(Tag.createdAt, createdAt)
        writer.put(Tag.record, record)
        for container in containers { writer.put(Tag.container, group: container.fields) }
        return writer
    }

    public init?(_ fields: [UInt8]) {
        var reader = FieldReader(fields)
        while let field = reader.next() {
            switch field.tag {
            case Tag.version: version = field.integer
            case Tag.pid: pid = field.int32
            case Tag.createdAt: createdAt = field.signed
            case Tag.record: record = field.bytes
            case Tag.container: containers.append(ContainerReport(field.bytes))
            default: break
            }
        }
        if reader.malformed { return nil }
    }
}
