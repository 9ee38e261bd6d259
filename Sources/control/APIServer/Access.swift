// Who asks, and may they: thin for now.
//
// Authentication is by client certificate (CN the user, O's the groups); everybody else is anonymous. A bearer token
// is 401, since no token can be valid yet. Authorization: system:masters may do everything; every authenticated user
// may read health, version, discovery and schema; anonymous may read health, version and discovery. RBAC replaces
// `Authorization.allows` and nothing else.

internal import HTTP
internal import Objects

enum Authentication {
    static func user(_ request: HTTPRequest) throws(APIStatus) -> UserInfo {
        if let certificate = request.peer.certificate, !certificate.commonName.isEmpty {
            return UserInfo(
                name: certificate.commonName, groups: certificate.organizations + ["system:authenticated"])
        }
        if request.headers["Authorization"] != nil { throw .unauthorized() }
        return .anonymous
    }
}

enum Authorization {
    private static let open = ["/livez", "/readyz", "/healthz", "/version", "/api", "/apis"]
    private static let schema = ["/openapi", "/openid", "/.well-known"]

    static func check(_ user: UserInfo, _ request: HTTPRequest, _ target: RequestTarget, _ verb: Verb?) throws(APIStatus) {
        if user.groups.contains("system:masters") { return }
        switch target {
        case .other(let path):
            let isRead = request.method == "GET" || request.method == "HEAD"
            if isRead, isBelow(path, open) { return }
            if isRead, user != .anonymous, isBelow(path, schema) { return }
            throw .forbidden(
                nil, "", "User \"\(user.name)\" cannot \(request.method.lowercased()) path \"\(path)\"")
        case .resource(let path):
            let id = ResourceID(group: path.group, version: path.version, resource: path.resource)
            let resource = path.subresource.map { "\(path.resource)/\($0)" } ?? path.resource
            var scope = "at the cluster scope"
            if let namespace = path.namespace { scope = "in the namespace \"\(namespace)\"" }
            throw .forbidden(
                id, path.name ?? "",
                "User \"\(user.name)\" cannot \(verb?.rawValue ?? request.method.lowercased()) resource "
                    + "\"\(resource)\" in API group \"\(path.group)\" \(scope)")
        }
    }

    private static func isBelow(_ path: String, _ roots: [String]) -> Bool {
        roots.contains { path == $0 || path.hasPrefix($0 + "/") }
    }
}
