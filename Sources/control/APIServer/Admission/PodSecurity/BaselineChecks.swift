// The baseline checks of the Pod Security Standards: what lets a pod out of its container without effort.
//
// Reasons and details are Kubernetes' words: people search for them. A check says from which version of the standards
// it holds; one that changed has an entry a version.

internal import Objects

enum BaselineChecks {
    static func appArmor(_ pod: CheckedPod) -> PodFault? {
        let allowed: Set<JSON> = ["RuntimeDefault", "Localhost"]
        func isBad(_ context: JSON) -> Bool {
            context.at("appArmorProfile", "type").map { !allowed.contains($0) } ?? false
        }
        var setters = pod.setters(isBad).map { [$0] } ?? []
        var values = Set(pod.values("appArmorProfile", "type").filter { !allowed.contains($0) }.compactMap(\.string))
            .sorted().map { "\"\($0)\"" }
        let annotations = pod.annotations.filter { key, value in
            key.hasPrefix("container.apparmor.security.beta.kubernetes.io/") && !value.isEmpty
                && value != "runtime/default" && !value.hasPrefix("localhost/")
        }
        if !annotations.isEmpty {
            values += annotations.sorted { $0.key < $1.key }.map { "\"\($0.key)=\(Quote.go($0.value))\"" }
            setters.append(Words.plural("annotation", "annotations", annotations.count))
        }
        guard !setters.isEmpty else { return nil }
        return PodFault(
            reason: Words.plural("forbidden AppArmor profile", "forbidden AppArmor profiles", values.count),
            detail: "\(setters.joined(separator: " and ")) must not set AppArmor profile type to "
                + values.joined(separator: ", "))
    }

