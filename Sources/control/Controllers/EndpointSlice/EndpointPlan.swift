// Which slices a Service should have, as a value: pods in, slices out, and the fewest writes between.
//
// Endpoints are grouped by address family and by resolved ports (a named targetPort may differ from pod to pod)
// and cut into slices of at most 100. An endpoint stays in the slice it is in.

import Client
import Objects
import System

struct EndpointPlan {
    struct Steps {
        var create: [JSON] = []
        var update: [JSON] = []
        var delete: [JSON] = []
    }

    /// What endpoints of one slice share.
    private struct Group: Hashable {
        let family: String
        let ports: JSON
    }

    /// As in kube-controller-manager's --max-endpoints-per-slice.
    private static let sliceSize = 100
    private static let serviceLabel = "kubernetes.io/service-name"

    private let service: JSON
    private var wanted: [Group: [JSON]] = [:]

    init(service: JSON, pods: [JSON]) {
        self.service = service
        let families = service["spec"]?["ipFamilies"]?.strings ?? ["IPv4"]
        let publishNotReady = service["spec"]?["publishNotReadyAddresses"]?.bool ?? false
        for family in families {
            for pod in pods {
                guard let address = Self.address(of: pod, family) else { continue }
                let group = Group(family: family, ports: Self.ports(of: service, for: pod))
                wanted[group, default: []].append(Self.endpoint(pod, address, service, publishNotReady))
            }
        }
        // A Service without pods has one empty slice: it says "nobody" rather than nothing.
        if wanted.isEmpty {
            for family in families { wanted[Group(family: family, ports: Self.ports(of: service, for: nil))] = [] }
        }
    }

    // MARK: - Pods

    static func service(of slice: JSON) -> ObjectKey? {
        guard let name = slice["metadata"]?["labels"]?[serviceLabel]?.string else { return nil }
        return ObjectKey(namespace: slice["metadata"]?["namespace"]?.string ?? "", name: name)
    }

    static func selects(_ selector: [String: String], _ pod: JSON) -> Bool {
        let labels = pod["metadata"]?["labels"]
        return selector.allSatisfy { labels?[$0.key]?.string == $0.value }
    }

    /// Whether a change of a pod can change any slice.
    static func matters(_ old: JSON?, _ new: JSON?) -> Bool {
        guard let old, let new else { return true }
        return old["metadata"]?["labels"] != new["metadata"]?["labels"]
            || old["metadata"]?["deletionTimestamp"] != new["metadata"]?["deletionTimestamp"]
            || old["status"]?["podIPs"] != new["status"]?["podIPs"]
            || old["status"]?["phase"] != new["status"]?["phase"]
            || PodFacts.isReady(old) != PodFacts.isReady(new)
    }

    private static func address(of pod: JSON, _ family: String) -> String? {
        let phase = pod["status"]?["phase"]?.string
        guard phase != "Succeeded", phase != "Failed" else { return nil }
        let addresses = (pod["status"]?["podIPs"]?.array ?? []).compactMap { $0["ip"]?.string }
        return addresses.first { IPAddress($0)?.isV6 == (family == "IPv6") }
    }

    private static func endpoint(_ pod: JSON, _ address: String, _ service: JSON, _ publishNotReady: Bool) -> JSON {
        let serving = PodFacts.isReady(pod)
        let terminating = pod["metadata"]?["deletionTimestamp"] != nil
        var endpoint: JSON = [
            "addresses": [.string(address)],
            "conditions": [
                "ready": .bool(publishNotReady || (serving && !terminating)), "serving": .bool(serving),
                "terminating": .bool(terminating),
            ],
            "targetRef": [
                "kind": "Pod", "namespace": pod["metadata"]?["namespace"] ?? "",
                "name": pod["metadata"]?["name"] ?? "", "uid": pod["metadata"]?["uid"] ?? "",
            ],
        ]
        if let node = pod["spec"]?["nodeName"]?.string, !node.isEmpty { endpoint["nodeName"] = .string(node) }
        // A pod has a name of its own below a headless Service that is its subdomain (core/v1 PodSpec.hostname).
        if let hostname = pod["spec"]?["hostname"]?.string, !hostname.isEmpty,
            pod["spec"]?["subdomain"]?.string == service["metadata"]?["name"]?.string {
            endpoint["hostname"] = .string(hostname)
        }
        return endpoint
    }

