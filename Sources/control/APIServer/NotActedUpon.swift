// Kinds that the API serves and nothing in noded acts on yet: whoever makes one is told so, in a Warning header, rather
// than left to find out that nothing happens. A kind that gets its controller leaves the table.

internal import Objects

enum NotActedUpon {
    /// The text for the Warning header of a create; nil for all other kinds.
    static func warning(_ id: ResourceID) -> String? {
        consequences[id].map { "\(id.resource): noded stores these and does not act on them yet: \($0)" }
    }

    private static let consequences: [ResourceID: String] = [
        .statefulSets: "no pods will be made",
        .daemonSets: "no pods will be made",
        .jobs: "no pods will be made",
        .cronJobs: "no jobs will be made",
        .horizontalPodAutoscalers: "nothing will be scaled",
        .horizontalPodAutoscalersV1: "nothing will be scaled",
        .networkPolicies: "no traffic will be filtered",
        .persistentVolumeClaims: "the claim will not be bound",
        .resourceClaims: "nothing will be allocated",
        .resourceClaimTemplates: "no claims will be made",
        .validatingWebhookConfigurations: "no webhook will be called",
        .mutatingWebhookConfigurations: "no webhook will be called",
        .validatingAdmissionPolicies: "nothing will be checked",
        .validatingAdmissionPolicyBindings: "nothing will be checked",
        .mutatingAdmissionPolicies: "nothing will be changed",
        .mutatingAdmissionPolicyBindings: "nothing will be changed",
        .flowSchemas: "requests will not be sorted",
        .priorityLevelConfigurations: "requests will not be sorted",
    ]
}
