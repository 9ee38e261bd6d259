// Patches applied to an object: which algorithm, with which schema, and how their failures are worded.

internal import Objects

enum Patching {
    /// - Throws: 400 for a patch that makes no sense, 422 for one that does not fit this object, 415 for apply.
    static func apply(
        _ type: PatchType, _ patch: JSON, to object: JSON, _ schema: Schema
    ) throws(APIStatus) -> JSON {
        if type == .merge {
            guard patch.object != nil else {
                throw .badRequest("error decoding patch: a merge patch is a JSON object, not \(patch.typeName)")
            }
            return MergePatch.apply(patch, to: object)
        }
        do throws(PatchError) {
            switch type {
            case .json: return try JSONPatch.apply(patch, to: object)
            case .strategic: return try StrategicMergePatch.apply(patch, to: object, schema: schema.root)
            case .merge, .apply: break
            }
        } catch {
            throw error.status
        }
        throw .unsupportedMediaType(accepted: [PatchType.json, .merge, .strategic].map(\.rawValue))
    }
}
