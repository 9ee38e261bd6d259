// Cells of what steers the control plane itself: admission, flow control, classes of priority and runtime, APIServices.

internal import System

enum ControlTable {
    static let printers: [String: TableRow.Printer] = [
        "MutatingWebhookConfiguration.admissionregistration.k8s.io": { webhooks($0, $1) },
        "ValidatingWebhookConfiguration.admissionregistration.k8s.io": { webhooks($0, $1) },
        "ValidatingAdmissionPolicy.admissionregistration.k8s.io": { policy($0, "validations", $1) },
        "MutatingAdmissionPolicy.admissionregistration.k8s.io": { policy($0, "mutations", $1) },
        "ValidatingAdmissionPolicyBinding.admissionregistration.k8s.io": { policyBinding($0, $1) },
        "MutatingAdmissionPolicyBinding.admissionregistration.k8s.io": { policyBinding($0, $1) },
        "FlowSchema.flowcontrol.apiserver.k8s.io": { flowSchema($0, $1) },
        "PriorityLevelConfiguration.flowcontrol.apiserver.k8s.io": { priorityLevel($0, $1) },
        "PriorityClass.scheduling.k8s.io": {
            [
                TableRow.name($0), TableRow.number($0["value"]), .bool($0["globalDefault"]?.bool ?? false),
                TableRow.age($0, $1), TableRow.text($0["preemptionPolicy"], or: "PreemptLowerPriority"),
            ]
        },
        "RuntimeClass.node.k8s.io": { [TableRow.name($0), TableRow.text($0["handler"]), TableRow.age($0, $1)] },
        "APIService.apiregistration.k8s.io": { apiService($0, $1) },
    ]

    private static func webhooks(_ object: JSON, _ now: Timestamp) -> [JSON] {
        [TableRow.name(object), TableRow.length(object["webhooks"]), TableRow.age(object, now)]
    }

    private static func policy(_ object: JSON, _ list: String, _ now: Timestamp) -> [JSON] {
        let parameter = object.at("spec", "paramKind").map {
            "\($0["apiVersion"]?.string ?? "")/\($0["kind"]?.string ?? "")"
        }
        return [
            TableRow.name(object), TableRow.length(object.at("spec", list)), .string(parameter ?? "<unset>"),
            TableRow.age(object, now),
        ]
    }

    private static func policyBinding(_ object: JSON, _ now: Timestamp) -> [JSON] {
        var parameter = "<unset>"
        if let reference = object.at("spec", "paramRef") {
            let name = reference["name"]?.string ?? ""
            let namespace = reference["namespace"]?.string ?? ""
            if !name.isEmpty {
                parameter = namespace.isEmpty ? name : "\(namespace)/\(name)"
            } else if let selector = reference["selector"] {
                parameter = LabelSelector.table(selector)
            }
        }
        return [
            TableRow.name(object), TableRow.text(object.at("spec", "policyName")), .string(parameter),
            TableRow.age(object, now),
        ]
    }

    private static func flowSchema(_ object: JSON, _ now: Timestamp) -> [JSON] {
        [
            TableRow.name(object), TableRow.text(object.at("spec", "priorityLevelConfiguration", "name")),
            TableRow.number(object.at("spec", "matchingPrecedence")),
            TableRow.text(object.at("spec", "distinguisherMethod", "type"), or: "<none>"), TableRow.age(object, now),
            TableRow.text(TableRow.condition(object, "Dangling")?["status"], or: "?"),
        ]
    }

    private static func priorityLevel(_ object: JSON, _ now: Timestamp) -> [JSON] {
        let spec = object["spec"]
        let shares = spec?.at("limited", "nominalConcurrencyShares") ?? spec?.at("exempt", "nominalConcurrencyShares")
        let queuing = spec?.at("limited", "limitResponse", "queuing")
        return [
            TableRow.name(object), TableRow.text(spec?["type"]), shares ?? "<none>", queuing?["queues"] ?? "<none>",
            queuing?["handSize"] ?? "<none>", queuing?["queueLengthLimit"] ?? "<none>", TableRow.age(object, now),
        ]
    }

    private static func apiService(_ object: JSON, _ now: Timestamp) -> [JSON] {
        var service = "Local"
        if let reference = object.at("spec", "service"), reference.object != nil {
            service = "\(reference["namespace"]?.string ?? "")/\(reference["name"]?.string ?? "")"
        }
        let condition = TableRow.condition(object, "Available")
        var available = condition?["status"]?.string ?? "Unknown"
        if available != "True", let reason = condition?["reason"]?.string { available += " (\(reason))" }
        return [TableRow.name(object), .string(service), .string(available), TableRow.age(object, now)]
    }
}
