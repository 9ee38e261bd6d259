// What the Endpoints of a Service say (core/v1 Endpoints), as a value: pods in, one object out.
//
//      port -> the pods that have it        {http: a b, admin: a b, debug: b}
//      the same pods -> one subset          [a b: admin http] [b: debug]
//
// Subsets are packed as kube-controller-manager packs them: ports that have the same pods share a subset, addresses
// are in order of address and pod uid. Kubernetes orders ports and subsets by hashes; here names order them.

import Objects

struct EndpointsPlan {
    static let managedByLabel = "endpoints.kubernetes.io/managed-by"
    static let managedBy = "endpoint-controller"
    private static let headlessLabel = "service.kubernetes.io/headless"
    private static let overCapacity = "endpoints.kubernetes.io/over-capacity"

    /// Addresses that one Endpoints object may have, over all subsets.
    static let capacity = 1000

    private struct Subset {
        var ready: [JSON]
        var notReady: [JSON]
        let ports: [JSON]

        var json: JSON {
            var json: JSON = [:]
            if !ready.isEmpty { json["addresses"] = .array(ready) }
            if !notReady.isEmpty { json["notReadyAddresses"] = .array(notReady) }
            if !ports.isEmpty { json["ports"] = .array(ports) }
            return json
        }
    }

    private struct Member {
        let address: JSON
        let ip: String
        let uid: String
        let isReady: Bool
        let ports: [JSON]
    }

    private let service: JSON
    private var subsets: [Subset] = []
    private var isTruncated = false

    init(service: JSON, pods: [JSON]) {
        self.service = service
        let members = Self.members(of: service, pods)
        // A headless Service needs no ports: its names lead to all of its pods.
        let isPortless = isHeadless && (service["spec"]?["ports"]?.array ?? []).isEmpty
        subsets = members.isEmpty ? [] : Self.pack(members, isPortless: isPortless)
        truncate()
    }

    /// The object as it should be; what others wrote beside it in `present` stays.
    func object(from present: JSON?) -> JSON {
        let metadata = service["metadata"]
        var object = present ?? [
            "apiVersion": "v1", "kind": "Endpoints",
            "metadata": ["name": metadata?["name"] ?? "", "namespace": metadata?["namespace"] ?? ""],
        ]
        var labels = metadata?["labels"] ?? [:]
        labels[Self.managedByLabel] = .string(Self.managedBy)
        labels[Self.headlessLabel] = isHeadless ? "" : nil
        object.set("metadata", "labels", to: labels)
        object.set("metadata", "annotations", Self.overCapacity, to: isTruncated ? "truncated" : nil)
        object["subsets"] = subsets.isEmpty ? nil : .array(subsets.map { $0.json })
        return object
    }

    private var isHeadless: Bool { ["None", ""].contains(service["spec"]?["clusterIP"]?.string ?? "") }

    // MARK: - Packing

    private static func members(of service: JSON, _ pods: [JSON]) -> [Member] {
        let family = service["spec"]?["ipFamilies"]?[0]?.string ?? "IPv4"
        let publishNotReady = service["spec"]?["publishNotReadyAddresses"]?.bool ?? false
        let members = pods.compactMap { pod -> Member? in
            guard publishNotReady || !ServicePods.isTerminating(pod),
                let ip = ServicePods.address(of: pod, family)
            else { return nil }
            var address = ServicePods.describe(pod, for: service)
            address["ip"] = .string(ip)
            let ports = ServicePods.ports(of: service, for: pod).map { port in
                var port = port
                if port["name"] == "" { port["name"] = nil }
                return port
            }
            return Member(
                address: address, ip: ip, uid: pod["metadata"]?["uid"]?.string ?? "",
                isReady: publishNotReady || PodFacts.isReady(pod), ports: ports)
        }
        return members.sorted { ($0.ip, $0.uid) < ($1.ip, $1.uid) }
    }

    private static func pack(_ members: [Member], isPortless: Bool) -> [Subset] {
        var holders: [JSON: [Int]] = [:]
        for (index, member) in members.enumerated() {
            for port in member.ports { holders[port, default: []].append(index) }
        }
        var ports: [[Int]: [JSON]] = [:]
        for (port, indices) in holders { ports[indices, default: []].append(port) }
        if isPortless { ports[Array(members.indices)] = [] }
        return ports.map { indices, ports in
            Subset(
                ready: indices.filter { members[$0].isReady }.map { members[$0].address },
                notReady: indices.filter { !members[$0].isReady }.map { members[$0].address },
                ports: ports.sorted { rank($0) < rank($1) })
        }.sorted { one, other in
            one.ports.map(rank).lexicographicallyPrecedes(other.ports.map(rank), by: <)
        }
    }

    private static func rank(_ port: JSON) -> (String, Int64, String, String) {
        (
            port["name"]?.string ?? "", port["port"]?.int ?? 0, port["protocol"]?.string ?? "",
            port["appProtocol"]?.string ?? ""
        )
    }

    /// Cuts down to the capacity: first what is not ready, each subset by its share of what is cut.
    private mutating func truncate() {
        let ready = subsets.reduce(0) { $0 + $1.ready.count }
        let notReady = subsets.reduce(0) { $0 + $1.notReady.count }
        guard ready + notReady > Self.capacity else { return }
        isTruncated = true
        let cutsReady = ready > Self.capacity
        let room = cutsReady ? Self.capacity : Self.capacity - ready
        let total = cutsReady ? ready : notReady
        var left = room
        for index in subsets.indices {
            let count = cutsReady ? subsets[index].ready.count : subsets[index].notReady.count
            let share = min(left, count, (count * room + total - 1) / total)
            left -= share
            if cutsReady {
                subsets[index].ready.removeLast(count - share)
                subsets[index].notReady = []
            } else {
                subsets[index].notReady.removeLast(count - share)
            }
        }
        // The API takes no subset without addresses.
        subsets.removeAll { $0.ready.isEmpty && $0.notReady.isEmpty }
    }
}
