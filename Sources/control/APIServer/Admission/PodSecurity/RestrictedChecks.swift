// The restricted checks of the Pod Security Standards: what a hardened pod must say by itself. Windows pods have none
// of these knobs since version 1.25.

internal import Objects

enum RestrictedChecks {
    static func privilegeEscalation(_ pod: CheckedPod) -> PodFault? {
        let bad = pod.names { $0.at("securityContext", "allowPrivilegeEscalation")?.bool != false }
        guard !bad.isEmpty else { return nil }
        return PodFault(
            reason: "allowPrivilegeEscalation != false",
            detail: "\(Words.containers(bad)) must set securityContext.allowPrivilegeEscalation=false")
    }

    static func capabilities(_ pod: CheckedPod) -> PodFault? {
        func added(_ container: JSON) -> [String] {
            (container.at("securityContext", "capabilities", "add")?.strings ?? []).filter { $0 != "NET_BIND_SERVICE" }
        }
        let keeping = pod.names {
            !($0.at("securityContext", "capabilities", "drop")?.strings ?? []).contains("ALL")
        }
        let adding = pod.names { !added($0).isEmpty }
        var details: [String] = []
        if !keeping.isEmpty {
            details.append("\(Words.containers(keeping)) must set securityContext.capabilities.drop=[\"ALL\"]")
        }
        if !adding.isEmpty {
            details.append(
                "\(Words.containers(adding)) must not include \(Words.quoted(Set(pod.containers.flatMap(added)))) in "
                    + "securityContext.capabilities.add")
        }
        return details.isEmpty
            ? nil : PodFault(reason: "unrestricted capabilities", detail: details.joined(separator: "; "))
    }

    private static let volumeTypes: Set<String> = [
        "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected",
        "secret",
    ]

    static func volumes(_ pod: CheckedPod) -> PodFault? {
        var names: [String] = []
        var types: Set<String> = []
        for volume in pod.spec["volumes"]?.array ?? [] {
            let kinds = (volume.object?.keys ?? []).filter { $0 != "name" }
            if kinds.contains(where: volumeTypes.contains) { continue }
            names.append(volume["name"]?.string ?? "")
            types.insert(kinds.first ?? "unknown")
        }
        guard !names.isEmpty else { return nil }
        let type = "restricted volume type"
        return PodFault(
            reason: "restricted volume types",
            detail: "\(Words.plural("volume", "volumes", names.count)) \(Words.quoted(names)) "
                + "\(Words.plural("uses", "use", names.count)) \(Words.plural(type, type + "s", types.count)) "
                + Words.quoted(types))
    }

    static func runAsNonRoot(_ pod: CheckedPod) -> PodFault? {
        let reason = "runAsNonRoot != true"
        if let setters = pod.setters({ $0["runAsNonRoot"]?.bool == false }) {
            return PodFault(reason: reason, detail: "\(setters) must not set securityContext.runAsNonRoot=false")
        }
        if pod.spec.at("securityContext", "runAsNonRoot")?.bool == true { return nil }
        let bad = pod.names { $0.at("securityContext", "runAsNonRoot")?.bool == nil }
        guard !bad.isEmpty else { return nil }
        return PodFault(
            reason: reason, detail: "pod or \(Words.containers(bad)) must set securityContext.runAsNonRoot=true")
    }

    static func runAsUser(_ pod: CheckedPod) -> PodFault? {
        guard let setters = pod.setters({ $0["runAsUser"]?.int == 0 }) else { return nil }
        return PodFault(reason: "runAsUser=0", detail: "\(setters) must not set runAsUser=0")
    }

    static func seccomp(_ pod: CheckedPod) -> PodFault? {
        if let fault = BaselineChecks.seccomp(pod) { return fault }
        // A bad type was found above: what is set is good.
        if pod.spec.at("securityContext", "seccompProfile") != nil { return nil }
        let bad = pod.names { $0.at("securityContext", "seccompProfile") == nil }
        guard !bad.isEmpty else { return nil }
        return PodFault(
            reason: "seccompProfile",
            detail: "pod or \(Words.containers(bad)) must set securityContext.seccompProfile.type to "
                + "\"RuntimeDefault\" or \"Localhost\"")
    }

    static func unlessWindows(_ check: @escaping PodCheck.Function) -> PodCheck.Function {
        { $0.isWindows ? nil : check($0) }
    }

    static func unlessUserNamespace(_ check: @escaping PodCheck.Function) -> PodCheck.Function {
        { $0.hasUserNamespace ? nil : check($0) }
    }
}
