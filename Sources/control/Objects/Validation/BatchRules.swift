// The rules of Jobs and CronJobs (pkg/apis/batch/validation).

enum BatchRules {
    private static let counts = [
        "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished",
        "backoffLimitPerIndex", "maxFailedIndexes",
    ]

    static func job(_ spec: JSON?, _ path: FieldPath, isTemplate: Bool = false) -> [FieldError] {
        var errors = Rules.nonNegative(spec, counts, path)
        if !isTemplate {
            if let selector = spec?["selector"] {
                errors += Rules.labelSelector(selector, path.child("selector"))
                let labels = spec?.at("template", "metadata", "labels")
                if let parsed = try? LabelSelector(selector), !parsed.matches(labels?.stringMap ?? [:]) {
                    errors.append(
                        .invalid(
                            path.child("template", "metadata", "labels"), labels,
                            "`selector` does not match template `labels`"))
                }
            } else {
                errors.append(.required(path.child("selector")))
            }
        } else if spec?["manualSelector"]?.bool == true {
            errors.append(.notSupported(path.child("manualSelector"), .bool(true), ["nil", "false"]))
        }
        errors += mode(spec, path)
        errors += Rules.oneOf(
            spec, "podReplacementPolicy", ["Failed", "TerminatingOrFailed"], path, required: false)
        if let manager = spec?["managedBy"]?.string {
            errors += NetworkRules.domainPrefixedPath(manager, path.child("managedBy"))
        }
        if let policy = spec?["podFailurePolicy"] { errors += failurePolicy(policy, path.child("podFailurePolicy")) }
        let template = path.child("template")
        errors += WorkloadRules.podTemplate(spec?["template"], template)
        return errors + restartPolicy(spec, template.child("spec", "restartPolicy"))
    }

