// The EndpointSlices that say what hand-written Endpoints say, as a value: one object in, slices out, and the fewest
// writes between.
//
// Each address family of each set of ports has one slice, which may be as large as a
// subset is mirrored: 1000 addresses.

import Client
import Objects
import System

struct MirrorPlan {
    static let managedBy = "endpointslicemirroring-controller.k8s.io"
    /// Addresses of one subset that are mirrored (kube-controller-manager's --mirroring-max-endpoints-per-subset).
    static let limit = 1000
    /// What says when, and what was applied: of the Endpoints only.
    private static let ownAnnotations = [
        "endpoints.kubernetes.io/last-change-trigger-time", "kubectl.kubernetes.io/last-applied-configuration",
    ]

    private let source: JSON
    /// In the order of the subsets.
    private var wanted: [(group: EndpointPlan.Group, endpoints: [JSON])] = []
    /// Addresses beyond the limit.
    private(set) var skipped = 0

    init(_ endpoints: JSON) {
        source = endpoints
        var seen: Set<String> = []
        for subset in endpoints["subsets"]?.array ?? [] {
            let all = [("addresses", true), ("notReadyAddresses", false)].flatMap { list, isReady in
                (subset[list]?.array ?? []).map { ($0, isReady) }
            }
            skipped += max(0, all.count - Self.limit)
            let ports = Self.ports(of: subset)
            for (address, isReady) in all.prefix(Self.limit) {
                // The API takes no other.
                guard let ip = address["ip"]?.string.flatMap({ IPAddress($0) }) else { continue }
                let group = EndpointPlan.Group(family: ip.isV6 ? "IPv6" : "IPv4", ports: ports)
                let identity = "\(ip) \(address["targetRef"]?["uid"]?.string ?? "") \(ports)"
                guard seen.insert(identity).inserted else { continue }
                add(Self.endpoint(address, ip, isReady), to: group)
            }
        }
    }

    private mutating func add(_ endpoint: JSON, to group: EndpointPlan.Group) {
        guard let index = wanted.firstIndex(where: { $0.group == group }) else {
            return wanted.append((group, [endpoint]))
        }
        // Subsets with the same ports share a slice, which has no more room than one of them.
        guard wanted[index].endpoints.count < Self.limit else { return skipped += 1 }
        wanted[index].endpoints.append(endpoint)
    }

    private static func ports(of subset: JSON) -> JSON {
        .array(
            (subset["ports"]?.array ?? []).map { port in
                var port = port
                // Slices have a name for every port, also the empty one.
                if port["name"] == nil { port["name"] = "" }
                return port
            })
    }

    private static func endpoint(_ address: JSON, _ ip: IPAddress, _ isReady: Bool) -> JSON {
        var endpoint: JSON = ["addresses": [.string("\(ip)")], "conditions": ["ready": .bool(isReady)]]
        for field in ["hostname", "nodeName", "targetRef"] { endpoint[field] = address[field] }
        return endpoint
    }

    /// What turns `present`, the slices mirrored so far, into what is wanted.
    func steps(from present: [JSON]) -> EndpointPlan.Steps {
        var steps = EndpointPlan.Steps()
        var unused = present
        for (group, endpoints) in wanted {
            if let index = unused.firstIndex(where: { EndpointPlan.group(of: $0) == group }) {
                let slice = unused.remove(at: index)
                let updated = fill(slice, endpoints)
                if updated != slice { steps.update.append(updated) }
            } else {
                steps.create.append(fill(make(group), endpoints))
            }
        }
        steps.delete = unused
        return steps
    }

    private func make(_ group: EndpointPlan.Group) -> JSON {
        let name = source["metadata"]?["name"]?.string ?? ""
        return [
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": [
                "generateName": .string("\(name)-"), "namespace": source["metadata"]?["namespace"] ?? "",
            ],
            "addressType": .string(group.family), "ports": group.ports,
        ]
    }

    private func fill(_ slice: JSON, _ endpoints: [JSON]) -> JSON {
        var slice = slice
        var labels = source["metadata"]?["labels"] ?? [:]
        labels[EndpointPlan.serviceLabel] = source["metadata"]?["name"]
        labels[EndpointPlan.managedByLabel] = .string(Self.managedBy)
        var annotations = source["metadata"]?["annotations"] ?? [:]
        for name in Self.ownAnnotations { annotations[name] = nil }
        slice.set("metadata", "labels", to: labels)
        slice.set("metadata", "annotations", to: annotations == [:] ? nil : annotations)
        slice.set("metadata", "ownerReferences", to: [Ownership.reference(to: source, "v1", "Endpoints")])
        slice["endpoints"] = .array(endpoints)
        return slice
    }
}
