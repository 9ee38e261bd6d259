// The paths of a resource in OpenAPI: collection, item, subresources, with the parameters and bodies of each verb.

enum OpenAPIPaths {
    /// Path and path item of everything one resource answers to.
    static func paths(_ declaration: ResourceDeclaration, _ schemas: inout SchemaWriter) -> [(String, JSON)] {
        let id = declaration.id
        let root = id.group.isEmpty ? "/api/\(id.version)" : "/apis/\(id.group)/\(id.version)"
        let scope = declaration.isNamespaced ? "\(root)/namespaces/{namespace}" : root
        let collection = "\(scope)/\(id.resource)"
        let item = "\(collection)/{name}"
        var result: [(String, JSON)] = []
        func add(_ path: String, _ operations: [(String, JSON)]) {
            guard !operations.isEmpty else { return }
            var body = JSONObject(operations)
            let names = ["namespace", "name"].filter { path.contains("{\($0)}") }
            body["parameters"] = .array(
                names.map {
                    ["name": .string($0), "in": "path", "required": .bool(true), "schema": ["type": "string"]]
                }
                .map { schemas.isV2 ? flat($0) : $0 })
            result.append((path, .object(body)))
        }
        let body = schemas.reference(declaration.schema)
        let list = declaration.verbs.contains("list") ? schemas.listReference(declaration) : body
        let main: [(verb: String, method: String, isItem: Bool)] = [
            ("list", "get", false), ("create", "post", false), ("deletecollection", "delete", false),
            ("get", "get", true), ("update", "put", true), ("patch", "patch", true), ("delete", "delete", true),
        ]
        for isItem in [false, true] {
            add(
                isItem ? item : collection,
                main.filter { $0.isItem == isItem && declaration.verbs.contains($0.verb) }.map { entry in
                    let answer = entry.verb == "list" ? list : body
                    return (
                        entry.method,
                        operation(entry.verb, declaration.gvk, declaration.schema, body, answer, &schemas)
                    )
                })
        }
        if declaration.isNamespaced, declaration.verbs.contains("list") {
            add(
                "\(root)/\(id.resource)",
                [("get", operation("list", declaration.gvk, declaration.schema, body, list, &schemas))])
        }
        for sub in declaration.subresources {
            guard let schema = sub.kind == declaration.gvk ? declaration.schema : Registry.schema(of: sub.kind) else {
                // Streams (exec, attach): named, without a body to describe.
                add("\(item)/\(sub.name)", sub.verbs.compactMap { stream($0, sub.kind) })
                continue
            }
            let body = schemas.reference(schema)
            add(
                "\(item)/\(sub.name)",
                sub.verbs.compactMap { verb in
                    guard let method = methods[verb] else { return nil }
                    return (method, operation(verb, sub.kind, schema, body, body, &schemas))
                })
        }
        return result
    }

    private static let methods = [
        "get": "get", "create": "post", "update": "put", "patch": "patch", "delete": "delete",
    ]
    private static let patchTypes = [
        "application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json",
        "application/strategic-merge-patch+json",
    ]
    private static let readParameters = [
        "list": [
            "allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion",
            "resourceVersionMatch", "sendInitialEvents", "timeoutSeconds", "watch",
        ],
        "deletecollection": [
            "continue", "dryRun", "fieldSelector", "gracePeriodSeconds", "labelSelector", "limit",
            "propagationPolicy", "resourceVersion", "resourceVersionMatch", "timeoutSeconds",
        ],
        "get": [],
        "create": ["dryRun", "fieldManager", "fieldValidation"],
        "update": ["dryRun", "fieldManager", "fieldValidation"],
        "patch": ["dryRun", "fieldManager", "fieldValidation", "force"],
        "delete": ["dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy"],
    ]
    private static let types = [
        "allowWatchBookmarks": "boolean", "sendInitialEvents": "boolean", "watch": "boolean", "force": "boolean",
        "orphanDependents": "boolean", "limit": "integer", "timeoutSeconds": "integer", "gracePeriodSeconds": "integer",
    ]

    private static func operation(
        _ verb: String, _ kind: GroupVersionKind, _ schema: Schema, _ body: JSON, _ answer: JSON,
        _ schemas: inout SchemaWriter
    ) -> JSON {
        let names = ["pretty"] + (readParameters[verb] ?? [])
        var parameters = names.map { name -> JSON in
            let parameter: JSON = [
                "name": .string(name), "in": "query",
                "schema": ["type": .string(types[name] ?? "string"), "uniqueItems": .bool(true)],
            ]
            return schemas.isV2 ? flat(parameter) : parameter
        }
        let action = ["create": "post", "update": "put"][verb] ?? verb
        var result: JSON = [
            "x-kubernetes-action": .string(action), "x-kubernetes-group-version-kind": SchemaWriter.gvk(kind),
            "responses": [
                "200": schemas.isV2
                    ? ["description": "OK", "schema": answer]
                    : ["description": "OK", "content": ["application/json": ["schema": answer]]]
            ],
        ]
        if ["create", "update", "patch"].contains(verb) {
            // Strategic merge needs what only built-in kinds declare.
            let isCustom = schemas.customs[schema.openAPIName] != nil
            let patches = isCustom ? Array(patchTypes.dropLast()) : patchTypes
            let types = verb == "patch" ? patches : ["application/json", "application/yaml"]
            let given: JSON = verb == "patch" ? ["type": "object"] : body
            if schemas.isV2 {
                parameters.append(["name": "body", "in": "body", "required": .bool(true), "schema": given])
                result["consumes"] = .array(types.map(JSON.string))
            } else {
                result["requestBody"] = [
                    "required": .bool(true),
                    "content": .object(JSONObject(types.map { ($0, ["schema": given]) })),
                ]
            }
        }
        result["parameters"] = .array(parameters)
        return result
    }

    private static func stream(_ verb: String, _ kind: GroupVersionKind) -> (String, JSON)? {
        guard let method = methods[verb] else { return nil }
        return (
            method,
            [
                "x-kubernetes-action": "connect", "x-kubernetes-group-version-kind": SchemaWriter.gvk(kind),
                "responses": ["200": ["description": "OK"]],
            ]
        )
    }

    /// v2 has a parameter's type beside its name.
    private static func flat(_ parameter: JSON) -> JSON {
        var result = parameter
        result["schema"] = nil
        for (key, value) in parameter["schema"]?.object ?? JSONObject() { result[key] = value }
        return result
    }
}
