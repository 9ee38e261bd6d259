// Server-side apply ("Server-Side Apply" in Kubernetes' documentation): an applied configuration and the live object
// make the new object and its new owners.
//
//   configuration ─ check ─> merge over live ─> remove what this manager applied before and does not now
//                                 │                     (unless another manager owns it)
//                                 └─> what changed and others own: conflict, or theirs no more (force)
//
// Pure: the API server admits, validates and stores the result. Failures carry Kubernetes' messages.

public enum ServerSideApply {
    /// The new object, its metadata.managedFields in it.
    /// - Parameters:
    ///   - config: without managedFields, status and nulls, of the schema's types.
    ///   - live: as stored; for an object that is to be made, one with only apiVersion and kind.
    ///   - time: RFC 3339, whole seconds.
    ///   - ceded: fields that are this manager's to take from others; asked only when there are conflicts. It gets all
    ///     that conflict, as if forced, or none.
    /// - Throws: 409 with a cause for each field that others own and that is not ceded; 500 without reason for lists
    ///   that cannot be merged.
    public static func apply(
        _ config: JSON, to live: JSON, _ forms: ObjectForms, by owner: FieldOwner, force: Bool, time: String,
        ceded: () -> FieldSet = { FieldSet() }
    ) throws(APIStatus) -> JSON {
        if let problem = AppliedMerge.check(config, MergePlace(forms.root)) {
            throw untypable(config, problem)
        }
        var managed = ManagedFields(stored: live)
        let bare = live.withoutManagedFields
        if managed.isEmpty { managed.claimAll(of: bare, forms, time: time) }
        let last = managed.entries.first { $0.owner.isSame(as: owner) }
        let fields = FieldWalk.applied(config, forms.root)
        managed.entries.removeAll { $0.owner.isSame(as: owner) }
        managed.entries.append(ManagedFields.Entry(owner: owner, time: last?.time, fields: fields))
        let mine = managed.entries.count - 1
        var object = AppliedMerge.merge(bare, config, MergePlace(forms.root))
        if let last, !last.fields.isEmpty { object = prune(object, last, managed, forms) }
        var changes = FieldChanges(bare, object, forms)
        if !force, !managed.conflicts(&changes, with: owner, except: FieldSet()).isEmpty {
            let conflicts = managed.conflicts(&changes, with: owner, except: ceded())
            if !conflicts.isEmpty { throw conflict(conflicts) }
        }
        if fields != last?.fields || last?.owner.apiVersion != owner.apiVersion
            || changes.comparison(owner.apiVersion)?.isEmpty == false
        {
            managed.entries[mine].time = time
        }
        managed.disown(&changes, except: owner)
        LastApplied.keep(&object, config, owner)
        object.set("metadata", "managedFields", to: managed.json)
        return object
    }

    /// 500 as from Kubernetes: the configuration does not fit its type.
    public static func untypable(_ config: JSON, _ problem: String) -> APIStatus {
        let name = config.at("metadata", "name")?.string ?? ""
        let namespace = config.at("metadata", "namespace")?.string ?? ""
        let apiVersion = config["apiVersion"]?.string ?? ""
        let kind = config["kind"]?.string ?? ""
        return APIStatus(
            code: 500, reason: .unknown,
            message: "failed to create typed patch object (\(namespace)/\(name); \(apiVersion), Kind=\(kind)): "
                + problem)
    }

    // MARK: Pruning

    /// Without what the last configuration set and neither this one nor another manager does.
    private static func prune(
        _ merged: JSON, _ last: ManagedFields.Entry, _ managed: ManagedFields, _ forms: ObjectForms
    ) -> JSON {
        let version = last.owner.apiVersion
        // Fields of a version that is gone cannot be told from others any more.
        guard let root = forms.root(version) else { return merged }
        let whole = forms.convert(merged, to: version)
        let lastFields = last.fields.withDeclaredFields(root)
        let there = FieldWalk.applied(whole, root).withDeclaredFields(root)
        let left = FieldWalk.applied(lastFields.removed(from: whole, root), root).withDeclaredFields(root)
        // Owners in other versions count by the same paths: versions of a kind differ in few of them.
        let kept = managed.entries.reduce(left) { $0.union($1.fields.withDeclaredFields(root)) }
        // Only what was this manager's may go: what hung below it without an owner stays when its parent does.
        let gone = there.subtracting(kept).intersection(lastFields)
        return gone.removed(from: merged, forms.root)
    }

    // MARK: Conflicts

    private static func conflict(_ conflicts: [(owner: ManagedFields.Entry, path: String)]) -> APIStatus {
        let causes = conflicts.map { conflict in
            APIStatus.Cause(
                reason: "FieldManagerConflict", message: "conflict with \(conflict.owner.shown)", field: conflict.path)
        }
        var message = "Apply failed with 1 conflict: conflict with \(conflicts[0].owner.shown): \(conflicts[0].path)"
        if conflicts.count > 1 {
            var lines: [String] = []
            var shown: String?
            for conflict in conflicts {
                if conflict.owner.shown != shown {
                    shown = conflict.owner.shown
                    lines.append("conflicts with \(conflict.owner.shown):")
                }
                lines.append("- \(conflict.path)")
            }
            message = "Apply failed with \(conflicts.count) conflicts: " + lines.joined(separator: "\n")
        }
        return APIStatus(
            code: 409, reason: .conflict, message: message, details: APIStatus.Details(causes: causes))
    }
}

extension ManagedFields {
    /// Manager of what an object was before its owners were written down.
    private static let beforeApply = "before-first-apply"

    fileprivate mutating func claimAll(of object: JSON, _ forms: ObjectForms, time: String) {
        let owner = FieldOwner(
            manager: ManagedFields.beforeApply, operation: .update, apiVersion: forms.apiVersion)
        self = .created(object, forms, by: owner, time: time)
        entries.removeAll { $0.fields.isEmpty }
    }

    /// What was changed and others own, sorted by manager.
    fileprivate func conflicts(
        _ changes: inout FieldChanges, with owner: FieldOwner, except ceded: FieldSet
    ) -> [(owner: Entry, path: String)] {
        var conflicts: [(owner: Entry, path: String)] = []
        for entry in entries where !entry.owner.isSame(as: owner) {
            guard let changed = changes.comparison(entry.owner.apiVersion)?.changed else { continue }
            for path in entry.fields.intersection(changed).subtracting(ceded).paths {
                conflicts.append((entry, FieldElement.shown(path)))
            }
        }
        return conflicts.enumerated().sorted { a, b in
            a.element.owner.shown == b.element.owner.shown
                ? a.offset < b.offset : Bytes.less(a.element.owner.shown, b.element.owner.shown)
        }.map(\.element)
    }
}

extension ManagedFields.Entry {
    /// `"kubectl-client-side-apply" using apps/v1`
    fileprivate var shown: String {
        var text = Quote.go(owner.manager)
        if !owner.subresource.isEmpty { text += " with subresource \(Quote.go(owner.subresource))" }
        if owner.operation == .update { text += " using \(owner.apiVersion)" }
        return text
    }
}

extension JSON {
    var withoutManagedFields: JSON {
        var object = self
        object.set("metadata", "managedFields", to: nil)
        return object
    }
}
