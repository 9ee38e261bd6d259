// Who asks, and may they: what every HTTP request passes first.
//
//   Authentication (certificate, token, anonymous) -> Impersonation -> Authorization (masters, Node, RBAC)

internal import HTTP
internal import Objects

struct Access: Sendable {
    let authentication: Authentication
    let core: APICore

    /// The user to work as.
    /// - Throws: 401, 403.
    func enter(_ request: HTTPRequest, _ info: RequestInfo) throws(APIStatus) -> UserInfo {
        var user = try authentication.user(request, core)
        user = try Impersonation.apply(request, user, core)
        if user.isMaster { return user }
        var asked = AccessRequest(request, info)
        try core.authorization.check(user, asked, core)
        // A WebSocket opens with GET; who may only read must not get a shell by it.
        if info.verb == .get, ["exec", "attach", "portforward"].contains(info.path?.subresource) {
            asked.verb = "create"
            try core.authorization.check(user, asked, core)
        }
        return user
    }
}
