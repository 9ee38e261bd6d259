// Cells of resource.k8s.io/v1.

internal import System

enum DeviceTable {
    static let printers: [String: TableRow.Printer] = [
        "DeviceClass.resource.k8s.io": { [TableRow.name($0), TableRow.age($0, $1)] },
        "ResourceClaimTemplate.resource.k8s.io": { [TableRow.name($0), TableRow.age($0, $1)] },
        "ResourceClaim.resource.k8s.io": { [TableRow.name($0), .string(state($0)), TableRow.age($0, $1)] },
        "ResourceSlice.resource.k8s.io": {
            [
                TableRow.name($0), TableRow.text($0.at("spec", "nodeName")), TableRow.text($0.at("spec", "driver")),
                TableRow.text($0.at("spec", "pool", "name")), TableRow.age($0, $1),
            ]
        },
    ]

    private static func state(_ object: JSON) -> String {
        let isDeleted = object.at("metadata", "deletionTimestamp") != nil
        var states = isDeleted ? ["deleted"] : []
        if object.at("status", "allocation") == nil {
            if !isDeleted { states.append("pending") }
        } else {
            states.append("allocated")
            if !(object.at("status", "reservedFor")?.array ?? []).isEmpty { states.append("reserved") }
        }
        return states.joined(separator: ",")
    }
}
