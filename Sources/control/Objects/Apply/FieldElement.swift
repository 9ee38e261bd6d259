// One step of a path in a set of fields, as FieldsV1 spells it:
//
//   f:replicas            a field of an object or a key of a map
//   k:{"name":"web"}      an element of a list, by its keys
//   v:"finalizer"         an element of a set, by its value
//   i:3                   an element by its place (never made here, but read)
//
// Everywhere else elements are just these texts: they are compared, stored and sent as they are. Only a conflict's
// message, which prints `.spec.containers[name="web"].image`, takes them apart.

/// A path element that a client sent and that is none.
public struct FieldElementError: Error, Hashable, Sendable, CustomStringConvertible {
    let element: String
    let reason: String
    public var description: String { "path element \(Quote.go(element)) \(reason)" }
}

/// A path element taken apart.
enum FieldElement {
    case field(String)
    case key(JSONObject)
    case value(JSON)
    case index(Int)

    init(_ text: String) throws(FieldElementError) {
        let rest = String(text.dropFirst(2))
        func json() throws(FieldElementError) -> JSON {
            do throws(JSONError) {
                return try JSON.parse(Array(rest.utf8))
            } catch {
                throw FieldElementError(element: text, reason: "is not followed by JSON: \(error)")
            }
        }
        switch text.prefix(2) {
        case "f:": self = .field(rest)
        case "k:":
            guard case .object(let keys) = try json(), !keys.isEmpty else {
                throw FieldElementError(element: text, reason: "must hold an object of keys")
            }
            self = .key(keys)
        case "v:": self = .value(try json())
        case "i:":
            guard let index = Int(rest), index >= 0 else {
                throw FieldElementError(element: text, reason: "must hold an index")
            }
            self = .index(index)
        default: throw FieldElementError(element: text, reason: "must begin with f:, k:, v: or i:")
        }
    }

    /// As FieldsV1 spells it.
    var text: String {
        switch self {
        case .field(let name): return "f:" + name
        case .key(let keys): return "k:" + JSON.object(keys).text
        case .value(let value): return "v:" + value.text
        case .index(let index): return "i:\(index)"
        }
    }

    /// As messages show it behind the rest of a path.
    var shown: String {
        switch self {
        case .field(let name): return "." + name
        case .key(let keys):
            return "[" + keys.map { "\($0.key)=\(FieldElement.shown($0.value))" }.joined(separator: ",") + "]"
        case .value(let value): return "[=\(FieldElement.shown(value))]"
        case .index(let index): return "[\(index)]"
        }
    }

    private static func shown(_ value: JSON) -> String {
        if case .string(let text) = value { return Quote.go(text) }
        return value.text
    }

    /// `.spec.containers[name="web"].image`
    static func shown(_ path: some Sequence<String>) -> String {
        path.map { element in (try? FieldElement(element))?.shown ?? element }.joined()
    }
}

extension FieldElement {
    /// The element of a scalar in a set.
    static func text(ofValue value: JSON) -> String { "v:" + value.text }

    /// The element of a list item: its keys, those it leaves out with their defaults.
    /// - Returns: the missing key instead when an item has one neither way, or is no object.
    static func text(of item: JSON, keys: [ListKey]) -> Result<String, MissingKey> {
        var bytes: [UInt8] = [UInt8(ascii: "k"), UInt8(ascii: ":"), UInt8(ascii: "{")]
        for key in keys {
            guard let value = item[key.name] ?? key.defaultValue else { return .failure(MissingKey(name: key.name)) }
            if bytes.count > 3 { bytes.append(UInt8(ascii: ",")) }
            JSON.encode(key.name, into: &bytes)
            bytes.append(UInt8(ascii: ":"))
            value.encode(into: &bytes)
        }
        bytes.append(UInt8(ascii: "}"))
        return .success(String(decoding: bytes, as: UTF8.self))
    }
}

/// A field that tells the items of a list apart.
struct ListKey {
    let name: String
    /// What an item that leaves it out has.
    let defaultValue: JSON?
}

/// An item of a list lacks this key.
struct MissingKey: Error, Hashable {
    let name: String
}
