// logs, exec and attach: what the API's pod subresources ask of the node.

public import Client
public import Containers
import Objects
import System

extension Kubelet {
    /// The output of a container, in pieces. The stream ends at the end of the log, or when following, when the
    /// container has run for the last time; it throws nothing after it began but cancellation.
    /// - Throws: `APIStatus` notFound without such a pod, badRequest when the container has no log yet.
    public func logs(pod key: ObjectKey, options: ContainerLogOptions) async throws -> AsyncThrowingStream<
        [UInt8], any Error
    > {
        let worker = try worker(key)
        let pod = await worker.object
        let name = try Self.container(options.container, of: pod)
        guard let facts = await worker.facts(name), facts.attempt >= 0 else {
            throw APIStatus.badRequest(
                "container \"\(name)\" in pod \"\(key.name)\" is waiting to start: \(await Self.waiting(worker, name))")
        }
        // The last one that ended: the latest itself while it waits to run again (CrashLoopBackOff).
        let isLast = !facts.running && facts.willRun
        let attempt = options.previous && !isLast ? facts.attempt - 1 : facts.attempt
        guard attempt >= 0 else {
            throw APIStatus.badRequest("previous terminated container \"\(name)\" in pod \"\(key.name)\" not found")
        }
        var options = options
        if options.previous { options.follow = false }
        let metadata = pod.child("metadata")
        let logs = dependencies.config.podLogs(
            namespace: key.namespace, name: key.name, uid: metadata.text("uid") ?? "")
        let reader = LogReader(directory: logs.directory(of: name), options: options, pod: worker.changes) { attempt in
            guard let facts = await worker.facts(name) else { return .over }
            if facts.attempt > attempt { return .next(attempt: attempt + 1) }
            return facts.running || facts.willRun ? .more : .over
        }
        return Handoff.stream { try await reader.run(attempt: attempt, emit: $0) }
    }

    /// Runs a command in a running container.
    /// - Throws: `APIStatus` notFound or badRequest; ContainersError when the command cannot be executed.
    public func exec(pod key: ObjectKey, container: String?, _ config: ExecConfig) async throws -> ExecSession {
        let (uid, id) = try await running(key, container)
        return try await dependencies.runtime.exec(sandbox: uid, container: id, config)
    }

    /// Joins a running container's own streams.
    public func attach(pod key: ObjectKey, container: String?, stdin: Bool) async throws -> ExecSession {
        let (uid, id) = try await running(key, container)
        return try await dependencies.runtime.attach(sandbox: uid, container: id, stdin: stdin)
    }

    private func running(_ key: ObjectKey, _ container: String?) async throws -> (uid: String, id: String) {
        let worker = try worker(key)
        let name = try Self.container(container, of: await worker.object)
        guard let facts = await worker.facts(name), facts.running else {
            throw APIStatus.internalError("container not found (\"\(name)\")")
        }
        return (worker.uid, facts.id)
    }

    /// The container asked for, or the only one, or the one that the pod's annotation names.
    private static func container(_ wanted: String?, of pod: JSON) throws -> String {
        let spec = pod.child("spec")
        let apps = spec.list("containers").compactMap { $0.text("name") }
        let initial = spec.list("initContainers").compactMap { $0.text("name") }
        let ephemeral = spec.list("ephemeralContainers").compactMap { $0.text("name") }
        let podName = pod.child("metadata").text("name") ?? ""
        if let wanted, !wanted.isEmpty {
            guard (apps + initial + ephemeral).contains(wanted) else {
                throw APIStatus.badRequest("container \(wanted) is not valid for pod \(podName)")
            }
            return wanted
        }
        let chosen = pod.child("metadata").child("annotations").text("kubectl.kubernetes.io/default-container")
        if let chosen, apps.contains(chosen) { return chosen }
        guard apps.count == 1, let only = apps.first else {
            let all = apps.joined(separator: " ")
            let rest = initial.isEmpty ? "" : " or one of the init containers: [\(initial.joined(separator: " "))]"
            throw APIStatus.badRequest(
                "a container name must be specified for pod \(podName), choose one of: [\(all)]\(rest)")
        }
        return only
    }

    private static func waiting(_ worker: PodWorker, _ name: String) async -> String {
        let status = await worker.summary
        let lists = ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"]
        let item = lists.flatMap { status.list($0) }.first { $0.text("name") == name }
        return item?.child("state").child("waiting").text("reason") ?? "ContainerCreating"
    }
}
