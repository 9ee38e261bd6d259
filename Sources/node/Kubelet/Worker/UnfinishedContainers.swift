// The containers of one pod that noded was setting up when it ended. Those that run by now are kept. The others never
// ran, and are removed; another one of their name starts only after them.
//
// What holds one of them up in the kernel may take long, or for ever. So the removals run beside the pod: only the next
// container of the same name waits. One that failed begins again when it is asked for, and the error says so.

import Containers
import Logging
import System

actor UnfinishedContainers {
    private let runtime: any ContainerRuntime
    private let sandbox: String
    private let logger: Logger
    /// By container name.
    private var removals: [String: (ids: [String], task: Task<Void, any Error>)] = [:]

    init(runtime: any ContainerRuntime, sandbox: String, logger: Logger) {
        self.runtime = runtime
        self.sandbox = sandbox
        self.logger = logger
    }

    /// Ends the starts that are still under way: a start that came to its end since the sandbox was found counts as
    /// one, and its container is not killed for having been late. Waits for the supervisor's answers only, 10 s each at
    /// most.
    /// - Returns: the sandbox as it is then; nil when it is gone.
    func settle(_ found: SandboxStatus) async -> SandboxStatus? {
        let unfinished = found.containers.filter { !$0.wasStarted }
        guard !unfinished.isEmpty else { return found }
        var neverRan: Set<String> = []
        for container in unfinished {
            do {
                let isCancelled = try await runtime.cancelStart(sandbox: sandbox, id: container.id)
                if isCancelled { neverRan.insert(container.id) }
            } catch {
                // An older supervisor, which can only kill; one that hangs; or one that is gone, as the runtime tells.
                logger.warning("cannot cancel a start", metadata: ["id": "\(container.id)", "error": "\(error)"])
            }
        }
        guard var settled = await runtime.status(sandbox) else { return nil }
        for index in settled.containers.indices where neverRan.contains(settled.containers[index].id) {
            // Its end may be known by now: it is that of a start, not of a run.
            settled.containers[index].state = .created(at: .now())
        }
        return settled
    }

    /// Begins to remove those of a sandbox that outlived the last noded.
    func remove(from found: SandboxStatus) {
        let unfinished = found.containers.filter { !$0.wasStarted }
        for (name, items) in Dictionary(grouping: unfinished, by: \.name) { remove(items.map(\.id), of: name) }
    }

    private func remove(_ ids: [String], of name: String) {
        let task = Task { [runtime, sandbox] in
            for id in ids { try await runtime.removeContainer(sandbox: sandbox, id: id) }
        }
        removals[name] = (ids, task)
    }

    /// Returns when nothing is left of that name.
    /// - Throws: KubeletError when they cannot be removed; it has been begun again then, for the next start.
    ///   CancellationError when the sandbox goes, and they with it, or noded.
    func waitUntilGone(_ name: String) async throws {
        guard let removal = removals[name] else { return }
        do {
            try await removal.task.value
            removals[name] = nil
        } catch {
            guard !removal.task.isCancelled else { throw CancellationError() }
            remove(removal.ids, of: name)
            throw KubeletError.container(
                // No run was tried: RunContainerError would count as one.
                reason: "CreateContainerError",
                "the container that was being started when noded ended cannot be removed, which comes first: \(error)")
        }
    }

    /// noded ends, or the pod: whoever waits gets CancellationError.
    func cancel() {
        for removal in removals.values { removal.task.cancel() }
    }

    /// They go with their sandbox.
    func sandboxGoes() {
        cancel()
        removals = [:]
    }
}

extension ContainerStatus {
    /// False: noded ended between its creation and its start.
    var wasStarted: Bool { if case .created = state { false } else { true } }
}
