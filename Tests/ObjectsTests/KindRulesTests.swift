// Defaults and rules of the kinds beyond pods, Services and Deployments: through decode, as a client meets them.

import Objects
import System
import Testing

@Suite struct KindRulesTests {
    private func decoded(_ id: ResourceID, _ yaml: String) throws -> JSON {
        let body = try #require(try YAML.parse(yaml).first)
        var object = try declaration(id).decode(body).object
        let metadata: JSON = ["name": "x", "namespace": "d"]
        if object.at("metadata", "name") == nil {
            let isNamespaced = try declaration(id).isNamespaced
            for (key, value) in metadata.object ?? JSONObject() where key == "name" || isNamespaced {
                object.set("metadata", key, to: value)
            }
        }
        try declaration(id).prepareForCreate(&object, uid: "u1", now: Timestamp(rfc3339: "2026-11-21T12:00:00Z")!)
        return object
    }

    private func errors(_ id: ResourceID, _ yaml: String) throws -> [String] {
        try declaration(id).validateCreate(decoded(id, yaml)).map(\.description)
    }

    private func errors(_ id: ResourceID, _ yaml: String, change: (inout JSON) -> Void) throws -> [String] {
        let old = try decoded(id, yaml)
        var new = old
        change(&new)
        try declaration(id).prepareForUpdate(&new, old: old)
        return try declaration(id).validateUpdate(new, old: old).map(\.description)
    }

    private let pod = "template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}"
    private let task = "template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}"

