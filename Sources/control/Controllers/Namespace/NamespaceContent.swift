// What is still in a namespace that is to go, and what stood in the way of it: as a value, and as the conditions that
// tell a user (core/v1 NamespaceStatus.conditions; types, reasons and messages are Kubernetes').

import Client
import Objects

struct NamespaceContent {
    private var counts: [(resource: ResourceID, count: Int)] = []
    private var finalizers: [String: Int] = [:]
    private var failures: [String] = []

    init() {}

    var isEmpty: Bool { counts.isEmpty && failures.isEmpty }
    var hasFailures: Bool { !failures.isEmpty }

    /// `left`: objects of the resource that stay for now, for their grace period or a finalizer.
    mutating func add(_ resource: ResourceID, left: [JSON]) {
        guard !left.isEmpty else { return }
        counts.append((resource, left.count))
        for finalizer in left.flatMap(Finalizers.list) { finalizers[finalizer, default: 0] += 1 }
    }

    mutating func add(_ resource: ResourceID, failure: APIStatus) {
        failures.append("failed to delete \(resource.groupResource): \(failure.message)")
    }

    /// The conditions, with those of `namespace` carried over where they hold still.
    func conditions(for namespace: JSON) -> JSON {
        let remaining = counts.map { entry in
            "\(entry.resource.resource).\(entry.resource.group) has \(entry.count) resource instances"
        }.sorted().joined(separator: ", ")
        let waiting = finalizers.sorted { $0.key < $1.key }.map { "\($0.key) in \($0.value) resource instances" }
            .joined(separator: ", ")
        func condition(
            _ type: String, _ holds: Bool, _ reasons: (String, String), _ messages: (String, String)
        ) -> JSON {
            Conditions.make(
                type: type, status: holds ? "True" : "False", reason: holds ? reasons.0 : reasons.1,
                message: holds ? messages.0 : messages.1, previous: Conditions.find(type, in: namespace))
        }
        let failed = failures.joined(separator: ", ")
        return [
            // What there is to delete is known in process: these two cannot fail.
            condition(
                "NamespaceDeletionDiscoveryFailure", false, ("", "ResourcesDiscovered"),
                ("", "All resources successfully discovered")),
            condition(
                "NamespaceDeletionGroupVersionParsingFailure", false, ("", "ParsedGroupVersions"),
                ("", "All legacy kube types successfully parsed")),
            condition(
                "NamespaceDeletionContentFailure", hasFailures, ("ContentDeletionFailed", "ContentDeleted"),
                (
                    "Failed to delete all resource types, \(failures.count) remaining: \(failed)",
                    "All content successfully deleted, may be waiting on finalization"
                )),
            condition(
                "NamespaceContentRemaining", !counts.isEmpty, ("SomeResourcesRemain", "ContentRemoved"),
                ("Some resources are remaining: \(remaining)", "All content successfully removed")),
            condition(
                "NamespaceFinalizersRemaining", !finalizers.isEmpty,
                ("SomeFinalizersRemain", "ContentHasNoFinalizers"),
                (
                    "Some content in the namespace has finalizers remaining: \(waiting)",
                    "All content-preserving finalizers finished"
                )),
        ]
    }
}
