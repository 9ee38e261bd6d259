// Cells of networking.k8s.io/v1.

internal import System

enum NetworkTable {
    static let printers: [String: TableRow.Printer] = [
        "Ingress.networking.k8s.io": { ingress($0, $1) },
        "IngressClass.networking.k8s.io": { ingressClass($0, $1) },
        "NetworkPolicy.networking.k8s.io": {
            [TableRow.name($0), .string(LabelSelector.table($0.at("spec", "podSelector"))), TableRow.age($0, $1)]
        },
        "ServiceCIDR.networking.k8s.io": {
            let ranges = $0.at("spec", "cidrs")?.strings ?? []
            return [TableRow.name($0), .string(ranges.joined(separator: ",")), TableRow.age($0, $1)]
        },
        "IPAddress.networking.k8s.io": { object, _ in
            [TableRow.name(object), .string(parent(object.at("spec", "parentRef")))]
        },
    ]

    private static func ingress(_ object: JSON, _ now: Timestamp) -> [JSON] {
        let addresses = Set(
            (object.at("status", "loadBalancer", "ingress")?.array ?? []).compactMap {
                $0["ip"]?.string ?? $0["hostname"]?.string
            })
        let hasTLS = !(object.at("spec", "tls")?.array ?? []).isEmpty
        return [
            TableRow.name(object), TableRow.text(object.at("spec", "ingressClassName"), or: "<none>"),
            .string(hosts(object.at("spec", "rules")?.array ?? [])),
            .string(addresses.sorted(by: Bytes.less).joined(separator: ",")), hasTLS ? "80, 443" : "80",
            TableRow.age(object, now),
        ]
    }

    /// The first three hosts; `*` when the rules name none.
    private static func hosts(_ rules: [JSON]) -> String {
        var hosts: [String] = []
        for rule in rules {
            if hosts.count == 3 { return "\(hosts.joined(separator: ",")) + \(rules.count - 3) more..." }
            if let host = rule["host"]?.string, !host.isEmpty { hosts.append(host) }
        }
        return hosts.isEmpty ? "*" : hosts.joined(separator: ",")
    }

    private static func ingressClass(_ object: JSON, _ now: Timestamp) -> [JSON] {
        var parameters = "<none>"
        if let reference = object.at("spec", "parameters"), reference.object != nil {
            let group = reference["apiGroup"]?.string.map { ".\($0)" } ?? ""
            parameters = "\(reference["kind"]?.string ?? "")\(group)/\(reference["name"]?.string ?? "")"
        }
        return [
            TableRow.name(object), TableRow.text(object.at("spec", "controller")), .string(parameters),
            TableRow.age(object, now),
        ]
    }

    private static func parent(_ reference: JSON?) -> String {
        guard let reference, reference.object != nil else { return "<none>" }
        func part(_ key: String, _ before: String) -> String {
            let text = reference[key]?.string ?? ""
            return text.isEmpty ? "" : before + text
        }
        return part("resource", "") + part("group", ".") + part("namespace", "/") + part("name", "/")
    }
}
