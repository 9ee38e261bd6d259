// metadata.managedFields: who owns which fields (meta/v1 ManagedFieldsEntry).
//
// There is one entry for each manager, operation and subresource, and for updates also API version: a manager that
// applies keeps its entry when it moves to another version, one that updates does not. Applied entries come first,
// then the updates from old to new. At most ten managers of updates are remembered by name; the oldest of more become
// "ancient-changes".
//
// Entries that a client sends are checked (`init(client:)`); those in the store are our own.

/// Who writes, and how.
public struct FieldOwner: Hashable, Sendable {
    public enum Operation: String, Sendable {
        case apply = "Apply"
        case update = "Update"
    }

    /// At most 128 printable characters.
    public var manager: String
    public var operation: Operation
    /// "apps/v1"
    public var apiVersion: String
    /// "" for the object itself.
    public var subresource: String

    public init(manager: String, operation: Operation, apiVersion: String, subresource: String = "") {
        (self.manager, self.operation) = (manager, operation)
        (self.apiVersion, self.subresource) = (apiVersion, subresource)
    }

    /// Both write to the same entry.
    func isSame(as other: FieldOwner) -> Bool {
        manager == other.manager && operation == other.operation && subresource == other.subresource
            && (operation == .apply || apiVersion == other.apiVersion)
    }
}

public struct ManagedFields: Sendable {
    struct Entry: Sendable {
        var owner: FieldOwner
        /// RFC 3339, whole seconds; nil when not known.
        var time: String?
        var fields: FieldSet
    }

    /// Managers of updates that are kept by name.
    static let updateLimit = 10
    static let ancient = "ancient-changes"

    var entries: [Entry]

    public var isEmpty: Bool { entries.isEmpty }

    /// Nobody owns anything.
    public init() { entries = [] }

    /// Of an object as it is stored.
    public init(stored object: JSON) {
        entries = (object.at("metadata", "managedFields")?.array ?? []).compactMap { json in
            guard let operation = FieldOwner.Operation(rawValue: json["operation"]?.string ?? "") else { return nil }
            let owner = FieldOwner(
                manager: json["manager"]?.string ?? "", operation: operation,
                apiVersion: json["apiVersion"]?.string ?? "", subresource: json["subresource"]?.string ?? "")
            return Entry(
                owner: owner, time: json["time"]?.string,
                fields: FieldSet(tree: json["fieldsV1"]?.object ?? JSONObject()))
        }
    }

    /// Of an object as a client sent it.
    /// - Returns: nil when the object does not have any, which means: as they are.
    /// - Throws: 422 causes below metadata.managedFields.
    public init?(client object: JSON) throws(FieldErrors) {
        guard let list = object.at("metadata", "managedFields")?.array else { return nil }
        entries = []
        // What clients send to forget all owners: [] or [{}].
        if list.isEmpty || (list.count == 1 && list[0].object?.isEmpty == true) { return }
        var errors: [FieldError] = []
        for (index, json) in list.enumerated() {
            let path = FieldPath("metadata.managedFields").index(index)
            if let entry = ManagedFields.entry(json, path, &errors) { entries.append(entry) }
        }
        if !errors.isEmpty { throw FieldErrors(errors: errors) }
    }

    private static func entry(_ json: JSON, _ path: FieldPath, _ errors: inout [FieldError]) -> Entry? {
        let count = errors.count
        let given = json["operation"]?.string ?? ""
        let operation = FieldOwner.Operation(rawValue: given)
        if operation == nil {
            errors.append(.invalid(path.child("operation"), .string(given), "must be `Apply` or `Update`"))
        }
        let type = json["fieldsType"]?.string ?? ""
        if type != "FieldsV1" {
            errors.append(.invalid(path.child("fieldsType"), .string(type), "must be `FieldsV1`"))
        }
        let manager = json["manager"]?.string ?? ""
        errors += FieldOwner.check(manager: manager, path.child("fieldManager"))
        let subresource = json["subresource"]?.string ?? ""
        if subresource.utf8.count > 256 {
            errors.append(FieldError(.tooLong, path.child("subresource"), detail: "may not be more than 256 bytes"))
        }
        var fields = FieldSet()
        if let tree = json["fieldsV1"], !tree.isNull {
            do throws(FieldElementError) {
                fields = try FieldSet(fieldsV1: tree)
            } catch {
                errors.append(.invalid(path.child("fieldsV1"), nil, error.description))
            }
        }
        guard let operation, errors.count == count else { return nil }
        let owner = FieldOwner(
            manager: manager, operation: operation, apiVersion: json["apiVersion"]?.string ?? "",
            subresource: subresource)
        return Entry(owner: owner, time: json["time"]?.string, fields: fields)
    }

