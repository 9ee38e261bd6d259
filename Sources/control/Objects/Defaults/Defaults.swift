// The code defaults of the other kinds (kube-apiserver's defaults.go files, one function a kind). Idempotent.

enum Defaults {
    static func deployment(_ object: inout JSON) {
        object.modify("spec") { spec in
            spec.setDefault("replicas", 1)
            spec.setDefault("revisionHistoryLimit", 10)
            spec.setDefault("progressDeadlineSeconds", 600)
            if spec["strategy"]?.object == nil { spec["strategy"] = .object(JSONObject()) }
            spec.modify("strategy") { strategy in
                strategy.setDefault("type", "RollingUpdate")
                guard strategy["type"] == "RollingUpdate" else { return }
                if strategy["rollingUpdate"]?.object == nil { strategy["rollingUpdate"] = .object(JSONObject()) }
                strategy.modify("rollingUpdate") { update in
                    update.setDefault("maxUnavailable", "25%")
                    update.setDefault("maxSurge", "25%")
                }
            }
            template(&spec)
        }
    }

    static func replicaSet(_ object: inout JSON) {
        object.modify("spec") { spec in
            spec.setDefault("replicas", 1)
            template(&spec)
        }
    }

    static func statefulSet(_ object: inout JSON) {
        object.modify("spec") { spec in
            spec.setDefault("podManagementPolicy", "OrderedReady")
            var strategy = spec["updateStrategy"] ?? [:]
            strategy.setDefault("type", "RollingUpdate")
            if strategy["type"] == "RollingUpdate" {
                strategy.setDefault("rollingUpdate", [:])
                strategy.modify("rollingUpdate") { $0.setDefault("partition", 0) }
            }
            spec["updateStrategy"] = strategy
            var policy = spec["persistentVolumeClaimRetentionPolicy"] ?? [:]
            policy.setDefault("whenDeleted", "Retain")
            policy.setDefault("whenScaled", "Retain")
            spec["persistentVolumeClaimRetentionPolicy"] = policy
            spec.setDefault("replicas", 1)
            spec.setDefault("revisionHistoryLimit", 10)
            spec.modifyEach("volumeClaimTemplates") { claim in
                claim.setDefault("apiVersion", "v1")
                claim.setDefault("kind", "PersistentVolumeClaim")
                claim.modify("spec") { $0.setDefault("volumeMode", "Filesystem") }
                claim["status"] = ["phase": "Pending"]
            }
            template(&spec)
        }
    }

    static func daemonSet(_ object: inout JSON) {
        object.modify("spec") { spec in
            var strategy = spec["updateStrategy"] ?? [:]
            strategy.setDefault("type", "RollingUpdate")
            if strategy["type"] == "RollingUpdate" {
                strategy.setDefault("rollingUpdate", [:])
                strategy.modify("rollingUpdate") { update in
                    update.setDefault("maxUnavailable", 1)
                    update.setDefault("maxSurge", 0)
                }
            }
            spec["updateStrategy"] = strategy
            spec.setDefault("revisionHistoryLimit", 10)
            template(&spec)
        }
    }

    /// The template's labels are the selector, and the object's own labels, unless those are given.
    static func replicationController(_ object: inout JSON) {
        if let labels = object.at("spec", "template", "metadata", "labels"), labels.object?.isEmpty == false {
            if object.at("spec", "selector")?.object?.isEmpty ?? true { object.set("spec", "selector", to: labels) }
            if object.at("metadata", "labels")?.object?.isEmpty ?? true { object.set("metadata", "labels", to: labels) }
        }
        replicaSet(&object)
    }

    static func template(_ spec: inout JSON) {
        spec.modify("template") { template in
            if template["metadata"] == nil { template["metadata"] = .object(JSONObject()) }
            template.setDefault("spec", .object(JSONObject()))
            template.modify("spec", PodDefaults.setSpec)
        }
    }

    static func service(_ object: inout JSON) {
        object.modify("spec") { spec in
            spec.setDefault("sessionAffinity", "None")
            spec.setDefault("type", "ClusterIP")
            if spec["sessionAffinity"] == "None" {
                spec["sessionAffinityConfig"] = nil
            } else if spec["sessionAffinity"] == "ClientIP",
                spec.at("sessionAffinityConfig", "clientIP", "timeoutSeconds") == nil
            {
                spec.set("sessionAffinityConfig", "clientIP", "timeoutSeconds", to: 10800)
            }
            spec.modifyEach("ports") { port in
                port.setDefault("protocol", "TCP")
                if port["targetPort"] == nil || port["targetPort"] == 0 || port["targetPort"] == "" {
                    port["targetPort"] = port["port"]
                }
            }
            let type = spec["type"]?.string ?? ""
            if ["ClusterIP", "NodePort", "LoadBalancer"].contains(type) {
                spec.setDefault("internalTrafficPolicy", "Cluster")
            }
            if type == "NodePort" || type == "LoadBalancer" || !(spec["externalIPs"]?.array ?? []).isEmpty {
                spec.setDefault("externalTrafficPolicy", "Cluster")
            }
            if type == "LoadBalancer" { spec.setDefault("allocateLoadBalancerNodePorts", .bool(true)) }
        }
    }

    static func namespace(_ object: inout JSON) {
        if let name = object.at("metadata", "name")?.string, !name.isEmpty {
            object.set("metadata", "labels", "kubernetes.io/metadata.name", to: .string(name))
        }
        if object.at("status", "phase") == nil { object.set("status", "phase", to: "Active") }
        if object["spec"] == nil { object["spec"] = .object(JSONObject()) }
    }

    static func node(_ object: inout JSON) {
        if object["spec"] == nil { object["spec"] = .object(JSONObject()) }
        object.modify("status") { status in
            if status["allocatable"] == nil, let capacity = status["capacity"] { status["allocatable"] = capacity }
        }
        object.modify("spec") { spec in
            // podCIDR is the old, single form of podCIDRs.
            if let cidr = spec["podCIDR"]?.string, !cidr.isEmpty, spec["podCIDRs"] == nil {
                spec["podCIDRs"] = [.string(cidr)]
            } else if spec["podCIDR"] == nil, let first = spec["podCIDRs"]?[0] {
                spec["podCIDR"] = first
            }
        }
    }

    static func endpointSlice(_ object: inout JSON) {
        // Both lists are printed even when empty.
        if object["endpoints"] == nil { object["endpoints"] = .array([]) }
        if object["ports"] == nil { object["ports"] = .array([]) }
        object.modifyEach("ports") { port in
            if port["name"] == nil { port["name"] = "" }
            port.setDefault("protocol", "TCP")
        }
    }
}
