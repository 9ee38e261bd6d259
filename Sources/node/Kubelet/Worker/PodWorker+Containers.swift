// What a worker does to single containers, side by side: the look for an image, the start, the stop.
//
// A start is a plan from what the API and the node know at that moment (ContainerPlanner), then the runtime's work.
// Each ends in an event: a failure carries the reason that the API shows, and its message. Cancellation, of noded or of
// the sandbox below, ends without one: nobody waits for it.

import Containers
import Logging
import Objects
import System

extension PodWorker {
    func containerJSON(_ name: String) -> JSON {
        let spec = pod.child("spec")
        let lists = ["containers", "initContainers", "ephemeralContainers"]
        return lists.flatMap { spec.list($0) }.first { $0.text("name") == name } ?? .null
    }

    var view: PodView {
        let host = node.host.addresses
        return PodView(
            pod: pod, podIPs: machine.plan.hostNetwork ? host : addresses, hostIPs: host, allocatable: node.allocatable)
    }

    func lookups(services: [JSON]) -> Lookups {
        let (objects, uid, namespace) = (node.objects, uid, machine.plan.namespace)
        let identity = PodIdentity(namespace: namespace, name: machine.plan.name, uid: uid)
        return Lookups(
            object: { resource, name in
                try await objects.object(resource, namespace: namespace, name: name, for: uid)
            }, services: services, token: { try await objects.token($0, for: identity) })
    }

    func resolveImage(_ name: String) async {
        let container = containerJSON(name)
        let reference = container.text("image") ?? ""
        do {
            guard let image = try await node.images.find(reference) else {
                return deliver(Self.missing(reference, of: container, name))
            }
            images[name] = image
            deliver(
                .imageReady(
                    container: name, imageID: image.id,
                    found: "Container image \"\(reference)\" already present on machine and can be accessed by the pod")
            )
        } catch {
            deliver(.imageFailed(container: name, reason: "ImageInspectError", message: "\(error)"))
        }
    }

    private static func missing(_ reference: String, of container: JSON, _ name: String) -> PodEvent {
        if PullPolicy(rawValue: container.text("imagePullPolicy") ?? "") == .never {
            return .imageFailed(
                container: name, reason: "ErrImageNeverPull",
                message: "Container image \"\(reference)\" is not present with pull policy of Never")
        }
        return .imageFailed(
            container: name, reason: "ErrImagePull",
            message: "image \"\(reference)\" is not on this node, and this version of noded cannot pull from "
                + "registries: make it available with `noded image import FILE` (OCI archive)")
    }

    func start(_ name: String, _ attempt: Int) async {
        do {
            let config = try await config(name, attempt)
            let before: String?
            let status: Containers.ContainerStatus
            do {
                try await unfinished.waitUntilGone(name)
                before = machine.latest(name)?.id
                status = try await launch(config)
            } catch is CancellationError {
                return
            }
            for limit in status.unenforced { logger.debug("limit not enforced", metadata: ["limit": "\(limit)"]) }
            var startedAt = Timestamp.now()
            if case .running(_, let at) = status.state { startedAt = at }
            if case .exited(let end) = status.state {
                startedAt = end.startedAt
                exits[config.id] = end
            }
            deliver(.started(container: name, id: config.id, at: startedAt))
            if let before, !before.isEmpty, before != config.id {
                try? await node.runtime.removeContainer(sandbox: uid, id: before)
            }
            await logs.removeOld(of: name, attempt: attempt)
        } catch KubeletError.container(let reason, let text) {
            deliver(.startFailed(container: name, reason: reason, message: text))
        } catch {
            deliver(.startFailed(container: name, reason: "CreateContainerError", message: "\(error)"))
        }
    }

    private func config(_ name: String, _ attempt: Int) async throws -> ContainerConfig {
        var container = containerJSON(name)
        // Not what the spec asks for while the node has no room for that.
        if let granted = machine.granted(name) { container["resources"] = granted }
        guard let image = images[name] else { throw KubeletError.notFound("the image of \(name) is not resolved") }
        let services = await node.objects.services(namespace: machine.plan.namespace)
        let planner = ContainerPlanner(
            node: node, view: view, container: container, image: image, volumes: volumes,
            lookups: lookups(services: services), podDirectory: node.config.podDirectory(uid))
        var config = try await planner.config(attempt: attempt)
        if let target = container.text("targetContainerName"), !target.isEmpty {
            guard let running = machine.runningID(target) else {
                throw KubeletError.container(
                    reason: "CreateContainerConfigError", "unable to find target container \(target)")
            }
            config.processNamespace = running
        }
        return config
    }

    private func launch(_ config: ContainerConfig) async throws -> Containers.ContainerStatus {
        do {
            return try await node.runtime.startContainer(sandbox: uid, config)
        } catch let error as CancellationError {
            throw error
        } catch {
            try? await node.runtime.removeContainer(sandbox: uid, id: config.id)
            throw KubeletError.container(reason: "RunContainerError", "\(error)")
        }
    }

    func stop(_ name: String, _ id: String, _ grace: Duration) async {
        do {
            try await node.runtime.stopContainer(sandbox: uid, id: id, signal: nil, grace: grace)
        } catch is CancellationError {
            // noded stops; the pod goes on ending, and the next noded sees it through.
        } catch {
            logger.warning("cannot stop container", metadata: ["id": "\(id)", "error": "\(error)"])
            deliver(.stopFailed(container: name, id: id, message: "\(error)"))
        }
    }
}
