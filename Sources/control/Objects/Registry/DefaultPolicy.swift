// The roles and bindings that every cluster has (Kubernetes, "Default roles and role bindings"), as compiled into the
// binary by CDeclarations. Part of the program: a file that cannot be read is a bug of the build and traps.

internal import CDeclarations

public enum DefaultPolicy {
    /// Roles and ClusterRoles, then their bindings, each with its annotation autoupdate and its bootstrapping label.
    public static let objects: [JSON] = {
        let file = default_roles()
        let bytes = Array(UnsafeBufferPointer(start: file.bytes, count: file.length))
        do throws(JSONError) {
            return try JSON.parse(bytes).array ?? []
        } catch {
            fatalError("the default roles cannot be read: \(error)")
        }
    }()
}
