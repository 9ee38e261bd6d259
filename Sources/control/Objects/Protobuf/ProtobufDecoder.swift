// Objects in protobuf, as typed Go clients send them (`kubectl create TYPE`, `create token`, `certificate approve`,
// client-go), turned into the JSON that they would have sent otherwise. Answers are JSON: these clients take both.
//
//   "k8s\0", then runtime.Unknown { 1: TypeMeta { 1: apiVersion, 2: kind }, 2: the object, 3: contentEncoding }
//
// The object's shape comes from its schema, the field numbers from WireTable. Go writes every field that is no pointer,
// zero or not: zeros are left out unless they say something. A number that is not known (of a field younger than
// the table) is refused by name and number when it carries a value, rather than lost.
//
// Source: Kubernetes API concepts, "Protobuf encoding"; the wire format is WireReader's.

internal import System

public enum ProtobufDecoder {
    public static let mediaType = "application/vnd.kubernetes.protobuf"

    private static let magic: [UInt8] = [0x6b, 0x38, 0x73, 0x00]
    private static let maximumDepth = 100

    /// - Throws: ProtobufError that says what of which message is wrong.
    public static func decode(_ bytes: [UInt8]) throws(ProtobufError) -> JSON {
        guard bytes.starts(with: magic) else { throw ProtobufError("the body does not begin with \"k8s\\0\"") }
        var (apiVersion, kind, encoding) = ("", "", "")
        var raw: ArraySlice<UInt8> = []
        var envelope = WireReader(bytes.dropFirst(magic.count))
        while let (number, value) = try envelope.next() {
            guard case .bytes(let content) = value else { continue }
            switch number {
            case 1:
                var type = WireReader(content)
                while let (number, value) = try type.next() {
                    guard case .bytes(let text) = value else { continue }
                    if number == 1 { apiVersion = try string(text, "apiVersion") }
                    if number == 2 { kind = try string(text, "kind") }
                }
            case 2: raw = content
            case 3: encoding = try string(content, "contentEncoding")
            default: break
            }
        }
        guard encoding.isEmpty else { throw ProtobufError("content encoding \"\(encoding)\" is not supported") }
        let parts = apiVersion.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        let gvk = GroupVersionKind(
            group: parts.count == 2 ? parts[0] : "", version: parts.last ?? "", kind: kind)
        guard let schema = Registry.schema(of: gvk), WireTable.standard.fields(of: schema.name) != nil else {
            throw ProtobufError("\(kind) of \(apiVersion) has no protobuf form here; send JSON")
        }
        var object = try message(raw, schema.root, schema.name, depth: 0)
        object["apiVersion"] = .string(apiVersion)
        object["kind"] = .string(kind)
        return .object(object)
    }

    /// The fields of `bytes` as members of an object of the schema's shape. `type` is the message's name in the table;
    /// an inline message has one of its own, but its container's shape.
    private static func message(
        _ bytes: ArraySlice<UInt8>, _ node: SchemaNode, _ type: String, depth: Int
    ) throws(ProtobufError) -> JSONObject {
        guard depth < maximumDepth else { throw ProtobufError("messages are nested deeper than \(maximumDepth)") }
        guard let fields = WireTable.standard.fields(of: type) else {
            throw ProtobufError("\(type) has no protobuf form here; send JSON")
        }
        var object = JSONObject()
        // Gathered apart: each element read out of and put back into the object would copy those before it.
        var lists: [String: [JSON]] = [:]
        var maps: [String: [(String, JSON)]] = [:]
        var reader = WireReader(bytes)
        while let (number, value) = try reader.next() {
            guard let field = fields[number] else {
                if value.isZero { continue }
                throw ProtobufError("field number \(number) of \(type) is not known here; send JSON")
            }
            if field.isInline {
                guard case .bytes(let content) = value else { throw mismatch(type, field.name) }
                for (key, value) in try message(content, node, field.name, depth: depth + 1) { object[key] = value }
                continue
            }
            guard let child = node.child(field.name) else {
                if value.isZero { continue }
                throw ProtobufError("field \(field.name) of \(type) is not part of this API version")
            }
            let place = "\(type).\(field.name)"
            switch child.type {
            case .list(let element):
                guard let inner = child.element else { throw mismatch(type, field.name) }
                lists[field.name, default: []] += try elements(value, element, inner, place, depth)
            case .map(let content):
                guard case .bytes(let entry) = value else { throw mismatch(type, field.name) }
                let inner = SchemaNode(catalog: child.catalog, type: content, field: nil)
                maps[field.name, default: []].append(try self.entry(entry, inner, place, depth))
            default:
                if value.isZero, !field.keepsZero, !child.isMessage { continue }
                guard let json = try scalar(value, child, place, depth) else { continue }
                // Number 0 is what Go writes for an IntOrString that was not set.
                if child.type == .intOrString, json == .int(0), !field.keepsZero { continue }
                object[field.name] = json
            }
        }
        for (name, list) in lists { object[name] = .array(list) }
        for (name, entries) in maps {
            let unique = Dictionary(entries, uniquingKeysWith: { _, last in last })
            object[name] = .object(JSONObject(unique.map { ($0.key, $0.value) }))
        }
        return object
    }

    /// One element, or several numbers packed into one field.
    private static func elements(
        _ value: WireReader.Value, _ type: FieldType, _ node: SchemaNode, _ place: String, _ depth: Int
    ) throws(ProtobufError) -> [JSON] {
        if case .bytes(let packed) = value, [.int32, .int64, .bool].contains(type) {
            var reader = WireReader(packed)
            var list: [JSON] = []
            while !reader.isAtEnd {
                if let json = try scalar(.varint(try reader.varint()), node, place, depth) { list.append(json) }
            }
            return list
        }
        return try scalar(value, node, place, depth).map { [$0] } ?? []
    }

