// Checking an object against its schema: types, unknown fields, pruning. One walk does all three, in place.
//
// kube-apiserver decodes into Go structs, and its users know the messages of that decoder: "json: cannot unmarshal
// string into Go struct field DeploymentSpec.spec.replicas of type int32", `unknown field "spec.replicsa"`. The names
// of Go types come from the definitions' names and a small table of named string types. As there, null means "not
// given", the first wrong type ends the decoding, and unknown fields are collected (at most 100).

import System

/// What to do about unknown and duplicate fields (the fieldValidation parameter of a request).
public enum FieldValidation: String, Sendable, CaseIterable {
    case ignore = "Ignore"
    case warn = "Warn"
    case strict = "Strict"
}

/// A value whose type is not the schema's. The message is the one of Kubernetes' decoder.
public struct TypeMismatch: Error, Sendable, CustomStringConvertible {
    public let description: String
}

extension Schema {
    /// Checks types and removes what the schema does not know (and nulls).
    /// - Returns: the paths of unknown fields, such as `spec.containers[0].imag`.
    public func check(_ object: inout JSON) throws(TypeMismatch) -> [String] {
        var walk = SchemaWalk(catalog: catalog)
        try walk.check(&object, .object(index))
        return walk.unknown
    }
}

private struct SchemaWalk {
    let catalog: SchemaCatalog
    var unknown: [String] = []
    /// Where the walk is, and the definition and field names as Go's decoder reports them.
    private var path: [ValueStep] = []
    private var owner = ""
    private var fieldNames: [String] = []

    init(catalog: SchemaCatalog) { self.catalog = catalog }

    mutating func check(_ value: inout JSON, _ type: FieldType) throws(TypeMismatch) {
        switch (type, value) {
        case (.any, _): break
        case (_, .null): value = Self.zero(type)
        case (.string, .string), (.bool, .bool), (.raw, .object), (.int64, .int), (.double, .int), (.double, .double):
            break
        case (.raw, _): break
        case (.int32, .int(let number)):
            if Int32(exactly: number) == nil { throw mismatch("number \(number)", type) }
        case (.int32, .double(let number)), (.int64, .double(let number)):
            throw mismatch("number \(JSON.double(number).text)", type)
        case (.bytes, .string(let text)):
            if let position = Self.badBase64(text) {
                throw TypeMismatch(description: "illegal base64 data at input byte \(position)")
            }
        case (.time, .string(let text)), (.microTime, .string(let text)):
            value = .string(try canonicalTime(text, type))
        case (.time, _), (.microTime, _):
            throw TypeMismatch(
                description: "json: cannot unmarshal \(Self.goName(value)) into Go value of type string")
        case (.quantity, _): try checkQuantity(value)
        case (.intOrString, .string): break
        case (.intOrString, .int(let number)) where Int32(exactly: number) != nil: break
        case (.intOrString, _):
            var given = Self.goName(value)
            if given == "number" { given += " " + value.text }
            throw TypeMismatch(description: "json: cannot unmarshal \(given) into Go value of type int32")
        case (.object(let index), .object): try checkFields(&value, catalog.definitions[index])
        case (.list(let element), .array): try checkElements(&value, element)
        case (.map(let element), .object): try checkEntries(&value, element)
        default: throw mismatch(Self.goName(value), type)
        }
    }

    private mutating func checkFields(_ value: inout JSON, _ definition: SchemaDefinition) throws(TypeMismatch) {
        guard case .object(var object) = value else { return }
        value = .null
        let outer = owner
        var position = 0
        var remove: [Int] = []
        for index in object.entries.indices {
            let key = object.entries[index].key
            while position < definition.fields.count, Bytes.less(definition.fields[position].name, key) {
                position += 1
            }
            guard position < definition.fields.count, definition.fields[position].name == key else {
                if definition.preservesUnknown { continue }
                if unknown.count < 100 { unknown.append(ValueStep.print(path + [.name(key)])) }
                remove.append(index)
                continue
            }
            if object.entries[index].value.isNull {
                remove.append(index)
                continue
            }
            owner = definition.shortName
            path.append(.name(key))
            fieldNames.append(key)
            try check(&object.entries[index].value, definition.fields[position].type)
            fieldNames.removeLast()
            path.removeLast()
        }
        for index in remove.reversed() { object.entries.remove(at: index) }
        owner = outer
        value = .object(object)
    }

    private mutating func checkElements(_ value: inout JSON, _ type: FieldType) throws(TypeMismatch) {
        guard case .array(var elements) = value else { return }
        value = .null
        for index in elements.indices {
            path.append(.index(index))
            try check(&elements[index], type)
            path.removeLast()
        }
        value = .array(elements)
    }

    private mutating func checkEntries(_ value: inout JSON, _ type: FieldType) throws(TypeMismatch) {
        guard case .object(var object) = value else { return }
        value = .null
        for index in object.entries.indices {
            path.append(.name(object.entries[index].key))
            try check(&object.entries[index].value, type)
            path.removeLast()
        }
        value = .object(object)
    }

    // MARK: Scalars with a syntax

