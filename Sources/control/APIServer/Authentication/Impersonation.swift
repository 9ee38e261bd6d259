// Impersonation: acting as somebody else, for those who may `impersonate` every part of that identity (Kubernetes,
// "User impersonation"). The request goes on as the other user, and nothing of the real one is left in it.

internal import HTTP
internal import Objects

enum Impersonation {
    static let userHeader = "Impersonate-User"
    static let groupHeader = "Impersonate-Group"
    static let uidHeader = "Impersonate-Uid"
    static let extraPrefix = "impersonate-extra-"

    private static let group = "authentication.k8s.io"

    /// The user to go on as: `user` itself when the request asks for nobody else.
    /// - Throws: 403 for a part that the user may not impersonate.
    static func apply(_ request: HTTPRequest, _ user: UserInfo, _ core: APICore) throws(APIStatus) -> UserInfo {
        let wanted = try wanted(request.headers)
        guard let wanted else { return user }
        for question in questions(wanted) { try core.authorization.check(user, question, core) }
        return completed(wanted)
    }

    /// nil when there is no such header. Groups without a user are an error, as for kube-apiserver.
    private static func wanted(_ headers: HTTPHeaders) throws(APIStatus) -> UserInfo? {
        // Hardly anyone asks: a look at the first letters, on every request's way.
        guard headers.contains(where: { $0.name.utf8.first.map { $0 | 0x20 } == UInt8(ascii: "i") }) else { return nil }
        var wanted = UserInfo(
            name: headers[userHeader] ?? "", uid: headers[uidHeader] ?? "", groups: headers.values(groupHeader))
        for field in headers {
            let name = field.name.lowercased()
            guard name.hasPrefix(extraPrefix) else { continue }
            wanted.extra[RequestInfo.decode(name.dropFirst(extraPrefix.count)), default: []].append(field.value)
        }
        guard wanted.name.isEmpty else { return wanted }
        if wanted.groups.isEmpty, wanted.uid.isEmpty, wanted.extra.isEmpty { return nil }
        throw .internalError(
            "requested impersonation of groups \(Go.list(wanted.groups)), uid \(Quote.go(wanted.uid)) or extra "
                + "\(Go.list(wanted.extra.keys.sorted())) without impersonating a user")
    }

    private static func questions(_ wanted: UserInfo) -> [AccessRequest] {
        func core(_ resource: String, namespace: String = "", name: String) -> AccessRequest {
            AccessRequest(
                "impersonate", ResourceID(group: "", version: "v1", resource: resource), namespace: namespace,
                name: name)
        }
        var questions: [AccessRequest] = []
        if let account = ServiceAccountName.split(wanted.name) {
            questions.append(core("serviceaccounts", namespace: account.namespace, name: account.name))
        } else {
            questions.append(core("users", name: wanted.name))
        }
        questions += wanted.groups.map { core("groups", name: $0) }
        for (key, values) in wanted.extra.sorted(by: { $0.key < $1.key }) {
            let extras = ResourceID(group: group, version: "v1", resource: "userextras")
            questions += values.map { AccessRequest("impersonate", extras, subresource: key, name: $0) }
        }
        if !wanted.uid.isEmpty {
            questions.append(
                AccessRequest(
                    "impersonate", ResourceID(group: group, version: "v1", resource: "uids"), name: wanted.uid))
        }
        return questions
    }

    /// With the groups that such a user would have had by authenticating.
    private static func completed(_ wanted: UserInfo) -> UserInfo {
        var user = wanted
        if user.groups.isEmpty, let account = ServiceAccountName.split(user.name) {
            user.groups = ServiceAccountName.groups(account.namespace)
        }
        let group = user.name == UserInfo.anonymousName ? UserInfo.unauthenticated : UserInfo.authenticated
        if !user.groups.contains(where: { $0 == UserInfo.authenticated || $0 == UserInfo.unauthenticated }) {
            user.groups.append(group)
        }
        return user
    }
}
