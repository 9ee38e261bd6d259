// The verbs with which the kubelet drives sandboxes and containers. PodRuntime is the real thing; a test may put a
// small implementation of its own in its place.

public import Cgroups
public import Kernel

public protocol ContainerRuntime: Sendable {
    /// Finds the sandboxes that outlived the last noded and takes them over. To be called once, before the others.
    /// What cannot be taken over (dead supervisor, torn record) is killed, reported by an event and left to
    /// `removeSandbox`, or quarantined with a log line.
    func recover() async -> [SandboxStatus]

    /// Makes the pod's namespaces. The same uid again returns the sandbox that is there.
    func createSandbox(_ config: SandboxConfig) async throws -> SandboxStatus

    /// Returns when the container's program runs (its execve succeeded).
    func startContainer(sandbox uid: String, _ config: ContainerConfig) async throws -> ContainerStatus

    /// Gives up the start of a container that `recover` found in the middle of it. One whose program runs by now, or
    /// has ended, is left alone and `status` says so from then on; what never ran is left to `removeContainer`.
    /// - Throws: also when the supervisor does not answer for 10 s, or is one of an older noded and does not know the
    ///   request.
    /// - Returns: whether it never ran, whatever its end will look like.
    @discardableResult
    func cancelStart(sandbox uid: String, id: String) async throws -> Bool

    /// Sends `signal` (nil: the container's own stop signal), and kills everything in the container after `grace`.
    /// Returns when it has ended, also when it did so with its supervisor. One that is not there or has ended is fine.
    /// - Throws: also when the supervisor has not answered for 10 s after the grace. The container is killed by then
    ///   (on machines with cgroups), but nobody knows how it ended; to be asked again.
    func stopContainer(sandbox uid: String, id: String, signal: Int32?, grace: Duration) async throws

    /// Forgets an ended container and removes its root. Kills it first when it runs. Not there is fine.
    func removeContainer(sandbox uid: String, id: String) async throws

    /// Kills what runs in the pod and removes all that createSandbox and startContainer made (logs stay). Works without
    /// memory of the sandbox and may be called again.
    func removeSandbox(_ uid: String) async throws

    /// Gives a running container, or without `container` the pod as a whole, other limits; nil ones stay as they are.
    /// - Returns: what this machine cannot limit.
    /// - Throws: also when a memory limit is below what is in use: the kernel would kill for it.
    func resize(sandbox uid: String, container id: String?, _ resources: CgroupResources) async throws -> [String]

    func exec(sandbox uid: String, container id: String, _ config: ExecConfig) async throws -> ExecSession

    /// Joins the running container's own streams, its input only with `stdin`: what ends with the session (stdinOnce)
    /// stays open for the one that will write. Its `wait` returns the container's exit code. A container has at most 64
    /// such sessions; one ends when both its streams are let go.
    func attach(sandbox uid: String, container id: String, stdin: Bool) async throws -> ExecSession

    /// The log file at the container's log path was renamed by somebody else: write to a new one.
    func reopenLog(sandbox uid: String, id: String) async throws

    /// nil when there is no such sandbox.
    func status(_ uid: String) async -> SandboxStatus?

    /// The process whose namespaces are the pod's, held since the sandbox was made or found: it may have ended, it
    /// cannot be another. nil when there is no such sandbox.
    func supervisor(of uid: String) async -> ProcessHandle?

    /// All events from the moment of the first use; for one reader.
    var events: AsyncStream<RuntimeEvent> { get }
}
