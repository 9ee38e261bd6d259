// JSON merge patch (RFC 7386): objects merge, null deletes, everything else replaces. Cannot fail.

/// RFC 7386.
public enum MergePatch {
    public static func apply(_ patch: JSON, to target: JSON) -> JSON {
        guard case .object(let changes) = patch else { return patch }
        var result = target.object ?? JSONObject()
        result.set(changes.map { key, change in (key, change.isNull ? nil : apply(change, to: result[key] ?? .null)) })
        return .object(result)
    }
}
