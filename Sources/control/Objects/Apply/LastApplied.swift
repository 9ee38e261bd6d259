// What `kubectl apply` sent last, which it keeps in an annotation of the object, and what that means for who goes over
// to `kubectl apply --server-side` ("Server-Side Apply", "Upgrading from client-side apply to server-side apply").
//
// The fields of the object belong to the manager of the client-side apply then, so that the first changed value would
// be a conflict of kubectl with itself. Therefore the manager "kubectl", and no other, takes without force what it sent
// last and what nobody has changed since, whoever is written down as its owner.
//
// What it sent lacks defaults, so it is compared with its defaults filled in, or atomic values such as a fieldRef
// without apiVersion would never be equal to the object's. Fields that only a default brought were not sent.
//
// Cannot fail: of an annotation that is no JSON, of another version or kind, or not of the schema, nothing is taken,
// and the conflicts are reported as without it.

public enum LastApplied {
    static let annotation = "kubectl.kubernetes.io/last-applied-configuration"
    private static let manager = "kubectl"

    /// Who goes back from `kubectl apply --server-side` to `kubectl apply` must not lose what was applied in between.
    static func keep(_ object: inout JSON, _ config: JSON, _ owner: FieldOwner) {
        guard owner.manager == manager, object.at("metadata", "annotations", annotation) != nil,
            config.at("metadata", "annotations", annotation) == nil
        else { return }
        object.set("metadata", "annotations", annotation, to: .string(config.text + "\n"))
    }

    /// The fields that kubectl sent last and that still are as it sent them; none for another owner.
    /// - Parameters:
    ///   - live: as the request's version shows it.
    ///   - decode: checks a configuration as an applied one is, apiVersion and kind too; also gives it with defaults.
    public static func unchanged(
        in live: JSON, _ forms: ObjectForms, for owner: FieldOwner,
        decode: (JSON) throws(APIStatus) -> (sent: JSON, defaulted: JSON)
    ) -> FieldSet {
        // A Scale has no annotations: those of the object it is a view of do not speak for it.
        guard owner.manager == manager, owner.subresource != "scale",
            let text = live.at("metadata", "annotations", annotation)?.string,
            let body = try? JSON.parse(text), let (sent, defaulted) = try? decode(body),
            AppliedMerge.check(sent, MergePlace(forms.root)) == nil
        else { return FieldSet() }
        let since = FieldComparison(defaulted, live.withoutManagedFields, forms.root)
        return FieldWalk.applied(sent, forms.root).subtracting(since.changed).subtracting(since.removed)
    }
}