    /// The value of metadata.managedFields; nil when nobody owns anything.
    public var json: JSON? {
        let owned = entries.filter { !$0.fields.isEmpty }
        if owned.isEmpty { return nil }
        return .array(owned.count == 1 ? [owned[0].json] : owned.sorted(by: ManagedFields.precedes).map(\.json))
    }

    private static func precedes(_ a: Entry, _ b: Entry) -> Bool {
        let left = [a.owner.operation.rawValue, a.time ?? "", a.owner.manager, a.owner.apiVersion, a.owner.subresource]
        let right = [b.owner.operation.rawValue, b.time ?? "", b.owner.manager, b.owner.apiVersion, b.owner.subresource]
        return left.lexicographicallyPrecedes(right, by: Bytes.less)
    }

    /// Merges the oldest updates until ten managers are left.
    mutating func limitUpdates() {
        let updates = entries.indices.filter { entries[$0].owner.operation == .update }
        guard updates.count > ManagedFields.updateLimit else { return }
        let oldest = updates.sorted { (entries[$0].time ?? "", $0) < (entries[$1].time ?? "", $1) }
        // One more than the surplus: they need a place of their own.
        let merged = Set(oldest.prefix(updates.count - ManagedFields.updateLimit + 1))
        var ancient: [String: Entry] = [:]
        for index in oldest where merged.contains(index) {
            let entry = entries[index]
            let version = entry.owner.apiVersion
            let owner = FieldOwner(manager: ManagedFields.ancient, operation: .update, apiVersion: version)
            let fields = ancient[version]?.fields.union(entry.fields) ?? entry.fields
            ancient[version] = Entry(owner: owner, time: entry.time, fields: fields)
        }
        entries = entries.indices.filter { !merged.contains($0) }.map { entries[$0] } + Array(ancient.values)
    }
}

extension ManagedFields.Entry {
    var json: JSON {
        var object: JSONObject = [
            "apiVersion": .string(owner.apiVersion), "fieldsType": "FieldsV1", "fieldsV1": fields.fieldsV1,
            "operation": .string(owner.operation.rawValue),
        ]
        // Of a client without a name.
        if !owner.manager.isEmpty { object["manager"] = .string(owner.manager) }
        if !owner.subresource.isEmpty { object["subresource"] = .string(owner.subresource) }
        if let time { object["time"] = .string(time) }
        return .object(object)
    }
}

/// Several things that are wrong with an object's fields.
public struct FieldErrors: Error, Sendable {
    public let errors: [FieldError]
}

extension FieldOwner {
    /// Bytes of a manager's name.
    static let nameLimit = 128

    /// What is wrong with a manager's name; "" is none and allowed.
    public static func check(manager: String, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        if manager.utf8.count > nameLimit {
            errors.append(FieldError(.tooLong, path, detail: "may not be more than \(nameLimit) bytes"))
        }
        var offset = 0
        for scalar in manager.unicodeScalars {
            if !isPrintable(scalar) {
                let hex = String(scalar.value, radix: 16, uppercase: true)
                let code = String(repeating: "0", count: max(0, 4 - hex.count)) + hex
                errors.append(
                    .invalid(path, .string(manager), "invalid character U+\(code) (at position \(offset))"))
                break
            }
            offset += String(scalar).utf8.count
        }
        return errors
    }

    /// The manager of a client that names none: its User-Agent up to the first slash.
    public static func manager(userAgent: String) -> String {
        var name = ""
        for scalar in userAgent.unicodeScalars {
            if scalar == "/" || name.utf8.count + String(scalar).utf8.count > nameLimit { break }
            if isPrintable(scalar) { name.unicodeScalars.append(scalar) }
        }
        return name
    }

    /// Letters, marks, numbers, punctuation, symbols and the plain space.
    private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.value < 0x7f { return scalar.value >= 0x20 }
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator,
            .spaceSeparator:
            return false
        default: return true
        }
    }
}
