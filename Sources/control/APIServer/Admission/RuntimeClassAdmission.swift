// A pod takes over what its RuntimeClass says: overhead, node selector, tolerations (node.k8s.io/v1 RuntimeClass).

internal import Objects

struct RuntimeClassAdmission: AdmissionStep {
    func concerns(_ site: AdmissionSite) -> Bool { site.creates(.pods) }

    func admit(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {
        let spec = request.object["spec"]
        let name = spec?["runtimeClassName"]?.string ?? ""
        guard !name.isEmpty else {
            if !(spec?["overhead"]?.object ?? JSONObject()).isEmpty { throw withoutOverhead(request) }
            return
        }
        guard let chosen = core.admission.policies.find(.runtimeClasses, name: name) else {
            throw request.forbidden("pod rejected: RuntimeClass \(Quote.go(name)) not found")
        }
        if let overhead = chosen.at("overhead", "podFixed") {
            if let given = spec?["overhead"], ResourceAmounts(given) != ResourceAmounts(overhead) {
                throw request.forbidden(
                    "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
            }
            request.object.set("spec", "overhead", to: overhead)
        } else if !(spec?["overhead"]?.object ?? JSONObject()).isEmpty {
            throw withoutOverhead(request)
        }
        try schedule(chosen["scheduling"], &request)
    }

    private func withoutOverhead(_ request: AdmissionRequest) -> APIStatus {
        request.forbidden("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
    }

    private func schedule(_ scheduling: JSON?, _ request: inout AdmissionRequest) throws(APIStatus) {
        for (key, value) in scheduling?["nodeSelector"]?.object ?? JSONObject() {
            if let given = request.object.at("spec", "nodeSelector", key), given != value {
                throw request.forbidden(
                    "conflict: runtimeClass.scheduling.nodeSelector[\(key)] = \(value.string ?? ""); "
                        + "pod.spec.nodeSelector[\(key)] = \(given.string ?? "")")
            }
            request.object.set("spec", "nodeSelector", key, to: value)
        }
        guard let more = scheduling?["tolerations"]?.array, !more.isEmpty else { return }
        let own = request.object.at("spec", "tolerations")?.array ?? []
        request.object.set("spec", "tolerations", to: .array(own + more.filter { !own.contains($0) }))
    }
}
