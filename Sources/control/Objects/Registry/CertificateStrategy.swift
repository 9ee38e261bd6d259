// CertificateSigningRequest: the spec never changes, decisions are written through /approval, the certificate and
// everything else of the status through /status.

internal import System

public struct CertificateSigningRequestStrategy: ResourceStrategy {
    public init() {}

    public var fieldLabels: [String] { ["spec.signerName"] }

    public func setDefaults(_ object: inout JSON) {
        guard object["spec"] != nil else { return }
        if object.at("spec", "usages") == nil {
            object.set("spec", "usages", to: ["digital signature", "key encipherment"])
        }
    }

    private static let decisions: Set<String> = ["Approved", "Denied"]

    public func prepareForUpdate(_ object: inout JSON, old: JSON, target: WriteTarget) {
        object["spec"] = old["spec"]
        func conditions(_ json: JSON, decisions: Bool) -> [JSON] {
            (json.at("status", "conditions")?.array ?? []).filter {
                Self.decisions.contains($0["type"]?.string ?? "") == decisions
            }
        }
        var merged: [JSON]
        switch target {
        case .subresource("approval"):
            merged = conditions(old, decisions: false) + conditions(object, decisions: true)
            object.set("status", "certificate", to: old.at("status", "certificate"))
        case .subresource("status"):
            merged = conditions(old, decisions: true) + conditions(object, decisions: false)
        default: return
        }
        let known = old.at("status", "conditions")?.array ?? []
        for index in merged.indices { Self.stamp(&merged[index], known) }
        object.set("status", "conditions", to: merged.isEmpty ? nil : .array(merged))
        if object["status"]?.object?.isEmpty == true, old["status"] == nil { object["status"] = nil }
    }

    /// The times of a new or changed condition.
    private static func stamp(_ condition: inout JSON, _ known: [JSON]) {
        let now = JSON.string(Timestamp.now().rfc3339)
        let before = known.first { $0["type"] == condition["type"] }
        let isEmpty = { (value: JSON?) in value == nil || value == .null || value == "" }
        if isEmpty(condition["lastUpdateTime"]) { condition["lastUpdateTime"] = now }
        if isEmpty(condition["lastTransitionTime"]) {
            let same = before?["status"] == condition["status"]
            condition["lastTransitionTime"] = same ? before?["lastTransitionTime"] ?? now : now
        }
    }

    public func validate(_ object: JSON) -> [FieldError] { CertificateRules.spec(object["spec"]) }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        CertificateRules.conditions(object, old: old)
    }
}
