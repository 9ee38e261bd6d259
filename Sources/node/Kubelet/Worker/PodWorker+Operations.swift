// What a worker does to its pod as a whole: volumes, sandbox, network, resize, teardown, the end of the object. One
// after the other, in the order in which the machine asked, because each stands on the one before.
//
// Each ends in an event, a failure too: the machine decides when to try again. All of them may be repeated, and the
// teardown works without memory of what was set up.

import Containers
import Kernel
import Logging
import Objects
import PodNetwork
import System

extension PodWorker {
    func run(_ operations: AsyncStream<PodAction>) async {
        for await action in operations {
            if Task.isCancelled { return }
            switch action {
            case .mountVolumes: await mountVolumes()
            case .createSandbox: await createSandbox()
            case .attachNetwork: await attachNetwork()
            case .resize: await resize()
            case .teardown(let volumes): await teardown(volumes: volumes)
            case .deleteObject: await deleteObject()
            default: break
            }
        }
    }

    private func mountVolumes() async {
        do {
            let manager = VolumeManager(podDirectory: node.config.podDirectory(uid))
            volumes = try await manager.setUp(pod, view: view, lookups: lookups(services: []))
            deliver(.volumesReady)
        } catch {
            deliver(.volumesFailed("\(error)"))
        }
    }

    private func createSandbox() async {
        do {
            let config = try SandboxPlanner(node: node, pod: pod, uid: uid).config()
            let status = try await node.runtime.createSandbox(config)
            for limit in status.unenforced { logger.debug("limit not enforced", metadata: ["limit": "\(limit)"]) }
            deliver(.sandboxReady)
        } catch {
            deliver(.sandboxFailed("\(error)"))
        }
    }

    private func attachNetwork() async {
        guard let process = await node.runtime.supervisor(of: uid) else {
            return deliver(.networkFailed("the pod has no sandbox"))
        }
        do {
            addresses = try await node.network.attach(podUID: uid, process: process).ips.map(\.description)
            deliver(.networkReady(addresses))
        } catch {
            deliver(.networkFailed("setup network for pod: \(error)"))
        }
    }

    private func teardown(volumes: Bool) async {
        await unfinished.sandboxGoes()
        do {
            await node.network.detach(podUID: uid)
            try await node.runtime.removeSandbox(uid)
            if volumes {
                self.volumes = [:]
                let directory = node.config.podDirectory(uid)
                try await BlockingPool.shared.run { try VolumeManager.remove(directory) }
            }
            deliver(.tornDown)
        } catch {
            deliver(.teardownFailed("\(error)"))
        }
    }

    private func deleteObject() async {
        do {
            try await publishLast()
            try await node.sink.remove(pod)
            deliver(.objectDeleted)
        } catch {
            deliver(.objectDeletionFailed("\(error)"))
        }
    }

    private func resize() async {
        await PodResizer(node: node, uid: uid, pod: pod).resize(
            machine.resizes, granted: { machine.granted($0) },
            done: { answer, kept in
                reservation = kept
                deliver(answer)
            })
    }

    /// Not in the queue: nothing else has to wait for it, and it is over after `limit` whatever happens.
    func drainEndpoints(_ limit: Duration) async {
        let (drain, pod) = (node.drain, pod)
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await drain(pod) }
            group.addTask { try? await Task.sleep(for: limit) }
            await group.next()
            group.cancelAll()
        }
        deliver(.drained)
    }
}