    /// A map's entry: { 1: key, 2: value }; a list as a value is a message { 1: element … }.
    private static func entry(
        _ bytes: ArraySlice<UInt8>, _ node: SchemaNode, _ place: String, _ depth: Int
    ) throws(ProtobufError) -> (String, JSON) {
        var (key, item) = ("", JSON?.none)
        var reader = WireReader(bytes)
        while let (number, value) = try reader.next() {
            guard case .bytes(let content) = value else { throw ProtobufError("\(place): an entry of a wrong type") }
            if number == 1 { key = try string(content, place) }
            guard number == 2 else { continue }
            if case .list(let element) = node.type, let inner = node.element {
                var list: [JSON] = []
                var items = WireReader(content)
                while let (_, value) = try items.next() { list += try elements(value, element, inner, place, depth) }
                item = .array(list)
            } else {
                item = try scalar(value, node, place, depth)
            }
        }
        return (key, item ?? (node.type == .string ? "" : .null))
    }

    /// Anything that is neither a list nor a map; nil for a time that is not set.
    private static func scalar(
        _ value: WireReader.Value, _ node: SchemaNode, _ place: String, _ depth: Int
    ) throws(ProtobufError) -> JSON? {
        switch (node.type, value) {
        case (.bool, .varint(let number)): return .bool(number != 0)
        case (.int32, .varint(let number)): return .int(Int64(Int32(truncatingIfNeeded: number)))
        case (.int64, .varint(let number)): return .int(Int64(bitPattern: number))
        case (.double, .fixed64(let bits)): return .double(Double(bitPattern: bits))
        case (.string, .bytes(let text)): return .string(try string(text, place))
        case (.bytes, .bytes(let content)): return .string(Base64.encode(Array(content)))
        case (.time, .bytes(let content)), (.microTime, .bytes(let content)):
            return try time(content, node.type).map { .string($0) }
        case (.quantity, .bytes(let content)): 
            let text = try inner(content, 1, place) ?? ""
            return .string(text.isEmpty ? "0" : text)
        case (.intOrString, .bytes(let content)): return try intOrString(content, place)
        case (.raw, .bytes(let content)), (.any, .bytes(let content)): return try raw(content, place)
        case (.object(let index), .bytes(let content)):
            let name = node.catalog.definitions[index].name
            return .object(try message(content, node, name, depth: depth + 1))
        default: throw ProtobufError("\(place) has a value of a wrong type")
        }
    }

    /// { 1: seconds since 1970, 2: nanoseconds }; empty means not set.
    private static func time(_ bytes: ArraySlice<UInt8>, _ type: FieldType) throws(ProtobufError) -> String? {
        guard !bytes.isEmpty else { return nil }
        var (seconds, nanoseconds) = (Int64(0), Int64(0))
        var reader = WireReader(bytes)
        while let (number, value) = try reader.next() {
            guard case .varint(let count) = value else { continue }
            if number == 1 { seconds = Int64(bitPattern: count) } else { nanoseconds = Int64(bitPattern: count) }
        }
        guard (-(1 << 40)...(1 << 40)).contains(seconds), (0..<1_000_000_000).contains(nanoseconds) else {
            throw ProtobufError("a time is out of range")
        }
        let timestamp = Timestamp(seconds: seconds, nanoseconds: Int32(nanoseconds))
        return type == .microTime ? timestamp.rfc3339Micro : timestamp.rfc3339
    }

    /// { 1: 0 for a number or 1 for a text, 2: the number, 3: the text }
    private static func intOrString(_ bytes: ArraySlice<UInt8>, _ place: String) throws(ProtobufError) -> JSON {
        var (isText, number, text) = (false, Int64(0), "")
        var reader = WireReader(bytes)
        while let (field, value) = try reader.next() {
            switch (field, value) {
            case (1, .varint(let kind)): isText = kind == 1
            case (2, .varint(let value)): number = Int64(Int32(truncatingIfNeeded: value))
            case (3, .bytes(let value)): text = try string(value, place)
            default: break
            }
        }
        return isText ? .string(text) : .int(number)
    }

    /// { 1: JSON }
    private static func raw(_ bytes: ArraySlice<UInt8>, _ place: String) throws(ProtobufError) -> JSON? {
        guard let text = try inner(bytes, 1, place), !text.isEmpty else { return nil }
        do {
            // Inside of messages, which are as many levels deep at most.
            let limits = JSONLimits(depth: JSONLimits.body.depth - 2 * maximumDepth)
            return try JSON.parse(Array(text.utf8), limits: limits)
        } catch {
            throw ProtobufError("\(place): \(error)")
        }
    }

    /// The text in the one field that matters of a small message; nil when it is missing.
    private static func inner(
        _ bytes: ArraySlice<UInt8>, _ wanted: Int, _ place: String
    ) throws(ProtobufError) -> String? {
        var reader = WireReader(bytes)
        var found: String?
        while let (number, value) = try reader.next() {
            if number == wanted, case .bytes(let text) = value { found = try string(text, place) }
        }
        return found
    }

    private static func string(_ bytes: ArraySlice<UInt8>, _ place: String) throws(ProtobufError) -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ProtobufError("\(place) is not UTF-8")
        }
        return text
    }

    private static func mismatch(_ type: String, _ field: String) -> ProtobufError {
        ProtobufError("\(type).\(field) has a value of a wrong type")
    }
}

extension SchemaNode {
    /// An empty one of these says something: `emptyDir: {}`.
    fileprivate var isMessage: Bool {
        switch type {
        case .object, .intOrString, .quantity: true
        default: false
        }
    }
}
