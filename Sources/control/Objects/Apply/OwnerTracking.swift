// What a create or an update (of any kind but apply) does to the owners of an object's fields: what it changed now
// belongs to who wrote it and to nobody else, what it took away to nobody.
//
// Objects whose owners were forgotten (`managedFields: []`) stay without until somebody applies.
// Cannot fail.

/// An object as one of the versions of its kind shows it.
public struct ObjectForm: Sendable {
    public let root: SchemaNode
    /// From the form in which the request came.
    let convert: @Sendable (JSON) -> JSON

    public init(root: SchemaNode, convert: @escaping @Sendable (JSON) -> JSON) {
        self.root = root
        self.convert = convert
    }
}

/// The forms of one kind.
public struct ObjectForms: Sendable {
    /// That of the request.
    public let apiVersion: String
    public let root: SchemaNode
    /// Another one by its apiVersion; nil when it is not served any more.
    let other: @Sendable (String) -> ObjectForm?

    public init(
        apiVersion: String, root: SchemaNode, other: @escaping @Sendable (String) -> ObjectForm? = { _ in nil }
    ) {
        (self.apiVersion, self.root) = (apiVersion, root)
        self.other = other
    }

    func root(_ version: String) -> SchemaNode? { version == apiVersion ? root : other(version)?.root }

    func convert(_ object: JSON, to version: String) -> JSON {
        version == apiVersion ? object : other(version)?.convert(object) ?? object
    }
}

extension ManagedFields {
    /// Of a new object: all of it is its creator's.
    /// - Parameter time: RFC 3339, whole seconds.
    public static func created(
        _ object: JSON, _ forms: ObjectForms, by owner: FieldOwner, time: String
    ) -> ManagedFields {
        var managed = ManagedFields()
        managed.entries = [
            Entry(owner: owner, time: time, fields: FieldWalk.created(object, forms.root))
        ]
        return managed
    }

    /// Takes note of a change.
    public mutating func update(
        from old: JSON, to new: JSON, _ forms: ObjectForms, by owner: FieldOwner, time: String
    ) {
        if entries.isEmpty { return }
        var changes = FieldChanges(old, new, forms)
        let own = changes.comparison(owner.apiVersion)?.changed ?? FieldSet()
        disown(&changes, except: nil)
        if !own.isEmpty {
            if let index = entries.firstIndex(where: { $0.owner.isSame(as: owner) }) {
                entries[index].fields = entries[index].fields.union(own)
                entries[index].time = time
            } else {
                entries.append(Entry(owner: owner, time: time, fields: own))
            }
            limitUpdates()
        }
        entries.removeAll { $0.fields.isEmpty }
    }

    /// Takes what changed and what went from everybody but one. Entries of versions that are not served any more go.
    mutating func disown(_ changes: inout FieldChanges, except kept: FieldOwner?) {
        entries.removeAll { changes.comparison($0.owner.apiVersion) == nil }
        for index in entries.indices {
            if let kept, entries[index].owner.isSame(as: kept) { continue }
            guard let comparison = changes.comparison(entries[index].owner.apiVersion), !comparison.isEmpty else {
                continue
            }
            entries[index].fields = entries[index].fields.subtracting(comparison.changed)
                .subtracting(comparison.removed)
        }
    }
}

/// What a write changed, in each version that somebody's fields are named in.
struct FieldChanges {
    private let old: JSON
    private let new: JSON
    private let forms: ObjectForms
    private var byVersion: [String: FieldComparison] = [:]

    init(_ old: JSON, _ new: JSON, _ forms: ObjectForms) {
        (self.old, self.new, self.forms) = (old, new, forms)
    }

    /// nil when the version is not served.
    mutating func comparison(_ version: String) -> FieldComparison? {
        if let known = byVersion[version] { return known }
        guard let root = forms.root(version) else { return nil }
        let comparison = FieldComparison(
            forms.convert(old, to: version), forms.convert(new, to: version), root)
        byVersion[version] = comparison
        return comparison
    }
}
