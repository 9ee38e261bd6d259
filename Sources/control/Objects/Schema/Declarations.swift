// Reads the declaration files that are compiled into the binary (CDeclarations; made by scripts/declare, which says
// what they look like). They are part of the program: a file that cannot be read is a bug of the build and traps with
// the file's name, at the first use; Tests/ObjectsTests/SchemaTests opens them all.

import CDeclarations

enum Declarations {
    /// One entry of a file's "resources".
    struct Resource: Sendable {
        let id: ResourceID
        let json: JSON
    }

    struct Loaded: Sendable {
        let catalog: SchemaCatalog
        let resources: [ResourceID: Resource]
        /// "core.v1.Pod" or "core.v1.Pod.spec" -> a sentence. Read when OpenAPI is asked for, not at the start.
        var descriptions: [String: String] { Declarations.descriptions }
    }

    static let builtIn: Loaded = load()
    private static let descriptions: [String: String] = read { $0 == "descriptions.json" }.first?.stringMap ?? [:]
    /// "core.v1.Pod" -> "1 metadata 2 spec 3 status" (scripts/declare-wire). Read at the first protobuf body.
    static let wire: [String: String] = read { $0 == "wire.json" }.first?.stringMap ?? [:]

    /// The embedded files whose names are wanted.
    private static func read(_ isWanted: (String) -> Bool) -> [JSON] {
        var files: [JSON] = []
        for index in 0..<declaration_count() {
            let file = declaration_at(index)
            let name = String(cString: file.name)
            guard isWanted(name) else { continue }
            do {
                files.append(try JSON.parse(Array(UnsafeBufferPointer(start: file.bytes, count: file.length))))
            } catch {
                fatalError("declaration file \(name): \(error)")
            }
        }
        return files
    }

    private static func load() -> Loaded {
        let files = read { $0 != "descriptions.json" && $0 != "wire.json" }
        var resources: [ResourceID: Resource] = [:]
        for entry in files.flatMap({ $0["resources"]?.array ?? [] }) {
            let id = ResourceID(
                group: entry["group"]?.string ?? "", version: entry["version"]?.string ?? "",
                resource: entry["resource"]?.string ?? "")
            resources[id] = Resource(id: id, json: entry)
        }
        return Loaded(catalog: catalog(files), resources: resources)
    }

    private static func catalog(_ files: [JSON]) -> SchemaCatalog {
        var indices: [String: Int] = [:]
        var pending: [(name: String, openAPI: String, short: String, json: JSON)] = []
        for file in files {
            guard let package = file["package"]?.string, let openAPI = file["openapi"]?.string else {
                fatalError("a declaration file has no package")
            }
            for (short, json) in file["definitions"]?.object ?? JSONObject() {
                indices["\(package).\(short)"] = pending.count
                pending.append(("\(package).\(short)", "\(openAPI).\(short)", short, json))
            }
        }
        var definitions = pending.map { entry in
            SchemaDefinition(
                name: entry.name, openAPIName: entry.openAPI, shortName: entry.short,
                required: entry.json["required"]?.strings ?? [], isAtomic: entry.json["atomic"]?.bool ?? false,
                preservesUnknown: false,
                fields: (entry.json["fields"]?.object ?? JSONObject()).map { field($0, $1, indices) },
                hasDefaults: false)
        }
        markDefaults(&definitions)
        return SchemaCatalog(definitions: definitions)
    }

    private static func field(_ name: String, _ json: JSON, _ indices: [String: Int]) -> SchemaField {
        SchemaField(
            name: name, type: type(json.string ?? json["type"]?.string ?? "", indices),
            listKeys: json["keys"]?.strings ?? [], isSet: json["set"]?.bool ?? false,
            isAtomic: json["atomic"]?.bool ?? false, mergeKey: json["merge"]?.string,
            retainKeys: json["retainKeys"]?.bool ?? false, defaultValue: json["default"])
    }

    private static func type(_ text: String, _ indices: [String: Int]) -> FieldType {
        switch text {
        case "string": return .string
        case "int32": return .int32
        case "int64": return .int64
        case "double": return .double
        case "bool": return .bool
        case "bytes": return .bytes
        case "time": return .time
        case "microTime": return .microTime
        case "quantity": return .quantity
        case "intOrString": return .intOrString
        case "raw": return .raw
        case "any": return .any
        default: break
        }
        if text.hasPrefix("[") { return .list(type(String(text.dropFirst().dropLast()), indices)) }
        if text.hasPrefix("{") { return .map(type(String(text.dropFirst().dropLast()), indices)) }
        guard let index = indices[text] else { fatalError("declarations refer to \(text), which is not declared") }
        return .object(index)
    }

    /// hasDefaults reaches from a definition with a default up to all that contain it; repeated until nothing changes.
    private static func markDefaults(_ definitions: inout [SchemaDefinition]) {
        func contains(_ type: FieldType) -> Bool {
            switch type {
            case .object(let index): definitions[index].hasDefaults
            case .list(let element), .map(let element): contains(element)
            default: false
            }
        }
        var changed = true
        while changed {
            changed = false
            for index in definitions.indices where !definitions[index].hasDefaults {
                let has = definitions[index].fields.contains { $0.defaultValue != nil || contains($0.type) }
                if has {
                    definitions[index].hasDefaults = true
                    changed = true
                }
            }
        }
    }
}
