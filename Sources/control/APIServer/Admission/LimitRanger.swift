// LimitRanges of a namespace: default requests and limits for containers, then minimum, maximum and ratio for
// containers, pods and claims (core/v1 LimitRange).
//
// A pod's containers hardly change after it was made, so pods are looked at when created and when resized; claims
// also when they grow.

internal import Objects

struct LimitRanger: AdmissionStep {
    static let annotation = "kubernetes.io/limit-ranger"

    func concerns(_ site: AdmissionSite) -> Bool {
        site.creates(.pods) || site.writes(.persistentVolumeClaims)
            || (site.resource == .pods && site.target == .subresource("resize") && site.operation == .update)
    }

    // MARK: - Defaults

    func admit(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {
        guard request.declaration.id == .pods, request.operation == .create,
            core.admission.policies.hasAny(.limitRanges, namespace: request.namespace)
        else { return }
        var notes: [String] = []
        for range in core.admission.policies.all(.limitRanges, namespace: request.namespace) {
            for item in range.at("spec", "limits")?.array ?? [] where item["type"]?.string == "Container" {
                fill("containers", "container", item, &request.object, &notes)
                fill("initContainers", "init container", item, &request.object, &notes)
            }
        }
        if !notes.isEmpty {
            request.object.set(
                "metadata", "annotations", LimitRanger.annotation,
                to: .string("LimitRanger plugin set: " + notes.joined(separator: "; ")))
        }
    }

    private func fill(
        _ list: String, _ what: String, _ item: JSON, _ pod: inout JSON, _ notes: inout [String]
    ) {
        guard var containers = pod.at("spec", list)?.array else { return }
        for index in containers.indices {
            for (field, source) in [("requests", "defaultRequest"), ("limits", "default")] {
                var set: [String] = []
                for (name, amount) in item[source]?.object ?? JSONObject()
                where containers[index].at("resources", field, name) == nil {
                    containers[index].set("resources", field, name, to: amount)
                    set.append(name)
                }
                guard !set.isEmpty else { continue }
                let singular = field == "requests" ? "request" : "limit"
                notes.append(
                    "\(set.joined(separator: ", ")) \(singular) for \(what) \(containers[index]["name"]?.string ?? "")")
            }
        }
        pod.set("spec", list, to: .array(containers))
    }

    // MARK: - Limits

    func validate(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {
        guard core.admission.policies.hasAny(.limitRanges, namespace: request.namespace) else { return }
        var errors: [String] = []
        for range in core.admission.policies.all(.limitRanges, namespace: request.namespace) {
            for item in range.at("spec", "limits")?.array ?? [] {
                let bounds = Bounds(item)
                let spec = request.object["spec"]
                switch (bounds.type, request.declaration.id) {
                case ("Container", .pods):
                    for list in ["containers", "initContainers"] {
                        for container in spec?[list]?.array ?? [] {
                            errors += bounds.errors(
                                requests: ResourceAmounts(container.at("resources", "requests")),
                                limits: ResourceAmounts(container.at("resources", "limits")))
                        }
                    }
                case ("Pod", .pods):
                    errors += bounds.errors(
                        requests: PodResources.total(spec, "requests"), limits: PodResources.total(spec, "limits"))
                case ("PersistentVolumeClaim", .persistentVolumeClaims):
                    errors += bounds.errors(claim: ResourceAmounts(spec?.at("resources", "requests")))
                default: break
                }
            }
        }
        guard !errors.isEmpty else { return }
        throw request.forbidden(errors.count == 1 ? errors[0] : "[\(errors.joined(separator: ", "))]")
    }
}

/// One item of a LimitRange, and what breaks it.
private struct Bounds {
    /// Container, Pod or PersistentVolumeClaim.
    let type: String
    private let min: [(String, Quantity)]
    private let max: [(String, Quantity)]
    private let ratio: [(String, Quantity)]

    init(_ item: JSON) {
        func sorted(_ field: String) -> [(String, Quantity)] {
            ResourceAmounts(item[field]).sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        }
        type = item["type"]?.string ?? ""
        min = sorted("min")
        max = sorted("max")
        ratio = sorted("maxLimitRequestRatio")
    }

    func errors(requests: ResourceAmounts, limits: ResourceAmounts) -> [String] {
        var errors = min.compactMap { tooSmall($0, $1, requests[$0], limits[$0]) }
        errors += max.compactMap { tooLarge($0, $1, requests[$0], limits[$0]) }
        errors += ratio.compactMap { tooWide($0, $1, requests[$0], limits[$0]) }
        return errors
    }

    func errors(claim requests: ResourceAmounts) -> [String] {
        var errors = min.compactMap { tooSmall($0, $1, requests[$0], nil) }
        for (name, most) in max {
            let text = "maximum \(name) usage per \(type) is \(most)"
            guard let request = requests[name] else {
                errors.append(text + ".  No request is specified")
                continue
            }
            if request > most { errors.append(text + ", but request is \(request)") }
        }
        return errors
    }

    private func tooLarge(_ name: String, _ most: Quantity, _ request: Quantity?, _ limit: Quantity?) -> String? {
        let text = "maximum \(name) usage per \(type) is \(most)"
        guard let limit else { return text + ".  No limit is specified" }
        if limit > most { return text + ", but limit is \(limit)" }
        if let request, request > most { return text + ", but request is \(request)" }
        return nil
    }

    private func tooSmall(_ name: String, _ least: Quantity, _ request: Quantity?, _ limit: Quantity?) -> String? {
        let text = "minimum \(name) usage per \(type) is \(least)"
        guard let request else { return text + ".  No request is specified" }
        if request < least { return text + ", but request is \(request)" }
        if let limit, limit < least { return text + ", but limit is \(limit)" }
        return nil
    }

    private func tooWide(_ name: String, _ most: Quantity, _ request: Quantity?, _ limit: Quantity?) -> String? {
        let text = "\(name) max limit to request ratio per \(type) is \(most)"
        guard let request, !request.isZero else { return text + ", but no request is specified or request is 0" }
        guard let limit, !limit.isZero else { return text + ", but no limit is specified or limit is 0" }
        let ratio = Double(limit.nanos) / Double(request.nanos)
        guard ratio > Double(most.nanos) / 1e9 else { return nil }
        return text + ", but provided ratio is \(Bounds.sixDecimals(ratio))"
    }

    /// As C's %f prints it.
    private static func sixDecimals(_ value: Double) -> String {
        let millionths = Int128((value * 1_000_000).rounded())
        let fraction = String(Int(millionths % 1_000_000))
        return "\(millionths / 1_000_000)." + String(repeating: "0", count: 6 - fraction.utf8.count) + fraction
    }
}