    private static let defaultCapabilities: Set<String> = [
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
        "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    ]

    static func capabilities(_ pod: CheckedPod) -> PodFault? {
        func added(_ container: JSON) -> [String] {
            (container.at("securityContext", "capabilities", "add")?.strings ?? [])
                .filter { !defaultCapabilities.contains($0) }
        }
        let bad = pod.names { !added($0).isEmpty }
        guard !bad.isEmpty else { return nil }
        return PodFault(
            reason: "non-default capabilities",
            detail: "\(Words.containers(bad)) must not include \(Words.quoted(Set(pod.containers.flatMap(added)))) in "
                + "securityContext.capabilities.add")
    }

    static func hostNamespaces(_ pod: CheckedPod) -> PodFault? {
        let shared = ["hostNetwork", "hostPID", "hostIPC"].filter { pod.spec[$0]?.bool == true }
        guard !shared.isEmpty else { return nil }
        return PodFault(reason: "host namespaces", detail: shared.map { $0 + "=true" }.joined(separator: ", "))
    }

    static func hostPathVolumes(_ pod: CheckedPod) -> PodFault? {
        let bad = (pod.spec["volumes"]?.array ?? []).filter { $0["hostPath"] != nil }.map { $0["name"]?.string ?? "" }
        guard !bad.isEmpty else { return nil }
        return PodFault(
            reason: "hostPath volumes", detail: "\(Words.plural("volume", "volumes", bad.count)) \(Words.quoted(bad))")
    }

    static func hostPorts(_ pod: CheckedPod) -> PodFault? {
        func ports(_ container: JSON) -> [String] {
            (container["ports"]?.array ?? []).compactMap { $0["hostPort"]?.int }.filter { $0 != 0 }.map { String($0) }
        }
        let bad = pod.names { !ports($0).isEmpty }
        guard !bad.isEmpty else { return nil }
        let used = Set(pod.containers.flatMap(ports)).sorted()
        return PodFault(
            reason: "hostPort",
            detail: "\(Words.containers(bad)) \(Words.plural("uses", "use", bad.count)) "
                + "\(Words.plural("hostPort", "hostPorts", used.count)) \(used.joined(separator: ", "))")
    }

    static func hostProbes(_ pod: CheckedPod) -> PodFault? {
        let paths = [
            ["livenessProbe"], ["readinessProbe"], ["startupProbe"],
            ["lifecycle", "postStart"], ["lifecycle", "preStop"],
        ]
        func hosts(_ container: JSON) -> [String] {
            paths.flatMap { path in
                ["httpGet", "tcpSocket"].compactMap { container.at(path + [$0, "host"])?.string }.filter { !$0.isEmpty }
            }
        }
        let bad = Set(pod.names { !hosts($0).isEmpty })
        guard !bad.isEmpty else { return nil }
        let used = Set(pod.containers.flatMap(hosts))
        let what = "probe or lifecycle host"
        return PodFault(
            reason: what,
            detail: "\(Words.containers(bad.sorted())) \(Words.plural("uses", "use", bad.count)) "
                + "\(Words.plural(what, what + "s", used.count)) \(Words.quoted(used))")
    }

    static func privileged(_ pod: CheckedPod) -> PodFault? {
        let bad = pod.names { $0.at("securityContext", "privileged")?.bool == true }
        guard !bad.isEmpty else { return nil }
        return PodFault(
            reason: "privileged", detail: "\(Words.containers(bad)) must not set securityContext.privileged=true")
    }

    static func procMount(_ pod: CheckedPod) -> PodFault? {
        func type(_ container: JSON) -> String? {
            container.at("securityContext", "procMount")?.string.flatMap { $0 == "Default" ? nil : $0 }
        }
        let bad = pod.names { type($0) != nil }
        guard !bad.isEmpty else { return nil }
        return PodFault(
            reason: "procMount",
            detail: "\(Words.containers(bad)) must not set securityContext.procMount to "
                + Words.quoted(Set(pod.containers.compactMap(type))))
    }

    static func procMountOutsideUserNamespace(_ pod: CheckedPod) -> PodFault? {
        pod.hasUserNamespace ? nil : procMount(pod)
    }

    static func seLinux(_ pod: CheckedPod) -> PodFault? {
        seLinux(pod, ["", "container_t", "container_init_t", "container_kvm_t"])
    }

    static func seLinuxWithEngine(_ pod: CheckedPod) -> PodFault? {
        seLinux(pod, ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"])
    }

    private static func seLinux(_ pod: CheckedPod, _ types: Set<String>) -> PodFault? {
        func text(_ context: JSON, _ key: String) -> String { context.at("seLinuxOptions", key)?.string ?? "" }
        func isBad(_ context: JSON) -> Bool {
            !types.contains(text(context, "type")) || !text(context, "user").isEmpty || !text(context, "role").isEmpty
        }
        guard let setters = pod.setters(isBad) else { return nil }
        let options = pod.values("seLinuxOptions")
        let badTypes = Set(options.compactMap { $0["type"]?.string }).subtracting(types)
        var data: [String] = []
        if !badTypes.isEmpty {
            data.append("\(Words.plural("type", "types", badTypes.count)) \(Words.quoted(badTypes))")
        }
        for key in ["user", "role"] where options.contains(where: { !($0[key]?.string ?? "").isEmpty }) {
            data.append("\(key) may not be set")
        }
        return PodFault(
            reason: "seLinuxOptions",
            detail: "\(setters) set forbidden securityContext.seLinuxOptions: \(data.joined(separator: "; "))")
    }

    /// Before the field there were annotations.
    static func seccompAnnotations(_ pod: CheckedPod) -> PodFault? {
        var keys = ["seccomp.security.alpha.kubernetes.io/pod"]
        keys += pod.containers.map { "container.seccomp.security.alpha.kubernetes.io/" + ($0["name"]?.string ?? "") }
        let bad = Set(
            keys.compactMap { key -> String? in
                guard let value = pod.annotations[key], value != "runtime/default", value != "docker/default",
                    !value.hasPrefix("localhost/")
                else { return nil }
                return "\(key)=\(Quote.go(value))"
            }
        ).sorted()
        guard !bad.isEmpty else { return nil }
        return PodFault(
            reason: "seccompProfile",
            detail: "forbidden \(Words.plural("annotation", "annotations", bad.count)) \(bad.joined(separator: ", "))")
    }

    static func seccomp(_ pod: CheckedPod) -> PodFault? {
        let allowed: Set<JSON> = ["RuntimeDefault", "Localhost"]
        func bad(_ context: JSON) -> Bool {
            context["seccompProfile"].map { !allowed.contains($0["type"] ?? "") } ?? false
        }
        guard let setters = pod.setters(bad) else { return nil }
        let values = Set(pod.values("seccompProfile", "type").filter { !allowed.contains($0) }.compactMap(\.string))
        return PodFault(
            reason: "seccompProfile",
            detail: "\(setters) must not set securityContext.seccompProfile.type to \(Words.quoted(values))")
    }

    static func windowsHostProcess(_ pod: CheckedPod) -> PodFault? {
        guard let setters = pod.setters({ $0.at("windowsOptions", "hostProcess")?.bool == true }) else { return nil }
        return PodFault(
            reason: "hostProcess", detail: "\(setters) must not set securityContext.windowsOptions.hostProcess=true")
    }

    // MARK: - Sysctls

    private static let names0: Set<String> = [
        "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start",
    ]
    private static let names27 = names0.union(["net.ipv4.ip_local_reserved_ports"])
    private static let names29 = names27.union([
        "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
    ])
    private static let names32 = names29.union(["net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"])

    static func sysctls0(_ pod: CheckedPod) -> PodFault? { sysctls(pod, names0) }
    static func sysctls27(_ pod: CheckedPod) -> PodFault? { sysctls(pod, names27) }
    static func sysctls29(_ pod: CheckedPod) -> PodFault? { sysctls(pod, names29) }
    static func sysctls32(_ pod: CheckedPod) -> PodFault? { sysctls(pod, names32) }

    private static func sysctls(_ pod: CheckedPod, _ allowed: Set<String>) -> PodFault? {
        let bad = (pod.spec.at("securityContext", "sysctls")?.array ?? []).compactMap { $0["name"]?.string }
            .filter { !allowed.contains($0) }
        guard !bad.isEmpty else { return nil }
        return PodFault(reason: "forbidden sysctls", detail: bad.joined(separator: ", "))
    }
}
