// A custom resource's schema in OpenAPI documents: the definition's own openAPIV3Schema with the fields that every
// object has. In v2, which knows no nullable, no groups of schemas and no values of several types, what it cannot say
// is left out, as Kubernetes leaves it out.

extension CustomResource {
    /// - Parameter metadata: a reference to ObjectMeta.
    func openAPI(metadata: JSON, isV2: Bool) -> JSON {
        var schema = (try? JSON.parse(published)) ?? [:]
        if isV2 { schema = Self.reduced(schema, depth: 0) }
        let texts = Declarations.builtIn.descriptions
        func field(_ name: String) -> JSON {
            var field: JSON = ["type": "string"]
            if let text = texts["meta.v1.ObjectMeta.\(name)"] ?? texts["*.\(name)"] {
                field["description"] = .string(text)
            }
            return field
        }
        var properties = schema["properties"] ?? [:]
        properties["apiVersion"] = field("apiVersion")
        properties["kind"] = field("kind")
        properties["metadata"] = isV2 ? metadata : ["allOf": [metadata]]
        schema["properties"] = properties
        schema["type"] = "object"
        schema["x-kubernetes-group-version-kind"] = [SchemaWriter.gvk(gvk)]
        return schema
    }

    private static let unknownToV2 = ["nullable", "oneOf", "anyOf", "allOf", "not", "x-kubernetes-validations"]

    private static func reduced(_ schema: JSON, depth: Int) -> JSON {
        guard case .object(var object) = schema, depth < StructuralRules.depthLimit else { return schema }
        if object["nullable"]?.bool == true {
            for key in ["type", "items", "properties", "additionalProperties"] { object[key] = nil }
        }
        for key in unknownToV2 { object[key] = nil }
        if let properties = object["properties"]?.object {
            object["properties"] = .object(properties.mapValues { reduced($0, depth: depth + 1) })
        }
        for key in ["items", "additionalProperties"] {
            if let below = object[key], below.object != nil { object[key] = reduced(below, depth: depth + 1) }
        }
        // A place that keeps what it does not know is any object.
        if object["x-kubernetes-preserve-unknown-fields"]?.bool == true { object["properties"] = nil }
        return .object(object)
    }
}
