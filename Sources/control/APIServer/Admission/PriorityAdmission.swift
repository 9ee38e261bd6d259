// spec.priority and spec.preemptionPolicy of a pod from its PriorityClass, the global default one when it names none;
// and only one class may be the default.

internal import Objects

struct PriorityAdmission: AdmissionStep {
    func concerns(_ site: AdmissionSite) -> Bool { site.writes(.pods) || site.writes(.priorityClasses) }

    func admit(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {
        guard request.declaration.id == .pods else { return }
        if let old = request.old {
            // What was decided at create stays when an update leaves it out.
            for field in ["priority", "preemptionPolicy"] where request.object.at("spec", field) == nil {
                request.object.set("spec", field, to: old.at("spec", field))
            }
            return
        }
        let spec = request.object["spec"]
        var priority: Int64 = 0
        var policy = "PreemptLowerPriority"
        let name = spec?["priorityClassName"]?.string ?? ""
        if let chosen = try priorityClass(name, request, core) {
            priority = chosen["value"]?.int ?? 0
            policy = chosen["preemptionPolicy"]?.string ?? policy
            request.object.set("spec", "priorityClassName", to: chosen.at("metadata", "name"))
        }
        let origin = "priority admission controller computed"
        if let given = spec?["priority"]?.int, given != priority {
            throw request.forbidden(
                "the integer value of priority (\(given)) must not be provided in pod spec; \(origin) \(priority) "
                    + "from the given PriorityClass name")
        }
        if let given = spec?["preemptionPolicy"]?.string, given != policy {
            throw request.forbidden(
                "the string value of PreemptionPolicy (\(given)) must not be provided in pod spec; \(origin) "
                    + "\(policy) from the given PriorityClass name")
        }
        request.object.set("spec", "priority", to: .int(priority))
        request.object.set("spec", "preemptionPolicy", to: .string(policy))
    }

    private func priorityClass(
        _ name: String, _ request: AdmissionRequest, _ core: APICore
    ) throws(APIStatus) -> JSON? {
        guard !name.isEmpty else { return PriorityAdmission.globalDefault(core) }
        guard let found = core.admission.policies.find(.priorityClasses, name: name) else {
            throw request.forbidden("no PriorityClass with name \(name) was found")
        }
        return found
    }

    /// Should there be several after all, the one of the lowest value.
    private static func globalDefault(_ core: APICore) -> JSON? {
        core.admission.policies.all(.priorityClasses).filter { $0["globalDefault"]?.bool == true }
            .min { ($0["value"]?.int ?? 0) < ($1["value"]?.int ?? 0) }
    }

    func validate(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {
        guard request.declaration.id == .priorityClasses, request.object["globalDefault"]?.bool == true,
            let present = PriorityAdmission.globalDefault(core)?.at("metadata", "name")?.string
        else { return }
        if request.operation == .create || present != request.name {
            throw request.forbidden(
                "PriorityClass \(present) is already marked as default. Only one default can exist")
        }
    }
}
