// The v2 document in the protobuf form that kubectl and client-go ask for: they read nothing else at /openapi/v2, and
// need it to tell a kind that does not exist from a server that cannot be asked.
//
// The messages are those of gnostic's openapiv2/OpenAPIv2.proto; numbers below are its field numbers. Only what the
// document made here contains is written. Values of extensions and defaults are texts of YAML, which JSON is.
// Pure; cannot fail.

public enum OpenAPIProtobuf {
    /// The media type of the bytes.
    public static let mediaType = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    /// What clients of Go ask for, though Go refuses to read it in an answer for its @.
    public static let requestedMediaType = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"

    /// - Parameter document: what `OpenAPI.v2` makes.
    public static func encode(_ document: JSON) -> [UInt8] {
        var out = ProtobufWriter()
        out.text(1, document["swagger"])
        out.message(2) { info in
            info.text(1, document.at("info", "title"))
            info.text(2, document.at("info", "version"))
        }
        out.message(8) { paths in
            for (path, item) in document["paths"]?.object ?? JSONObject() {
                paths.named(2, path) { Self.pathItem(item, &$0) }
            }
        }
        out.message(9) { definitions in
            for (name, schema) in document["definitions"]?.object ?? JSONObject() {
                definitions.named(1, name) { Self.schema(schema, &$0) }
            }
        }
        return out.bytes
    }

    private static let operations: [(String, Int)] = [
        ("get", 2), ("put", 3), ("post", 4), ("delete", 5), ("options", 6), ("head", 7), ("patch", 8),
    ]

    private static func pathItem(_ item: JSON, _ out: inout ProtobufWriter) {
        for (method, number) in operations {
            guard let operation = item[method] else { continue }
            out.message(number) { Self.operation(operation, &$0) }
        }
        for parameter in item["parameters"]?.array ?? [] { out.message(9) { Self.parameter(parameter, &$0) } }
    }

    private static func operation(_ operation: JSON, _ out: inout ProtobufWriter) {
        out.text(3, operation["description"])
        out.text(5, operation["operationId"])
        for type in operation["consumes"]?.array ?? [] { out.text(7, type) }
        for parameter in operation["parameters"]?.array ?? [] { out.message(8) { Self.parameter(parameter, &$0) } }
        out.message(9) { responses in
            for (code, response) in operation["responses"]?.object ?? JSONObject() {
                responses.named(1, code) { value in
                    value.message(1) { body in
                        body.text(1, response["description"])
                        guard let schema = response["schema"] else { return }
                        body.message(2) { item in item.message(1) { Self.schema(schema, &$0) } }
                    }
                }
            }
        }
        extensions(operation, 13, &out)
    }

    /// A ParametersItem: a body, or one of the others, which have the fields used here under the same numbers.
    private static func parameter(_ parameter: JSON, _ out: inout ProtobufWriter) {
        let place = parameter["in"]?.string
        out.message(1) { either in
            if place == "body" {
                either.message(1) { body in
                    body.text(2, parameter["name"])
                    body.text(3, parameter["in"])
                    body.flag(4, parameter["required"])
                    if let schema = parameter["schema"] { body.message(5) { Self.schema(schema, &$0) } }
                }
                return
            }
            let isQuery = place == "query"
            either.message(2) { other in
                other.message(isQuery ? 3 : 4) { field in
                    field.flag(1, parameter["required"])
                    field.text(2, parameter["in"])
                    field.text(3, parameter["description"])
                    field.text(4, parameter["name"])
                    field.text(isQuery ? 6 : 5, parameter["type"])
                    field.flag(isQuery ? 20 : 19, parameter["uniqueItems"])
                }
            }
        }
    }

    private static func schema(_ schema: JSON, _ out: inout ProtobufWriter) {
        out.text(1, schema["$ref"])
        out.text(2, schema["format"])
        out.text(4, schema["description"])
        if let value = schema["default"] { out.message(5) { $0.text(2, .string(value.text)) } }
        for name in schema["required"]?.array ?? [] { out.text(19, name) }
        if let values = schema["additionalProperties"] {
            out.message(21) { item in item.message(1) { Self.schema(values, &$0) } }
        }
        if let type = schema["type"] { out.message(22) { $0.text(1, type) } }
        if let items = schema["items"] { out.message(23) { list in list.message(1) { Self.schema(items, &$0) } } }
        if let properties = schema["properties"]?.object {
            out.message(25) { map in
                for (name, property) in properties { map.named(1, name) { Self.schema(property, &$0) } }
            }
        }
        extensions(schema, 31, &out)
    }

    private static func extensions(_ object: JSON, _ number: Int, _ out: inout ProtobufWriter) {
        for (key, value) in object.object ?? JSONObject() where key.hasPrefix("x-") {
            out.named(number, key) { $0.text(2, .string(value.text)) }
        }
    }
}

/// Writes protobuf's wire format: the three kinds of fields that are needed here.
private struct ProtobufWriter {
    private(set) var bytes: [UInt8] = []

    private mutating func varint(_ value: Int) {
        var rest = UInt64(value)
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    private mutating func field(_ number: Int, _ content: some Collection<UInt8>) {
        varint(number << 3 | 2)
        varint(content.count)
        bytes.append(contentsOf: content)
    }

    /// A string; nothing when it is missing or empty.
    mutating func text(_ number: Int, _ value: JSON?) {
        if let text = value?.string, !text.isEmpty { field(number, text.utf8) }
    }

    /// A bool; false is the default and not written.
    mutating func flag(_ number: Int, _ value: JSON?) {
        guard value?.bool == true else { return }
        varint(number << 3)
        varint(1)
    }

    mutating func message(_ number: Int, _ body: (inout ProtobufWriter) -> Void) {
        var inner = ProtobufWriter()
        body(&inner)
        field(number, inner.bytes)
    }

    /// An entry of a map: the name, and the value as a message.
    mutating func named(_ number: Int, _ name: String, _ value: (inout ProtobufWriter) -> Void) {
        message(number) { entry in
            entry.text(1, .string(name))
            entry.message(2, value)
        }
    }
}