    /// The slice's ports, with named target ports looked up in the pod. A port the pod does not name is left out.
    private static func ports(of service: JSON, for pod: JSON?) -> JSON {
        let ports = (service["spec"]?["ports"]?.array ?? []).compactMap { port -> JSON? in
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
        return .array(ports)
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

    // MARK: - Slices

    /// What turns `present` into what is wanted, with as few writes as can be.
    func steps(from present: [JSON]) -> Steps {
        var steps = Steps()
        var unused = present
        for (group, endpoints) in wanted.sorted(by: { "\($0.key.family)\($0.key.ports)" < "\($1.key.family)\($1.key.ports)" }) {
            let mine = unused.filter { Self.group(of: $0) == group }
            unused.removeAll { Self.group(of: $0) == group }
            fill(mine, with: endpoints, group, &steps)
        }
        steps.delete += unused
        return steps
    }

    private static func group(of slice: JSON) -> Group {
        Group(family: slice["addressType"]?.string ?? "", ports: slice["ports"] ?? [])
    }

    private func fill(_ slices: [JSON], with endpoints: [JSON], _ group: Group, _ steps: inout Steps) {
        var left: [String: JSON] = [:]
        for endpoint in endpoints { left[Self.identity(endpoint)] = endpoint }
        var contents: [[JSON]] = slices.map { slice in
            (slice["endpoints"]?.array ?? []).compactMap { left.removeValue(forKey: Self.identity($0)) }
        }
        var rest = left.values.sorted { Self.identity($0) < Self.identity($1) }[...]
        for index in contents.indices where contents[index].count < Self.sliceSize {
            let taken = rest.prefix(Self.sliceSize - contents[index].count)
            contents[index] += taken
            rest = rest.dropFirst(taken.count)
        }
        // One slice stays even when it is empty.
        let keep = contents.firstIndex { !$0.isEmpty } ?? 0
        for (index, slice) in slices.enumerated() {
            if contents[index].isEmpty, index != keep {
                steps.delete.append(slice)
            } else {
                var updated = slice
                updated["endpoints"] = .array(contents[index])
                updated.set("metadata", "labels", to: labels)
                if updated != slice { steps.update.append(updated) }
            }
        }
        while !rest.isEmpty || (slices.isEmpty && steps.create.allSatisfy { Self.group(of: $0) != group }) {
            steps.create.append(make(group, Array(rest.prefix(Self.sliceSize))))
            rest = rest.dropFirst(Self.sliceSize)
        }
    }

    private static func identity(_ endpoint: JSON) -> String {
        "\(endpoint["targetRef"]?["uid"]?.string ?? "") \(endpoint["addresses"]?[0]?.string ?? "")"
    }

    /// The Service's own labels with those that say whose slice it is.
    private var labels: JSON {
        var labels = service["metadata"]?["labels"] ?? [:]
        labels[Self.serviceLabel] = service["metadata"]?["name"]
        labels["endpointslice.kubernetes.io/managed-by"] = .string(EndpointSliceController.managedBy)
        if service["spec"]?["clusterIP"]?.string == "None" { labels["service.kubernetes.io/headless"] = "" }
        return labels
    }

    private func make(_ group: Group, _ endpoints: [JSON]) -> JSON {
        let name = service["metadata"]?["name"]?.string ?? ""
        return [
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": [
                "generateName": .string("\(name)-"), "namespace": service["metadata"]?["namespace"] ?? "",
                "labels": labels, "ownerReferences": [Ownership.reference(to: service, "v1", "Service")],
            ],
            "addressType": .string(group.family), "ports": group.ports, "endpoints": .array(endpoints),
        ]
    }
}
