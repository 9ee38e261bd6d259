// The cells of the tables that `kubectl get` prints, computed by the server as Kubernetes computes them
// (pkg/printers/internalversion). One function a kind, one file a group of kinds; the columns are in the kinds'
// declarations and the functions keep their order, wide ones included. Here are the kinds every cluster uses; the
// cells of a pod are in PodTable.swift.

public import System

/// Rows of a meta/v1 Table.
public enum TableRow {
    /// The cells of an object in the order of its kind's columns; kinds without a printer of their own have two, the
    /// name and the time of creation.
    /// - Parameter now: what ages are measured against.
    public static func cells(for kind: GroupVersionKind, _ object: JSON, now: Timestamp) -> [JSON] {
        guard let printer = printers[kind.groupKind] else {
            return [
                .string(object.at("metadata", "name")?.string ?? ""),
                object.at("metadata", "creationTimestamp") ?? .null,
            ]
        }
        return printer(object, now)
    }

    /// Whether the kind has a printer, and so the columns of its declaration.
    public static func hasPrinter(_ kind: GroupVersionKind) -> Bool { printers[kind.groupKind] != nil }

    typealias Printer = @Sendable (JSON, Timestamp) -> [JSON]

    private static let printers: [String: Printer] = {
        let groups = [
            common, CoreTable.printers, WorkloadTable.printers, AutoscalingTable.printers, NetworkTable.printers,
            StorageTable.printers, AccessTable.printers, ControlTable.printers, DeviceTable.printers,
        ]
        return groups.reduce(into: [:]) { $0.merge($1) { first, _ in first } }
    }()

    private static let common: [String: Printer] = [
        "Pod": { PodTable.cells(Pod($0), now: $1) },
        "Deployment.apps": { deployment(Deployment($0), $1) },
        "ReplicaSet.apps": { replicaSet(ReplicaSet($0), $1) },
        "Service": { service(Service($0), $1) },
        "EndpointSlice.discovery.k8s.io": { endpointSlice(EndpointSlice($0), $1) },
        "Node": { node(Node($0), $1) },
        "Namespace": { [name($0), .string(Namespace($0).phase), age($0, $1)] },
        "ConfigMap": { [name($0), count($0["data"], $0["binaryData"]), age($0, $1)] },
        "Secret": { [name($0), .string($0["type"]?.string ?? ""), count($0["data"]), age($0, $1)] },
        "ServiceAccount": { [name($0), age($0, $1)] },
        "Lease.coordination.k8s.io": { [name($0), .string(Lease($0).spec.holderIdentity), age($0, $1)] },
        "Event": { event($0, $1) },
        "Event.events.k8s.io": { event($0, $1) },
    ]

    // MARK: Common cells

    static func name(_ object: JSON) -> JSON { .string(object.at("metadata", "name")?.string ?? "") }

    static func age(_ object: JSON, _ now: Timestamp) -> JSON {
        .string(HumanDuration.text(since: ObjectMeta(object["metadata"] ?? [:]).creationTimestamp, now: now))
    }

    static func orNone(_ text: String) -> JSON { .string(text.isEmpty ? "<none>" : text) }

    static func orUnknown(_ json: JSON?) -> JSON {
        guard let text = json?.string, !text.isEmpty else { return "<unknown>" }
        return .string(text)
    }

    static func count(_ maps: JSON?...) -> JSON {
        .int(Int64(maps.reduce(0) { $0 + ($1?.object?.count ?? 0) }))
    }

    private static func number(_ value: Int?) -> JSON { .int(Int64(value ?? 0)) }

    /// An integer field; 0 when it is missing.
    static func number(_ value: JSON?) -> JSON { .int(value?.int ?? 0) }

    /// A text field; `other` when it is missing or empty.
    static func text(_ value: JSON?, or other: String = "") -> JSON {
        guard let text = value?.string, !text.isEmpty else { return .string(other) }
        return .string(text)
    }

    /// The number of elements of a list.
    static func length(_ list: JSON?) -> JSON { .int(Int64(list?.array?.count ?? 0)) }

    /// `a=1,b=2`, or `<none>`.
    static func labels(_ map: JSON?) -> JSON {
        orNone((map?.object ?? JSONObject()).map { "\($0.key)=\($0.value.string ?? "")" }.joined(separator: ","))
    }

    static func time(_ value: JSON?) -> Timestamp? { value?.string.flatMap { Timestamp(rfc3339: $0) } }

    /// Whether a condition of that type is "True".
    static func condition(_ object: JSON, _ type: String) -> JSON? {
        object.at("status", "conditions")?.array?.first { $0["type"]?.string == type }
    }

    /// Names and images of a template's containers.
    static func containers(_ template: PodTemplate) -> [JSON] {
        let containers = template.spec.containers
        return [
            .string(containers.map(\.name).joined(separator: ",")),
            .string(containers.map(\.image).joined(separator: ",")),
        ]
    }

    // MARK: Kinds

    private static func deployment(_ deployment: Deployment, _ now: Timestamp) -> [JSON] {
        let status = deployment.status
        // Zero, not the default of one, as Kubernetes prints an object that was never defaulted.
        let desired = deployment.json.at("spec", "replicas")?.int ?? 0
        return [
            name(deployment.json), "\(status.readyReplicas ?? 0)/\(desired)", number(status.updatedReplicas),
            number(status.availableReplicas), age(deployment.json, now),
        ] + containers(deployment.spec.template) + [.string(LabelSelector.table(deployment.spec.selector))]
    }

