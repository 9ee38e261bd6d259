// Jobs and CronJobs.

public struct JobStrategy: ResourceStrategy {
    public init() {}

    public var fieldLabels: [String] { ["status.successful"] }

    public func fieldValue(_ label: String, of object: JSON) -> String {
        String(object.at("status", "succeeded")?.int ?? 0)
    }

    public func setDefaults(_ object: inout JSON) { BatchDefaults.job(&object) }

    /// A job selects its pods by its own uid, unless its author takes care of that.
    public func prepareForCreate(_ object: inout JSON) {
        object["status"] = .object(JSONObject())
        guard object.at("spec", "manualSelector")?.bool != true, object.at("spec", "template") != nil,
            let uid = object.at("metadata", "uid"), let name = object.at("metadata", "name")
        else { return }
        for (key, value) in [("controller-uid", uid), ("job-name", name)] {
            object.set("spec", "template", "metadata", "labels", key, to: value)
            object.set("spec", "template", "metadata", "labels", "batch.kubernetes.io/" + key, to: value)
        }
        object.set("spec", "selector", "matchLabels", "batch.kubernetes.io/controller-uid", to: uid)
    }

    public func validate(_ object: JSON) -> [FieldError] { BatchRules.job(object["spec"], "spec") }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        target.isStatus
            ? Rules.nonNegative(object["status"], ["active", "succeeded", "failed", "ready", "terminating"], "status")
            : validate(object) + BatchRules.jobUpdate(object["spec"], old)
    }
}

public struct CronJobStrategy: ResourceStrategy {
    public init() {}

    public func setDefaults(_ object: inout JSON) { BatchDefaults.cronJob(&object) }
    public func prepareForCreate(_ object: inout JSON) { object["status"] = .object(JSONObject()) }

    public func validate(_ object: JSON) -> [FieldError] {
        BatchRules.cronJobName(object.at("metadata", "name")?.string ?? "") + BatchRules.cronJob(object["spec"])
    }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        target.isStatus ? [] : BatchRules.cronJob(object["spec"])
    }
}

enum BatchDefaults {
    static func job(_ object: inout JSON) {
        let labels = object.at("spec", "template", "metadata", "labels")
        if object.at("metadata", "labels")?.object?.isEmpty ?? true, let labels {
            object.set("metadata", "labels", to: labels)
        }
        object.modify("spec") { spec in
            if spec["completions"] == nil, spec["parallelism"] == nil { spec["completions"] = 1 }
            spec.setDefault("parallelism", 1)
            // With a limit for each index, the limit for all is out of the way.
            spec.setDefault("backoffLimit", spec["backoffLimitPerIndex"] == nil ? 6 : .int(Int64(Int32.max)))
            spec.setDefault("completionMode", "NonIndexed")
            spec.setDefault("suspend", .bool(false))
            spec.setDefault("manualSelector", .bool(false))
            spec.setDefault(
                "podReplacementPolicy", spec["podFailurePolicy"] == nil ? "TerminatingOrFailed" : "Failed")
            spec.modify("podFailurePolicy") { policy in
                policy.modifyEach("rules") { rule in
                    rule.modifyEach("onPodConditions") { $0.setDefault("status", "True") }
                }
            }
            Defaults.template(&spec)
        }
    }

    static func cronJob(_ object: inout JSON) {
        object.modify("spec") { spec in
            spec.setDefault("concurrencyPolicy", "Allow")
            spec.setDefault("suspend", .bool(false))
            spec.setDefault("successfulJobsHistoryLimit", 3)
            spec.setDefault("failedJobsHistoryLimit", 1)
            spec.modify("jobTemplate") { template in
                template.modify("spec") { job in Defaults.template(&job) }
            }
        }
    }
}
