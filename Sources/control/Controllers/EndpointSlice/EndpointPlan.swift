// Which slices a Service should have, as a value: pods in, slices out, and the fewest writes between.
//
// Endpoints are grouped by address family and by resolved ports (a named targetPort may differ from pod to pod)
// and cut into slices of at most 100. An endpoint stays in the slice it is in.

import Client
import Objects

struct EndpointPlan {
    struct Steps {
        var create: [JSON] = []
        var update: [JSON] = []
        var delete: [JSON] = []

        var isEmpty: Bool { create.isEmpty && update.isEmpty && delete.isEmpty }

        /// New and changed slices first: no moment without an address that stays.
        func write(with client: any APIClient) async throws(APIStatus) {
            for slice in create { _ = try await client.create(.endpointSlices, slice) }
            for slice in update { _ = try await client.update(.endpointSlices, slice) }
            for slice in delete { try await client.deleteIfPresent(.endpointSlices, ObjectKey(slice)) }
        }
    }

    /// What endpoints of one slice share.
    struct Group: Hashable {
        let family: String
        let ports: JSON
    }

    /// As in kube-controller-manager's --max-endpoints-per-slice.
    private static let sliceSize = 100
    static let serviceLabel = "kubernetes.io/service-name"
    static let managedByLabel = "endpointslice.kubernetes.io/managed-by"

    private let service: JSON
    private var wanted: [Group: [JSON]] = [:]

    init(service: JSON, pods: [JSON]) {
        self.service = service
        let families = service["spec"]?["ipFamilies"]?.strings ?? ["IPv4"]
        let publishNotReady = service["spec"]?["publishNotReadyAddresses"]?.bool ?? false
        for family in families {
            for pod in pods {
                guard let address = ServicePods.address(of: pod, family) else { continue }
                let group = Group(family: family, ports: .array(ServicePods.ports(of: service, for: pod)))
                wanted[group, default: []].append(Self.endpoint(pod, address, service, publishNotReady))
            }
        }
        // A Service without pods has one empty slice: it says "nobody" rather than nothing.
        if wanted.isEmpty {
            let ports = JSON.array(ServicePods.ports(of: service, for: nil))
            for family in families { wanted[Group(family: family, ports: ports)] = [] }
        }
    }

    static func service(of slice: JSON) -> ObjectKey? {
        guard let name = slice["metadata"]?["labels"]?[serviceLabel]?.string else { return nil }
        return ObjectKey(namespace: slice["metadata"]?["namespace"]?.string ?? "", name: name)
    }

    private static func endpoint(_ pod: JSON, _ address: String, _ service: JSON, _ publishNotReady: Bool) -> JSON {
        let serving = PodFacts.isReady(pod)
        let terminating = ServicePods.isTerminating(pod)
        var endpoint = ServicePods.describe(pod, for: service)
        endpoint["addresses"] = [.string(address)]
        endpoint["conditions"] = [
            "ready": .bool(publishNotReady || (serving && !terminating)), "serving": .bool(serving),
            "terminating": .bool(terminating),
        ]
        return endpoint
    }

    // MARK: - Slices

    /// What turns `present` into what is wanted, with as few writes as can be.
    func steps(from present: [JSON]) -> Steps {
        var steps = Steps()
        var unused = present
        let sorted = wanted.sorted { "\($0.key.family)\($0.key.ports)" < "\($1.key.family)\($1.key.ports)" }
        for (group, endpoints) in sorted {
            let mine = unused.filter { Self.group(of: $0) == group }
            unused.removeAll { Self.group(of: $0) == group }
            fill(mine, with: endpoints, group, &steps)
        }
        steps.delete += unused
        return steps
    }

    static func group(of slice: JSON) -> Group {
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
        labels[Self.managedByLabel] = .string(EndpointSliceController.managedBy)
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