    /// A time as Kubernetes writes it, in UTC: some clients send back what they read with another offset.
    private func canonicalTime(_ text: String, _ type: FieldType) throws(TypeMismatch) -> String {
        if let time = Timestamp(rfc3339: text) { return type == .time ? time.rfc3339 : time.rfc3339Micro }
        let layout = type == .time ? "2006-01-02T15:04:05Z07:00" : "2006-01-02T15:04:05.000000Z07:00"
        throw TypeMismatch(
            description: "parsing time \(Quote.go(text)) as \"\(layout)\": "
                + "cannot parse \(Quote.go(text)) as \"2006\"")
    }

    private func checkQuantity(_ value: JSON) throws(TypeMismatch) {
        let text: String
        switch value {
        case .string(let content): text = content
        case .int(let number): text = String(number)
        case .double: text = value.text
        default: text = ""
        }
        if Quantity(text) == nil {
            throw TypeMismatch(
                description: "quantities must match the regular expression "
                    + "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
        }
    }

    /// The offset of the first byte that base64 (with padding) does not allow there.
    private static func badBase64(_ text: String) -> Int? {
        var text = text
        return text.withUTF8 { bytes in
            var digits = 0
            var padding = 0
            for (offset, byte) in bytes.enumerated() {
                switch byte {
                case 0x0A, 0x0D: continue
                case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "/"):
                    if padding > 0 { return offset }
                    digits += 1
                case UInt8(ascii: "="):
                    padding += 1
                    if digits % 4 < 2 || digits % 4 + padding > 4 { return offset }
                default: return offset
                }
            }
            return (digits + padding) % 4 == 0 ? nil : bytes.count
        }
    }

    // MARK: Words

    /// What null stands for inside a list or map.
    private static func zero(_ type: FieldType) -> JSON {
        switch type {
        case .string, .bytes: .string("")
        case .int32, .int64, .double, .intOrString: .int(0)
        case .bool: .bool(false)
        case .quantity: .string("0")
        case .object, .map: .object(JSONObject())
        case .list: .array([])
        case .time, .microTime, .raw, .any: .null
        }
    }

    private static func goName(_ value: JSON) -> String {
        switch value {
        case .null: "null"
        case .bool: "bool"
        case .int, .double: "number"
        case .string: "string"
        case .array: "array"
        case .object: "object"
        }
    }

    private func mismatch(_ given: String, _ type: FieldType) -> TypeMismatch {
        guard !fieldNames.isEmpty else {
            return TypeMismatch(
                description: "json: cannot unmarshal \(given) into Go value of type \(goType(type))")
        }
        let named = Self.namedTypes["\(owner).\(fieldNames[fieldNames.count - 1])"]
        let expected: String
        if let named, path.last.map({ if case .name = $0 { true } else { false } }) ?? false {
            expected = named
        } else {
            expected = goType(type)
        }
        return TypeMismatch(
            description: "json: cannot unmarshal \(given) into Go struct field "
                + "\(owner).\(fieldNames.joined(separator: ".")) of type \(expected)")
    }

    private func goType(_ type: FieldType) -> String {
        switch type {
        case .string: "string"
        case .int32: "int32"
        case .int64: "int64"
        case .double: "float64"
        case .bool: "bool"
        case .bytes: "[]uint8"
        case .time: "v1.Time"
        case .microTime: "v1.MicroTime"
        case .quantity: "resource.Quantity"
        case .intOrString: "intstr.IntOrString"
        case .raw: "runtime.RawExtension"
        case .any: "interface {}"
        case .object(let index): "v1." + catalog.definitions[index].shortName
        case .list(let element): "[]" + goType(element)
        case .map(let element): "map[string]" + goType(element)
        }
    }

    /// Fields whose Go type is a named string or map.
    private static let namedTypes: [String: String] = [
        "PodSpec.restartPolicy": "v1.RestartPolicy", "PodSpec.dnsPolicy": "v1.DNSPolicy",
        "Container.imagePullPolicy": "v1.PullPolicy",
        "Container.terminationMessagePolicy": "v1.TerminationMessagePolicy",
        "Container.restartPolicy": "v1.ContainerRestartPolicy",
        "ContainerPort.protocol": "v1.Protocol", "ServicePort.protocol": "v1.Protocol",
        "ServiceSpec.type": "v1.ServiceType", "ServiceSpec.sessionAffinity": "v1.ServiceAffinity",
        "HTTPGetAction.scheme": "v1.URIScheme", "Toleration.effect": "v1.TaintEffect",
        "Toleration.operator": "v1.TolerationOperator", "Taint.effect": "v1.TaintEffect",
        "Secret.type": "v1.SecretType", "DeploymentStrategy.type": "v1.DeploymentStrategyType",
        "LabelSelectorRequirement.operator": "v1.LabelSelectorOperator", "OwnerReference.uid": "types.UID",
        "ObjectMeta.uid": "types.UID", "ResourceRequirements.limits": "v1.ResourceList",
        "ResourceRequirements.requests": "v1.ResourceList", "EmptyDirVolumeSource.medium": "v1.StorageMedium",
    ]
}