    private static func replicaSet(_ set: ReplicaSet, _ now: Timestamp) -> [JSON] {
        [
            name(set.json), .int(set.json.at("spec", "replicas")?.int ?? 0), number(set.status.replicas),
            number(set.status.readyReplicas), age(set.json, now),
        ] + containers(set.spec.template) + [.string(LabelSelector.table(set.spec.selector))]
    }

    private static func service(_ service: Service, _ now: Timestamp) -> [JSON] {
        let spec = service.spec
        let ports = spec.ports.map { port in
            let node = port.nodePort.map { $0 > 0 ? ":\($0)" : "" } ?? ""
            return "\(port.port ?? 0)\(node)/\(port.protocol)"
        }
        return [
            name(service.json), .string(spec.type), orNone(spec.clusterIPs.first ?? spec.clusterIP),
            .string(externalAddress(service)), orNone(ports.joined(separator: ",")), age(service.json, now),
            orNone(
                spec.selector.sorted { Bytes.less($0.key, $1.key) }.map { "\($0.key)=\($0.value)" }
                    .joined(separator: ",")),
        ]
    }

    private static func externalAddress(_ service: Service) -> String {
        let external = service.spec.externalIPs
        switch service.spec.type {
        case "ClusterIP", "NodePort": return external.isEmpty ? "<none>" : external.joined(separator: ",")
        case "LoadBalancer":
            var seen: Set<String> = []
            let ingress = (service.json.at("status", "loadBalancer", "ingress")?.array ?? []).compactMap {
                $0["ip"]?.string ?? $0["hostname"]?.string
            }.filter { seen.insert($0).inserted }.sorted()
            let all = ingress + external
            return all.isEmpty ? "<pending>" : all.joined(separator: ",")
        case "ExternalName": return service.spec.externalName
        default: return "<unknown>"
        }
    }

    private static func endpointSlice(_ slice: EndpointSlice, _ now: Timestamp) -> [JSON] {
        let ports = slice.ports.map { port in port.port.map(String.init) ?? (port.name.isEmpty ? "*" : port.name) }
        return [
            name(slice.json), .string(slice.addressType), .string(few(ports)),
            .string(few(slice.endpoints.flatMap(\.addresses))), age(slice.json, now),
        ]
    }

    /// The first three of a list.
    private static func few(_ list: [String]) -> String {
        let shown = list.prefix(3).joined(separator: ",")
        if list.count > 3 { return "\(shown) + \(list.count - 3) more..." }
        return shown.isEmpty ? "<unset>" : shown
    }

    private static func node(_ node: Node, _ now: Timestamp) -> [JSON] {
        var state = node.status.condition("Ready").map { [$0.isTrue ? "Ready" : "NotReady"] } ?? ["Unknown"]
        if node.spec.unschedulable { state.append("SchedulingDisabled") }
        let info = node.status.nodeInfo
        return [
            name(node.json), .string(state.joined(separator: ",")), orNone(roles(node).joined(separator: ",")),
            age(node.json, now), .string(info?["kubeletVersion"]?.string ?? ""),
            orNone(node.status.address("InternalIP") ?? ""), orNone(node.status.address("ExternalIP") ?? ""),
            orUnknown(info?["osImage"]), orUnknown(info?["kernelVersion"]), orUnknown(info?["containerRuntimeVersion"]),
        ]
    }

    private static func roles(_ node: Node) -> [String] {
        var roles: Set<String> = []
        for (label, value) in node.metadata.labels {
            let prefix = "node-role.kubernetes.io/"
            if label.hasPrefix(prefix) {
                let role = String(label.dropFirst(prefix.count))
                if !role.isEmpty { roles.insert(role) }
            } else if label == "kubernetes.io/role", !value.isEmpty {
                roles.insert(value)
            }
        }
        return roles.sorted(by: Bytes.less)
    }

    /// Both forms of events: core/v1, and events.k8s.io/v1 with its other names for the same fields.
    private static func event(_ event: JSON, _ now: Timestamp) -> [JSON] {
        func time(_ keys: String...) -> Timestamp? {
            for key in keys {
                if let time = event[key]?.string.flatMap({ Timestamp(rfc3339: $0) }) { return time }
            }
            return nil
        }
        let first = time("firstTimestamp", "deprecatedFirstTimestamp", "eventTime")
        var last = time("lastTimestamp", "deprecatedLastTimestamp") ?? first
        var count = event["count"]?.int ?? event["deprecatedCount"]?.int ?? 0
        if let series = event["series"], !series.isNull {
            last = series["lastObservedTime"]?.string.flatMap { Timestamp(rfc3339: $0) }
            count = series["count"]?.int ?? 0
        } else if count == 0 {
            count = 1
        }
        let object = ObjectReference(event["involvedObject"] ?? event["regarding"] ?? [:])
        let kind = object.kind.lowercased()
        let source = EventSource(event["source"] ?? event["deprecatedSource"] ?? [:])
        let reporter = event["reportingComponent"]?.string ?? event["reportingController"]?.string ?? ""
        let component = source.component.isEmpty ? reporter : source.component
        return [
            .string(HumanDuration.text(since: last, now: now)), event["type"] ?? "", event["reason"] ?? "",
            .string(object.name.isEmpty ? kind : "\(kind)/\(object.name)"), .string(object.fieldPath),
            .string(source.host.isEmpty ? component : "\(component), \(source.host)"),
            .string(trimmed(event["message"]?.string ?? event["note"]?.string ?? "")),
            .string(HumanDuration.text(since: first, now: now)), .int(count), name(event),
        ]
    }

    private static func trimmed(_ text: String) -> String {
        let start = text.drop(while: \.isWhitespace)
        guard let end = start.lastIndex(where: { !$0.isWhitespace }) else { return "" }
        return String(start[...end])
    }
}
