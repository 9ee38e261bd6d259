// Cells of apps/v1 and batch/v1, and of ReplicationControllers. Deployments and ReplicaSets are in TableRow.swift.

internal import System

enum WorkloadTable {
    static let printers: [String: TableRow.Printer] = [
        "ReplicationController": { controller($0, $1) },
        "DaemonSet.apps": { daemonSet($0, $1) },
        "StatefulSet.apps": { statefulSet($0, $1) },
        "ControllerRevision.apps": { revision($0, $1) },
        "Job.batch": { job($0, $1) },
        "CronJob.batch": { cronJob($0, $1) },
    ]

    private static func containers(_ template: JSON?) -> [JSON] { TableRow.containers(PodTemplate(template ?? [:])) }

    private static func controller(_ object: JSON, _ now: Timestamp) -> [JSON] {
        [
            TableRow.name(object), TableRow.number(object.at("spec", "replicas")),
            TableRow.number(object.at("status", "replicas")), TableRow.number(object.at("status", "readyReplicas")),
            TableRow.age(object, now),
        ] + containers(object.at("spec", "template")) + [TableRow.labels(object.at("spec", "selector"))]
    }

    private static func daemonSet(_ object: JSON, _ now: Timestamp) -> [JSON] {
        let counts = [
            "desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled",
            "numberAvailable",
        ]
        return [TableRow.name(object)] + counts.map { TableRow.number(object.at("status", $0)) } + [
            TableRow.labels(object.at("spec", "template", "spec", "nodeSelector")), TableRow.age(object, now),
        ] + containers(object.at("spec", "template")) + [.string(LabelSelector.table(object.at("spec", "selector")))]
    }

    private static func statefulSet(_ object: JSON, _ now: Timestamp) -> [JSON] {
        let ready = object.at("status", "readyReplicas")?.int ?? 0
        return [
            TableRow.name(object), "\(ready)/\(object.at("spec", "replicas")?.int ?? 0)", TableRow.age(object, now),
        ] + containers(object.at("spec", "template"))
    }

    private static func revision(_ object: JSON, _ now: Timestamp) -> [JSON] {
        var controller = "<none>"
        let owners = object.at("metadata", "ownerReferences")?.array ?? []
        if let owner = owners.first(where: { $0["controller"]?.bool == true }), let kind = GroupVersionKind(of: owner) {
            controller = "\(kind.groupKind.lowercased())/\(owner["name"]?.string ?? "")"
        }
        return [
            TableRow.name(object), .string(controller), TableRow.number(object["revision"]), TableRow.age(object, now),
        ]
    }

    private static func job(_ object: JSON, _ now: Timestamp) -> [JSON] {
        let succeeded = object.at("status", "succeeded")?.int ?? 0
        let completions: String
        if let wanted = object.at("spec", "completions")?.int {
            completions = "\(succeeded)/\(wanted)"
        } else {
            let parallelism = object.at("spec", "parallelism")?.int ?? 0
            completions = "\(succeeded)/1" + (parallelism > 1 ? " of \(parallelism)" : "")
        }
        var duration = ""
        if let start = TableRow.time(object.at("status", "startTime")) {
            duration = HumanDuration.text(
                since: start, now: TableRow.time(object.at("status", "completionTime")) ?? now)
        }
        return [
            TableRow.name(object), .string(status(ofJob: object)), .string(completions), .string(duration),
            TableRow.age(object, now),
        ] + containers(object.at("spec", "template")) + [.string(LabelSelector.table(object.at("spec", "selector")))]
    }

    private static func status(ofJob object: JSON) -> String {
        func holds(_ type: String) -> Bool { TableRow.condition(object, type)?["status"] == "True" }
        if holds("Complete") { return "Complete" }
        if holds("Failed") { return "Failed" }
        if object.at("metadata", "deletionTimestamp") != nil { return "Terminating" }
        for type in ["Suspended", "FailureTarget", "SuccessCriteriaMet"] where holds(type) { return type }
        return "Running"
    }

    private static func cronJob(_ object: JSON, _ now: Timestamp) -> [JSON] {
        let spec = object["spec"]
        let last = TableRow.time(object.at("status", "lastScheduleTime"))
        let suspend = spec?["suspend"]?.bool.map { $0 ? "True" : "False" }
        return [
            TableRow.name(object), TableRow.text(spec?["schedule"]), TableRow.text(spec?["timeZone"], or: "<none>"),
            .string(suspend ?? "<unset>"), TableRow.length(object.at("status", "active")),
            .string(last.map { HumanDuration.text(since: $0, now: now) } ?? "<none>"), TableRow.age(object, now),
        ] + containers(spec?.at("jobTemplate", "spec", "template")) + [
            .string(LabelSelector.table(spec?.at("jobTemplate", "spec", "selector")))
        ]
    }
}