    @Test func jobsSelectTheirPodsByThemselves() throws {
        let job = try decoded(.jobs, "spec: {\(task)}")
        #expect(job.at("spec", "selector", "matchLabels", "batch.kubernetes.io/controller-uid") == "u1")
        #expect(job.at("spec", "template", "metadata", "labels", "batch.kubernetes.io/job-name") == "x")
        #expect(job.at("spec", "completions") == 1 && job.at("spec", "backoffLimit") == 6)
        #expect(job.at("spec", "podReplacementPolicy") == "TerminatingOrFailed")
        #expect(try declaration(.jobs).validateCreate(job).isEmpty)
        #expect(
            try errors(.jobs, "spec: {template: {spec: {containers: [{name: c, image: i}]}}}")
                == [#"spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never""#])
        #expect(
            try errors(.jobs, "spec: {completions: 2, \(task)}") { $0.set("spec", "completions", to: 3) }
                == ["spec.completions: Invalid value: 3: field is immutable"])
        let image = try errors(.jobs, "spec: {\(task)}") { $0.set("spec", "template", "spec", "hostNetwork", to: true) }
        #expect(
            image.count == 1 && image[0].hasPrefix("spec.template: Invalid value: ") && image[0].hasSuffix("immutable"))
    }

    @Test(
        arguments: [
            ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("x * * * *", #"failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax"#),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("@often", "unrecognized descriptor: @often"),
        ]) func schedules(text: String, problem: String) throws
    {
        #expect(throws: CronSchedule.ParseError.self) { try CronSchedule(parsing: text) }
        #expect(
            try errors(.cronJobs, "spec: {schedule: '\(text)', jobTemplate: {spec: {\(task)}}}")
                == ["spec.schedule: Invalid value: \(text.debugDescription): \(problem)"])
    }

    @Test func schedulesAreSetsOfNumbers() throws {
        let schedule = try CronSchedule(parsing: "*/20 8-10 1,15 jan MON-fri")
        #expect(schedule.minutes == 1 | 1 << 20 | 1 << 40 && schedule.hours == 0b111 << 8)
        #expect(schedule.days == 1 << 1 | 1 << 15 && schedule.months == 2 && schedule.weekdays == 0b111110)
        #expect(!schedule.anyDay && !schedule.anyWeekday)
        #expect(try CronSchedule(parsing: "@hourly") == CronSchedule(parsing: "0 * * * *"))
    }

    @Test func setsOfPods() throws {
        let set = try decoded(.statefulSets, "spec: {selector: {matchLabels: {a: b}}, serviceName: s, \(pod)}")
        #expect(set.at("spec", "podManagementPolicy") == "OrderedReady" && set.at("spec", "replicas") == 1)
        #expect(set.at("spec", "updateStrategy", "rollingUpdate", "partition") == 0)
        #expect(try declaration(.statefulSets).validateCreate(set).isEmpty)
        let yaml = "spec: {selector: {matchLabels: {a: b}}, serviceName: s, \(pod)}"
        #expect(try errors(.statefulSets, yaml) { $0.set("spec", "replicas", to: 5) }.isEmpty)
        #expect(
            try errors(.statefulSets, yaml) { $0.set("spec", "serviceName", to: "t") } == [
                "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
                    + "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and "
                    + "'minReadySeconds' are forbidden"
            ])
        #expect(
            try errors(.daemonSets, "spec: {selector: {matchLabels: {a: x}}, \(pod)}") == [
                #"spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`"#
            ])
        let controller = try decoded(.replicationControllers, "spec: {\(pod)}")
        #expect(controller.at("spec", "selector", "a") == "b" && controller.at("metadata", "labels", "a") == "b")
    }

    @Test func ingresses() throws {
        #expect(
            try errors(.ingresses, "spec: {}") == [
                "spec: Invalid value: []: either `defaultBackend` or `rules` must be specified"
            ])
        let path = "spec.rules[0].http.paths[0]"
        func rule(_ path: String, _ backend: String = "{service: {name: s, port: {number: 80}}}") throws -> [String] {
            try errors(.ingresses, "spec: {rules: [{host: a.b, http: {paths: [{\(path), backend: \(backend)}]}}]}")
        }
        #expect(try rule("pathType: Prefix, path: /").isEmpty)
        #expect(try rule("path: /") == ["\(path).pathType: Required value: pathType must be specified"])
        #expect(
            try rule("pathType: Exact, path: x") == [#"\#(path).path: Invalid value: "x": must be an absolute path"#])
        #expect(
            try rule("pathType: Prefix, path: /", "{service: {name: s}}") == [
                "\(path).backend.service: Required value: port name or number is required"
            ])
        #expect(
            try errors(.ingressClasses, "spec: {controller: a.b/c}") { $0.set("spec", "controller", to: "d.e/f") } == [
                #"spec.controller: Invalid value: "d.e/f": field is immutable"#
            ])
    }

    @Test func networkPolicies() throws {
        let policy = try decoded(.networkPolicies, "spec: {podSelector: {}, egress: [{ports: [{port: 53}]}]}")
        #expect(policy.at("spec", "policyTypes") == ["Ingress", "Egress"])
        #expect(policy.at("spec", "egress")?[0]?["ports"]?[0]?["protocol"] == "TCP")
        #expect(
            try errors(
                .networkPolicies,
                "spec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/9]}}, {}]}]}")
                == [
                    #"spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "11.0.0.0/9": must be a strict subset of `cidr`"#,
                    "spec.ingress[0].from[1]: Required value: must specify a peer",
                ])
    }

    @Test func storage() throws {
        let claim = "spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}"
        #expect(try errors(.persistentVolumeClaims, claim).isEmpty)
        #expect(try errors(.persistentVolumeClaims, claim) { $0.set("spec", "volumeName", to: "v") }.isEmpty)
        #expect(
            try errors(.persistentVolumeClaims, claim) { $0.set("spec", "resources", "requests", "storage", to: "2Gi") }
                == [
                    "spec: Forbidden: spec is immutable after creation except resources.requests and "
                        + "volumeAttributesClassName for bound claims"
                ])
        #expect(
            try errors(.persistentVolumeClaims, "spec: {accessModes: []}") == [
                "spec.accessModes: Required value: at least 1 access mode is required",
                "spec.resources[storage]: Required value",
            ])
        let volume = "spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /x}}"
        #expect(try errors(.persistentVolumes, volume).isEmpty)
        #expect(
            try errors(.persistentVolumes, volume) { $0.set("spec", "hostPath", "path", to: "/y") } == [
                "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"
            ])
        #expect(
            try errors(.storageClasses, "provisioner: a/b") { $0["provisioner"] = "c/d" } == [
                "provisioner: Forbidden: updates to provisioner are forbidden."
            ])
    }

    @Test func autoscalersAndBudgets() throws {
        let old = try decoded(
            .horizontalPodAutoscalersV1, "spec: {maxReplicas: 3, scaleTargetRef: {kind: Deployment, name: w}}")
        #expect(old.at("spec", "targetCPUUtilizationPercentage") == 80 && old.at("spec", "minReplicas") == 1)
        let new = try decoded(
            .horizontalPodAutoscalers, "spec: {maxReplicas: 3, scaleTargetRef: {kind: Deployment, name: w}}")
        #expect(new.at("spec", "metrics")?[0]?.at("resource", "target", "averageUtilization") == 80)
        #expect(
            try errors(
                .horizontalPodAutoscalers,
                "spec: {minReplicas: 4, maxReplicas: 3, scaleTargetRef: {kind: Deployment, name: w}}") == [
                    "spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`"
                ])
        #expect(
            try errors(.podDisruptionBudgets, "spec: {minAvailable: 1, maxUnavailable: 1}").first?.hasSuffix(
                "minAvailable and maxUnavailable cannot be both set") == true)
    }
}
