// What the API server needs of nodes: logs of containers, commands run in them, their own streams, their ports.
//
// On one machine the kubelet is in the same process and this is a few calls; with several nodes it becomes a client of
// their https API. The API server validates pod, container and rights before it calls.

public import Client
public import Objects
public import System

/// Query of GET …/pods/NAME/log (core/v1 PodLogOptions).
public struct LogOptions: Sendable, Hashable {
    /// Never empty: the API server has resolved it.
    public var container: String
    public var follow = false
    /// The log of the container's previous instance.
    public var previous = false
    /// Only lines of the last so many seconds; at most one of `since…` is set.
    public var sinceSeconds: Int64?
    public var sinceTime: Timestamp?
    /// Each line begins with its RFC 3339 time.
    public var timestamps = false
    /// Lines from the end; nil for all.
    public var tailLines: Int64?
    /// Bytes after which to stop; nil for all.
    public var limitBytes: Int64?
    /// "All", "Stdout" or "Stderr".
    public var stream = "All"

    public init(container: String) { self.container = container }
}

/// Query of …/pods/NAME/exec and …/attach (core/v1 PodExecOptions, PodAttachOptions).
public struct ExecOptions: Sendable, Hashable {
    /// Never empty: the API server has resolved it.
    public var container: String
    /// Empty for attach.
    public var command: [String]
    public var stdin = false
    public var stdout = false
    public var stderr = false
    public var tty = false

    public init(container: String, command: [String]) {
        self.container = container
        self.command = command
    }
}

/// A command that runs in a container.
public protocol ExecStreams: Sendable {
    /// Waits until there is room. Throws when the command no longer reads.
    func writeStdin(_ bytes: [UInt8]) async throws
    func closeStdin() async
    /// Ends when the command has closed it. One consumer each.
    var stdout: AsyncStream<[UInt8]> { get }
    var stderr: AsyncStream<[UInt8]> { get }
    /// Size of the terminal in characters; ignored without one.
    func resize(columns: UInt16, rows: UInt16) async
    /// Waits for the end: the exit code (128 + signal for a killed command).
    func exit() async throws -> Int32
    /// The client has gone: the command is hung up.
    func cancel() async
}

/// A TCP connection to a port of a pod.
public protocol PodConnection: Sendable {
    /// The next bytes; nil at the end of the stream. Throws when the connection broke.
    func read() async throws -> [UInt8]?
    /// Waits until there is room.
    func write(_ bytes: [UInt8]) async throws
    /// Says that nothing more will be written.
    func finish() async
}

public protocol NodeBackend: Sendable {
    /// Chunks of log text, in order, until its end (or for ever with `follow`, until the container ends).
    func logs(
        pod: ObjectKey, node: String, options: LogOptions
    ) async throws(APIStatus) -> AsyncThrowingStream<[UInt8], any Error>

    func exec(pod: ObjectKey, options: ExecOptions) async throws(APIStatus) -> any ExecStreams

    /// Joins the streams of a container's own process.
    func attach(pod: ObjectKey, options: ExecOptions) async throws(APIStatus) -> any ExecStreams

    /// Connects to a port of the pod's loopback, from inside its network namespace.
    func connect(pod: ObjectKey, port: Int) async throws(APIStatus) -> any PodConnection

    /// Returns when the pod has no network (any more), or when the task is cancelled.
    func untilGone(pod: ObjectKey) async

    /// A page of the node's own, such as /healthz; nil when there is none at that path (decoded, without a query).
    func page(node: String, path: String) async throws(APIStatus) -> NodePage?
}
