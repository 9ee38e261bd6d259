// Patches applied to an object: which algorithm, with which schema, and how their failures are worded.
// Server-side apply, which is a patch only by its verb, is in Applying.swift.

internal import Client
internal import Objects

enum Patching {
    /// Operations of a JSON patch, as in Kubernetes.
    private static let operationLimit = 10_000

    /// The patched object. A resourceVersion in it came from the patch: a precondition.
    /// - Throws: 400 for a patch that makes no sense, 413 for one with too many operations, 415 for a type that this
    ///   resource does not take, 422 for one that does not fit this object.
    static func apply(
        _ type: PatchType, _ patch: JSON, to object: JSON, _ schema: Schema
    ) throws(APIStatus) -> JSON {
        // The version is there for patches that test or replace it (kubectl's do).
        var patched = try applied(type, patch, to: object, schema)
        let version = patched.at("metadata", "resourceVersion")
        if version == object.at("metadata", "resourceVersion") {
            patched.set("metadata", "resourceVersion", to: nil)
        }
        return patched
    }

    private static func applied(
        _ type: PatchType, _ patch: JSON, to object: JSON, _ schema: Schema
    ) throws(APIStatus) -> JSON {
        guard types(schema).contains(type), type != .apply else { throw unsupported(schema) }
        if type == .json, let count = patch.array?.count, count > operationLimit { throw tooMany(count) }
        if type == .merge {
            guard patch.object != nil else {
                throw .badRequest("error decoding patch: a merge patch is a JSON object, not \(patch.typeName)")
            }
            return MergePatch.apply(patch, to: object)
        }
        do throws(PatchError) {
            if type == .json { return try JSONPatch.apply(patch, to: object) }
            return try StrategicMergePatch.apply(patch, to: object, schema: schema.root)
        } catch {
            throw error.status
        }
    }

    /// The types of patches a resource takes: custom ones have no strategic merge patch.
    static func types(_ schema: Schema) -> [PatchType] {
        schema.isBuiltIn ? [.json, .merge, .strategic, .apply] : [.json, .merge, .apply]
    }

    static func unsupported(_ schema: Schema) -> APIStatus {
        .unsupportedMediaType(accepted: types(schema).map(\.rawValue))
    }

    private static func tooMany(_ count: Int) -> APIStatus {
        APIStatus(
            code: 413, reason: .requestEntityTooLarge,
            message: "Request entity too large: The allowed maximum operations in a JSON patch is \(operationLimit), "
                + "got \(count)")
    }
}
