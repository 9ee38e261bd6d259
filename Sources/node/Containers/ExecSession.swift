// A running command in a container, or an attachment to one: two output streams, an input, an exit code. Output is
// pulled: what the reader does not take stays in the kernel's pipe and stops the writer, so that no buffer grows.

/// One exec or attach session. Dropping it without `cancel` leaves the command running until its streams break.
public final class ExecSession: Sendable {
    /// Pieces of at most 32 KiB; ends when the other side closes. With a terminal everything is on stdout.
    public let stdout: AsyncStream<[UInt8]>
    public let stderr: AsyncStream<[UInt8]>
    private let actions: Actions

    /// What a session does, as closures, so that a test can make one by hand.
    public struct Actions: Sendable {
        public var write: @Sendable ([UInt8]) async throws -> Void
        public var closeStdin: @Sendable () async -> Void
        public var resize: @Sendable (_ columns: UInt16, _ rows: UInt16) -> Void
        public var wait: @Sendable () async throws -> Int32
        public var cancel: @Sendable () -> Void

        public init(
            write: @escaping @Sendable ([UInt8]) async throws -> Void,
            closeStdin: @escaping @Sendable () async -> Void,
            resize: @escaping @Sendable (_ columns: UInt16, _ rows: UInt16) -> Void,
            wait: @escaping @Sendable () async throws -> Int32,
            cancel: @escaping @Sendable () -> Void
        ) {
            self.write = write
            self.closeStdin = closeStdin
            self.resize = resize
            self.wait = wait
            self.cancel = cancel
        }
    }

    public init(stdout: AsyncStream<[UInt8]>, stderr: AsyncStream<[UInt8]>, actions: Actions) {
        self.stdout = stdout
        self.stderr = stderr
        self.actions = actions
    }

    /// Returns when the other side has taken the bytes; throws EPIPE when it will not.
    public func write(_ bytes: [UInt8]) async throws { try await actions.write(bytes) }
    /// The command reads end of file.
    public func closeStdin() async { await actions.closeStdin() }
    /// Sets the terminal's size in characters; nothing happens without a terminal.
    public func resize(columns: UInt16, rows: UInt16) { actions.resize(columns, rows) }
    /// The exit code, 128 + signal when a signal ended it. Throws when the sandbox went away meanwhile.
    public func wait() async throws -> Int32 { try await actions.wait() }
    /// Kills the command and all it started (exec), or leaves the container alone (attach).
    public func cancel() { actions.cancel() }
}