    private static func mode(_ spec: JSON?, _ path: FieldPath) -> [FieldError] {
        var errors = Rules.oneOf(spec, "completionMode", ["Indexed", "NonIndexed"], path, required: false)
        if spec?["completionMode"] == "Indexed" {
            if spec?["completions"] == nil {
                errors.append(.required(path.child("completions"), "when completion mode is Indexed"))
            }
            if let parallelism = spec?["parallelism"]?.int, parallelism > 100_000 {
                errors.append(
                    .invalid(
                        path.child("parallelism"), .int(parallelism),
                        "must be less than or equal to 100000 when completion mode is Indexed"))
            }
            if let most = spec?["maxFailedIndexes"]?.int {
                if spec?["backoffLimitPerIndex"] == nil {
                    errors.append(
                        .required(path.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified"))
                }
                if let completions = spec?["completions"]?.int, most > completions {
                    errors.append(
                        .invalid(
                            path.child("maxFailedIndexes"), .int(most), "must be less than or equal to completions"))
                }
            }
            if let policy = spec?["successPolicy"], (policy["rules"]?.array ?? []).isEmpty {
                errors.append(
                    .required(
                        path.child("successPolicy", "rules"),
                        "at least one rules must be specified when the successPolicy is specified"))
            }
        } else {
            if let policy = spec?["successPolicy"] {
                errors.append(.invalid(path.child("successPolicy"), policy, "requires indexed completion mode"))
            }
            for key in ["backoffLimitPerIndex", "maxFailedIndexes"] {
                guard let value = spec?[key] else { continue }
                errors.append(.invalid(path.child(key), value, "requires indexed completion mode"))
            }
        }
        return errors
    }

    private static func restartPolicy(_ spec: JSON?, _ path: FieldPath) -> [FieldError] {
        let policy = spec?.at("template", "spec", "restartPolicy")?.string ?? ""
        switch policy {
        case "", "Always": return [.required(path, "valid values: \"OnFailure\", \"Never\"")]
        case "OnFailure" where spec?["podFailurePolicy"] != nil:
            return [
                .invalid(path, .string(policy), "only \"Never\" is supported when podFailurePolicy is specified")
            ]
        default: return []
        }
    }

    private static func failurePolicy(_ policy: JSON, _ path: FieldPath) -> [FieldError] {
        let rules = policy["rules"]?.array ?? []
        if rules.count > 20 { return [.tooMany(path.child("rules"), actual: rules.count, limit: 20)] }
        var errors: [FieldError] = []
        for (index, rule) in rules.enumerated() {
            let path = path.child("rules")[index]
            errors += Rules.oneOf(rule, "action", ["Count", "FailIndex", "FailJob", "Ignore"], path)
            let exit = rule["onExitCodes"]
            let conditions = rule["onPodConditions"]?.array ?? []
            if exit != nil, !conditions.isEmpty {
                errors.append(
                    .invalid(path, rule, "specifying both OnExitCodes and OnPodConditions is not supported"))
            } else if exit == nil, conditions.isEmpty {
                errors.append(.invalid(path, rule, "specifying one of OnExitCodes and OnPodConditions is required"))
            }
            guard let exit else { continue }
            errors += Rules.oneOf(exit, "operator", ["In", "NotIn"], path.child("onExitCodes"))
            if (exit["values"]?.array ?? []).isEmpty {
                errors.append(
                    .invalid(path.child("onExitCodes", "values"), exit["values"], "at least one value is required"))
            }
        }
        return errors
    }

    /// What may change while a job waits for its first start.
    private static let scheduling = ["affinity", "nodeSelector", "schedulingGates", "tolerations"]

    static func jobUpdate(_ spec: JSON?, _ oldJob: JSON) -> [FieldError] {
        let old = oldJob["spec"]
        let path: FieldPath = "spec"
        var errors: [FieldError] = []
        // An indexed job is elastic: both numbers may change together.
        let isElastic =
            spec?["completionMode"] == "Indexed" && spec?["completions"] != nil
            && spec?["completions"] == spec?["parallelism"]
        if !isElastic { errors += Rules.immutable(spec, old, "completions", path) }
        errors += Rules.immutable(spec, old, "selector", path)
        var template = spec?["template"] ?? [:]
        if old?["suspend"]?.bool == true, oldJob.at("status", "startTime") == nil {
            for key in scheduling { template.set("spec", key, to: old?.at("template", "spec", key)) }
            for key in ["labels", "annotations"] {
                template.set("metadata", key, to: old?.at("template", "metadata", key))
            }
        }
        if template != old?["template"] {
            errors.append(.invalid(path.child("template"), spec?["template"], "field is immutable"))
        }
        let fixed = ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"]
        return errors + fixed.flatMap { Rules.immutable(spec, old, $0, path) }
    }

    /// Names of a CronJob's jobs add eleven characters, and are labels.
    static func cronJobName(_ name: String) -> [FieldError] {
        name.utf8.count <= 52
            ? [] : [.invalid("metadata.name", .string(name), "must be no more than 52 characters")]
    }

    static func cronJob(_ spec: JSON?) -> [FieldError] {
        let path: FieldPath = "spec"
        var errors: [FieldError] = []
        let schedule = spec?["schedule"]?.string ?? ""
        if schedule.isEmpty {
            errors.append(.required(path.child("schedule")))
        } else if schedule.contains("TZ") {
            errors.append(
                .invalid(
                    path.child("schedule"), .string(schedule),
                    "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"))
        } else {
            do {
                _ = try CronSchedule(parsing: schedule)
            } catch {
                errors.append(.invalid(path.child("schedule"), .string(schedule), error.description))
            }
        }
        if let zone = spec?["timeZone"]?.string {
            let path = path.child("timeZone")
            if zone.isEmpty {
                errors.append(.invalid(path, .string(zone), "timeZone must be nil or non-empty string"))
            } else if zone.lowercased() == "local" {
                errors.append(
                    .invalid(
                        path, .string(zone),
                        "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"))
            } else if zone.hasPrefix("/") || zone.contains("..") || zone.contains("\\") {
                errors.append(.invalid(path, .string(zone), "unknown time zone \(zone)"))
            }
        }
        errors += Rules.nonNegative(
            spec, ["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"], path)
        errors += Rules.oneOf(spec, "concurrencyPolicy", ["Allow", "Forbid", "Replace"], path)
        return errors + job(spec?.at("jobTemplate", "spec"), path.child("jobTemplate", "spec"), isTemplate: true)
    }
}
