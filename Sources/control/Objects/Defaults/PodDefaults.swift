// The defaults of pods and pod templates that kube-apiserver applies by code (pkg/apis/core/v1 defaults). Idempotent.

enum PodDefaults {
    /// A pod: the spec's defaults, and those that templates do not get.
    static func setPod(_ pod: inout JSON) {
        // Without a spec what is missing is its containers, not what has a default.
        pod.setDefault("spec", .object(JSONObject()))
        pod.modify("spec") { spec in
            setSpec(&spec)
            let hostNetwork = spec["hostNetwork"]?.bool ?? false
            for list in ["containers", "initContainers"] {
                spec.modifyEach(list) { container in
                    requestsFromLimits(&container)
                    if hostNetwork { hostPorts(&container) }
                }
            }
            spec.setDefault("enableServiceLinks", .bool(true))
        }
    }

    /// The spec of a pod or of a template.
    static func setSpec(_ spec: inout JSON) {
        guard spec.object != nil else { return }
        spec.setDefault("dnsPolicy", "ClusterFirst")
        spec.setDefault("restartPolicy", "Always")
        spec.setDefault("schedulerName", "default-scheduler")
        spec.setDefault("terminationGracePeriodSeconds", 30)
        spec.setDefault("securityContext", .object(JSONObject()))
        // serviceAccount is the old name of serviceAccountName; both are kept the same.
        if let name = spec["serviceAccountName"]?.string, !name.isEmpty {
            spec["serviceAccount"] = .string(name)
        } else if let name = spec["serviceAccount"]?.string, !name.isEmpty {
            spec["serviceAccountName"] = .string(name)
        }
        for list in ["containers", "initContainers", "ephemeralContainers"] {
            spec.modifyEach(list, setContainer)
        }
        spec.modifyEach("volumes", setVolume)
    }

    // MARK: Containers

    private static func setContainer(_ container: inout JSON) {
        guard container.object != nil else { return }
        container.setDefault("terminationMessagePath", "/dev/termination-log")
        container.setDefault("terminationMessagePolicy", "File")
        container.setDefault("imagePullPolicy", .string(pullPolicy(container["image"]?.string ?? "")))
        container.setDefault("resources", .object(JSONObject()))
        container.modifyEach("env") { variable in
            variable.modify("valueFrom") { source in
                source.modify("fieldRef") { $0.setDefault("apiVersion", "v1") }
            }
        }
        container.modifyEach("ports") { $0.setDefault("protocol", "TCP") }
        for probe in ["livenessProbe", "readinessProbe", "startupProbe"] { container.modify(probe, setProbe) }
        container.modify("lifecycle") { lifecycle in
            for hook in ["postStart", "preStop"] { lifecycle.modify(hook, setHTTP) }
        }
    }

    /// Always for the tag latest and for none, else IfNotPresent.
    private static func pullPolicy(_ image: String) -> String {
        if image.contains("@") { return "IfNotPresent" }
        let name = image.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
        guard let colon = name.lastIndex(of: ":") else { return "Always" }
        return name[name.index(after: colon)...] == "latest" ? "Always" : "IfNotPresent"
    }

    private static func setProbe(_ probe: inout JSON) {
        setNumber(&probe, "timeoutSeconds", 1)
        setNumber(&probe, "periodSeconds", 10)
        setNumber(&probe, "successThreshold", 1)
        setNumber(&probe, "failureThreshold", 3)
        setHTTP(&probe)
        probe.modify("grpc") { $0.setDefault("service", "") }
    }

    private static func setHTTP(_ handler: inout JSON) {
        handler.modify("httpGet") { get in
            get.setDefault("path", "/")
            get.setDefault("scheme", "HTTP")
        }
    }

    /// In Go's structs 0 is the same as not given.
    private static func setNumber(_ object: inout JSON, _ key: String, _ value: Int64) {
        if object[key]?.int ?? 0 == 0 { object[key] = .int(value) }
    }

    private static func hostPorts(_ container: inout JSON) {
        container.modifyEach("ports") { port in
            if port["hostPort"]?.int ?? 0 == 0 { port["hostPort"] = port["containerPort"] }
        }
    }

    private static func requestsFromLimits(_ container: inout JSON) {
        guard let limits = container.at("resources", "limits")?.object, !limits.isEmpty else { return }
        var requests = container.at("resources", "requests") ?? .object(JSONObject())
        for (name, value) in limits where requests[name] == nil { requests[name] = value }
        container.set("resources", "requests", to: requests)
    }

    // MARK: Volumes

    private static func setVolume(_ volume: inout JSON) {
        guard let object = volume.object else { return }
        if object.keys.allSatisfy({ $0 == "name" }) { volume["emptyDir"] = .object(JSONObject()) }
        for source in ["secret", "configMap", "downwardAPI", "projected"] {
            volume.modify(source) { $0.setDefault("defaultMode", 420) }
        }
        volume.modify("image") { image in
            image.setDefault("pullPolicy", .string(pullPolicy(image["reference"]?.string ?? "")))
        }
        volume.modify("hostPath") { path in
            if path["type"] == nil { path["type"] = "" }
        }
        volume.modify("downwardAPI", setDownwardItems)
        volume.modify("projected") { projected in
            projected.modifyEach("sources") { source in
                source.modify("downwardAPI", setDownwardItems)
                source.modify("serviceAccountToken") { $0.setDefault("expirationSeconds", 3600) }
            }
        }
    }

    private static func setDownwardItems(_ source: inout JSON) {
        source.modifyEach("items") { item in
            item.modify("fieldRef") { $0.setDefault("apiVersion", "v1") }
        }
    }
}
