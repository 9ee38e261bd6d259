// Cells of who may do what: role bindings and certificate signing requests.

internal import System

enum AccessTable {
    static let printers: [String: TableRow.Printer] = [
        "RoleBinding.rbac.authorization.k8s.io": { binding($0, $1) },
        "ClusterRoleBinding.rbac.authorization.k8s.io": { binding($0, $1) },
        "CertificateSigningRequest.certificates.k8s.io": { signingRequest($0, $1) },
    ]

    private static func binding(_ object: JSON, _ now: Timestamp) -> [JSON] {
        let subjects = object["subjects"]?.array ?? []
        func names(_ kind: String, _ name: (JSON) -> String) -> JSON {
            .string(subjects.filter { $0["kind"]?.string == kind }.map(name).joined(separator: ", "))
        }
        func plain(_ subject: JSON) -> String { subject["name"]?.string ?? "" }
        let role = object["roleRef"]
        return [
            TableRow.name(object), "\(role?["kind"]?.string ?? "")/\(role?["name"]?.string ?? "")",
            TableRow.age(object, now), names("User", plain), names("Group", plain),
            names("ServiceAccount") { "\($0["namespace"]?.string ?? "")/\(plain($0))" },
        ]
    }

    private static func signingRequest(_ object: JSON, _ now: Timestamp) -> [JSON] {
        let spec = object["spec"]
        let types = Set((object.at("status", "conditions")?.array ?? []).compactMap { $0["type"]?.string })
        var state = types.contains("Denied") ? "Denied" : types.contains("Approved") ? "Approved" : "Pending"
        if types.contains("Failed") { state += ",Failed" }
        if !(object.at("status", "certificate")?.string ?? "").isEmpty { state += ",Issued" }
        let duration = spec?["expirationSeconds"]?.int.map { HumanDuration.text(seconds: $0) }
        return [
            TableRow.name(object), TableRow.age(object, now), TableRow.text(spec?["signerName"], or: "<none>"),
            TableRow.text(spec?["username"]), .string(duration ?? "<none>"), .string(state),
        ]
    }
}
