// Who owns what: controller references, and claiming of orphans by selector (metav1.OwnerReference).

import Client
import Objects

enum Ownership {
    /// The owner reference with `controller: true`, if there is one.
    static func controller(of object: JSON) -> JSON? {
        (object["metadata"]?["ownerReferences"]?.array ?? []).first { $0["controller"]?.bool == true }
    }

    static func controllerUID(of object: JSON) -> String? { controller(of: object)?["uid"]?.string }

    /// A controller reference to `owner`.
    static func reference(to owner: JSON, _ apiVersion: String, _ kind: String) -> JSON {
        [
            "apiVersion": .string(apiVersion), "kind": .string(kind),
            "name": owner["metadata"]?["name"] ?? "", "uid": owner["metadata"]?["uid"] ?? "",
            "controller": true, "blockOwnerDeletion": true,
        ]
    }

    /// A spec.selector; nil when it is missing or cannot be read, which then selects nothing.
    static func selector(_ json: JSON?) -> LabelSelector? { json.flatMap { try? LabelSelector($0) } }

    /// An index for finding an object by its controller, or, when it has none, by its namespace's orphans.
    static let index = IndexKind("controller") { object in
        [controllerUID(of: object) ?? orphans(object.at("metadata", "namespace")?.string ?? "")]
    }

    static func orphans(_ namespace: String) -> String { "orphans/\(namespace)" }

    /// What `owner` controls: what carries its reference, plus orphans its selector matches, which are adopted.
    /// An owned object that the selector no longer matches is released. An owner on its way out claims nothing.
    static func claim(
        _ resource: ResourceID, index: Index, owner: JSON, in ownerResource: ResourceID, kind: String,
        selector: LabelSelector, client: any APIClient
    ) async throws(APIStatus) -> [JSON] {
        let uid = owner["metadata"]?["uid"]?.string ?? ""
        let leaving = owner["metadata"]?["deletionTimestamp"] != nil
        var claimed: [JSON] = []
        for object in index.objects(uid) {
            if selector.matches(object["metadata"]?["labels"]?.stringMap ?? [:]) {
                claimed.append(object)
            } else if !leaving {
                try await patchReferences(resource, object, client) { references in
                    references.filter { $0["uid"]?.string != uid }
                }
            }
        }
        guard !leaving else { return claimed }
        var mayAdopt: Bool?
        for object in index.objects(orphans(owner["metadata"]?["namespace"]?.string ?? "")) {
            guard object["metadata"]?["deletionTimestamp"] == nil,
                selector.matches(object["metadata"]?["labels"]?.stringMap ?? [:])
            else { continue }
            // Asked at the API, once: an owner that is being deleted with its dependents orphaned, which the informer
            // does not know yet, would take them back and have them collected.
            if mayAdopt == nil { mayAdopt = try await stays(owner, ownerResource, client) }
            guard mayAdopt == true else { return claimed }
            let adopted = try await patchReferences(resource, object, client) { references in
                references + [reference(to: owner, ownerResource.apiVersion, kind)]
            }
            if let adopted { claimed.append(adopted) }
        }
        return claimed
    }

    private static func stays(_ owner: JSON, _ resource: ResourceID, _ client: any APIClient) async throws(APIStatus)
        -> Bool
    {
        do {
            let current = try await client.get(resource, ObjectKey(owner))
            return current.at("metadata", "uid") == owner.at("metadata", "uid")
                && current.at("metadata", "deletionTimestamp") == nil
        } catch  where error.code == 404 {
            return false
        }
    }

    /// Rewrites the owner references of an object as it stands; nil when it is gone.
    @discardableResult
    private static func patchReferences(
        _ resource: ResourceID, _ object: JSON, _ client: any APIClient, _ change: ([JSON]) -> [JSON]
    ) async throws(APIStatus) -> JSON? {
        let references = change(object["metadata"]?["ownerReferences"]?.array ?? [])
        let patch: JSON = [
            "metadata": [
                "uid": object["metadata"]?["uid"] ?? .null,
                // The revision guards against a reference that somebody else wrote meanwhile.
                "resourceVersion": object["metadata"]?["resourceVersion"] ?? .null,
                "ownerReferences": references.isEmpty ? .null : .array(references),
            ]
        ]
        do {
            return try await client.patch(resource, ObjectKey(object), .merge, patch, subresource: nil)
        } catch  where error.code == 404 {
            return nil
        }
    }
}
