// The pages that a kubelet's port would show, as far as they tell something here: reached through the API server's
// nodes/NAME/proxy. There is no port of the node's own.
//
//   /healthz      ok
//   /pods         every pod of this node with its status as the node sees it (PodList)
//   /runningpods  the pods with running containers, as the runtime knows them (PodList)
//   /metrics      kubelet_… counts by the same two, in Prometheus' text format
//
// To add one is a line in `page`.

import Client
import Containers
import Objects

public struct KubeletPage: Sendable {
    public var contentType: String
    public var body: [UInt8]
}

extension Kubelet {
    /// - Parameters: the name of a node; a path, decoded, without a query.
    /// - Returns: nil for another node than this one and for a path that is no page.
    public func page(node: String, path: String) async -> KubeletPage? {
        guard node == dependencies.config.nodeName else { return nil }
        switch path {
        case "/healthz": return KubeletPage(contentType: "text/plain; charset=utf-8", body: Array("ok".utf8))
        case "/pods", "/pods/": return await Self.list(wholePods())
        case "/runningpods", "/runningpods/": return await Self.list(running().map(Self.skeleton))
        case "/metrics":
            return KubeletPage(
                contentType: "text/plain; version=0.0.4; charset=utf-8", body: Array(await metrics().utf8))
        default: return nil
        }
    }

    private static func list(_ pods: [JSON]) -> KubeletPage {
        let list: JSON = ["kind": "PodList", "apiVersion": "v1", "metadata": [:], "items": .array(pods)]
        return KubeletPage(contentType: "application/json", body: list.encode())
    }

    private func wholePods() async -> [JSON] {
        await pods().map { entry in
            var pod = entry.pod
            pod["status"] = entry.status
            return pod
        }.sorted { "\(ObjectKey($0))" < "\(ObjectKey($1))" }
    }

    private func sandboxes() async -> [SandboxStatus] {
        var found: [SandboxStatus] = []
        for uid in uids {
            if let sandbox = await dependencies.runtime.status(uid) { found.append(sandbox) }
        }
        return found
    }

    private static func isRunning(_ container: Containers.ContainerStatus) -> Bool {
        if case .running = container.state { true } else { false }
    }

    private func running() async -> [SandboxStatus] {
        await sandboxes().filter { $0.containers.contains(where: Self.isRunning) }
            .sorted { ($0.namespace, $0.name) < ($1.namespace, $1.name) }
    }

    /// What is known without the API: identity and the containers that run.
    private static func skeleton(_ sandbox: SandboxStatus) -> JSON {
        let containers: [JSON] = sandbox.containers.filter(isRunning).map {
            ["name": .string($0.name), "image": .string($0.image), "resources": [:]]
        }
        return [
            "metadata": [
                "name": .string(sandbox.name), "namespace": .string(sandbox.namespace), "uid": .string(sandbox.uid),
            ],
            "spec": ["containers": .array(containers)], "status": [:],
        ]
    }

    private func metrics() async -> String {
        let sandboxes = await sandboxes()
        var states = ["created": 0, "running": 0, "exited": 0]
        for container in sandboxes.flatMap(\.containers) {
            switch container.state {
            case .created: states["created", default: 0] += 1
            case .running: states["running", default: 0] += 1
            case .exited: states["exited", default: 0] += 1
            }
        }
        let pods = sandboxes.filter { $0.containers.contains(where: Self.isRunning) }.count
        var text = """
            # HELP kubelet_node_name The node's name. The value is always 1.
            # TYPE kubelet_node_name gauge
            kubelet_node_name{node="\(dependencies.config.nodeName)"} 1
            # HELP kubelet_running_pods Pods with a running container.
            # TYPE kubelet_running_pods gauge
            kubelet_running_pods \(pods)
            # HELP kubelet_running_containers Containers by state.
            # TYPE kubelet_running_containers gauge

            """
        for (state, count) in states.sorted(by: { $0.key < $1.key }) {
            text += "kubelet_running_containers{container_state=\"\(state)\"} \(count)\n"
        }
        return text
    }
}
