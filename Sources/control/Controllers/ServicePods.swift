// The pods of a Service, for whatever publishes their addresses: EndpointSlices and Endpoints. Which Services a change
// of a pod concerns, which pods a Service selects, and what a pod has of what an endpoint says: address, host name,
// numbers of named ports.

import Client
import Objects
import Reconcile
import System

struct ServicePods: Sendable {
    let services: Informer
    private let pods: Informer
    private let podsByNamespace: Index
    private let servicesByNamespace: Index

    init(_ context: ControllerContext) {
        services = context.informers.informer(.services)
        pods = context.informers.informer(.pods)
        podsByNamespace = context.informers.index(.pods, .byNamespace)
        servicesByNamespace = context.informers.index(.services, .byNamespace)
    }

    /// The Services that select a pod, or did, when something changed in it that can be seen in an endpoint.
    var changedPods: KeySource<ObjectKey> {
        KeySource(pods) { key, old, new in
            guard Self.matters(old, new) else { return [] }
            let states = [old, new].compactMap { $0 }
            return servicesByNamespace.objects(key.namespace).filter { service in
                guard let selector = Self.selector(of: service) else { return false }
                return states.contains { Self.selects(selector, $0) }
            }.map { ObjectKey($0) }
        }
    }

    /// The pods that a Service with that selector has, in order of their names.
    func pods(in namespace: String, selectedBy selector: [String: String]) -> [JSON] {
        podsByNamespace.objects(namespace).filter { Self.selects(selector, $0) }
    }

    /// nil for a Service whose endpoints are somebody else's affair.
    static func selector(of service: JSON) -> [String: String]? {
        guard service["spec"]?["type"]?.string != "ExternalName",
            let selector = service["spec"]?["selector"]?.stringMap, !selector.isEmpty
        else { return nil }
        return selector
    }

    private static func selects(_ selector: [String: String], _ pod: JSON) -> Bool {
        let labels = pod["metadata"]?["labels"]
        return selector.allSatisfy { labels?[$0.key]?.string == $0.value }
    }

    /// Whether a change of a pod can change any endpoint.
    static func matters(_ old: JSON?, _ new: JSON?) -> Bool {
        guard let old, let new else { return true }
        return old["metadata"]?["labels"] != new["metadata"]?["labels"]
            || old["metadata"]?["deletionTimestamp"] != new["metadata"]?["deletionTimestamp"]
            || old["status"]?["podIPs"] != new["status"]?["podIPs"]
            || old["status"]?["phase"] != new["status"]?["phase"]
            || PodFacts.isReady(old) != PodFacts.isReady(new)
    }

    // MARK: - A pod's part of an endpoint

    static func isTerminating(_ pod: JSON) -> Bool { pod["metadata"]?["deletionTimestamp"] != nil }

    /// The pod's address of that family ("IPv4", "IPv6"); nil when it has none or has ended.
    static func address(of pod: JSON, _ family: String) -> String? {
        let phase = pod["status"]?["phase"]?.string
        guard phase != "Succeeded", phase != "Failed" else { return nil }
        let addresses = (pod["status"]?["podIPs"]?.array ?? []).compactMap { $0["ip"]?.string }
        return addresses.first { IPAddress($0)?.isV6 == (family == "IPv6") }
    }

    /// What an endpoint says of its pod beside the address: nodeName, hostname and targetRef.
    static func describe(_ pod: JSON, for service: JSON) -> JSON {
        var endpoint: JSON = [
            "targetRef": [
                "kind": "Pod", "namespace": pod["metadata"]?["namespace"] ?? "",
                "name": pod["metadata"]?["name"] ?? "", "uid": pod["metadata"]?["uid"] ?? "",
            ]
        ]
        if let node = pod["spec"]?["nodeName"]?.string, !node.isEmpty { endpoint["nodeName"] = .string(node) }
        // A pod has a name of its own below a headless Service that is its subdomain (core/v1 PodSpec.hostname).
        if let hostname = pod["spec"]?["hostname"]?.string, !hostname.isEmpty,
            pod["spec"]?["subdomain"]?.string == service["metadata"]?["name"]?.string {
            endpoint["hostname"] = .string(hostname)
        }
        return endpoint
    }

    /// The Service's ports with the numbers the pod has for them; a port the pod does not name is left out.
    static func ports(of service: JSON, for pod: JSON?) -> [JSON] {
        (service["spec"]?["ports"]?.array ?? []).compactMap { port -> JSON? in
            let target = port["targetPort"] ?? port["port"]
            let number: Int64?
            if let name = target?.string {
                number = Int64(name) ?? pod.flatMap { containerPort(name, port["protocol"]?.string ?? "TCP", in: $0) }
            } else {
                number = target?.int
            }
            guard let number, number > 0 else { return nil }
            var result: JSON = [
                "name": port["name"] ?? "", "port": .int(number), "protocol": port["protocol"] ?? "TCP",
            ]
            if let appProtocol = port["appProtocol"] { result["appProtocol"] = appProtocol }
            return result
        }
    }

    private static func containerPort(_ name: String, _ networkProtocol: String, in pod: JSON) -> Int64? {
        let sidecars = (pod["spec"]?["initContainers"]?.array ?? []).filter { $0["restartPolicy"]?.string == "Always" }
        for container in (pod["spec"]?["containers"]?.array ?? []) + sidecars {
            for port in container["ports"]?.array ?? []
            where port["name"]?.string == name && port["protocol"]?.string ?? "TCP" == networkProtocol {
                return port["containerPort"]?.int
            }
        }
        return nil
    }
}
