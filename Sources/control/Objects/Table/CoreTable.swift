// Cells of the rest of the core group: Endpoints, quotas, templates, component statuses.

internal import System

enum CoreTable {
    static let printers: [String: TableRow.Printer] = [
        "Endpoints": { [TableRow.name($0), .string(endpoints($0)), TableRow.age($0, $1)] },
        "PodTemplate": { object, _ in
            [TableRow.name(object)] + TableRow.containers(PodTemplate(object["template"] ?? [:]))
                + [TableRow.labels(object.at("template", "metadata", "labels"))]
        },
        "ResourceQuota": { quota($0, $1) },
        "ComponentStatus": { object, _ in componentStatus(object) },
    ]

    /// The first three of all address and port pairs.
    private static func endpoints(_ object: JSON) -> String {
        let subsets = object["subsets"]?.array ?? []
        if subsets.isEmpty { return "<none>" }
        var all: [String] = []
        for subset in subsets {
            let addresses = (subset["addresses"]?.array ?? []).compactMap { $0["ip"]?.string }
            let ports = subset["ports"]?.array ?? []
            if ports.isEmpty { all += addresses }
            for port in ports {
                all += addresses.map { ($0.contains(":") ? "[\($0)]" : $0) + ":\(port["port"]?.int ?? 0)" }
            }
        }
        let shown = all.prefix(3).joined(separator: ",")
        return all.count > 3 ? "\(shown) + \(all.count - 3) more..." : shown
    }

    /// `used/hard` of each resource, limits apart from all else.
    private static func quota(_ object: JSON, _ now: Timestamp) -> [JSON] {
        var requests: [String] = []
        var limits: [String] = []
        for (name, hard) in object.at("status", "hard")?.object ?? JSONObject() {
            let used = Quantity(object.at("status", "used", name)) ?? Quantity(0)
            let text = "\(name): \(used)/\(Quantity(hard) ?? Quantity(0))"
            if name.hasPrefix("limits") { limits.append(text) } else { requests.append(text) }
        }
        return [
            TableRow.name(object), .string(requests.joined(separator: ", ")),
            .string(limits.joined(separator: ", ")), TableRow.age(object, now),
        ]
    }

    private static func componentStatus(_ object: JSON) -> [JSON] {
        let healthy = object["conditions"]?.array?.first { $0["type"] == "Healthy" }
        let status: JSON =
            switch healthy?["status"]?.string {
            case "True": "Healthy"
            case "False": "Unhealthy"
            default: "Unknown"
            }
        return [TableRow.name(object), status, TableRow.text(healthy?["message"]), TableRow.text(healthy?["error"])]
    }
}
