// Who makes a request, as authentication found it and authorization, admission and reviews read it.

internal import Objects

/// A user in the sense of authentication.k8s.io/v1 UserInfo.
struct UserInfo: Hashable, Sendable {
    var name: String
    /// "" for users that have none (certificates).
    var uid = ""
    var groups: [String]
    /// Keys in lower case, such as `authentication.kubernetes.io/pod-name`.
    var extra: [String: [String]] = [:]

    /// The key in `extra` of what the user showed: `JTI=…` of a token, `X509SHA256=…` of a certificate.
    static let credential = "authentication.kubernetes.io/credential-id"
    static let anonymousName = "system:anonymous"
    static let authenticated = "system:authenticated"
    static let unauthenticated = "system:unauthenticated"
    static let masters = "system:masters"

    static let anonymous = UserInfo(name: anonymousName, groups: [unauthenticated])
    /// noded's own controllers, scheduler and kubelet, in the same process.
    static let inProcess = UserInfo(name: "system:noded", groups: [masters, authenticated])

    /// May do everything, whatever the roles say: a cluster can be mended when its RBAC is broken.
    var isMaster: Bool { groups.contains(UserInfo.masters) }

    /// authentication.k8s.io/v1 UserInfo; empty members are left out.
    var json: JSON {
        var json: JSON = ["username": .string(name)]
        if !uid.isEmpty { json["uid"] = .string(uid) }
        if !groups.isEmpty { json["groups"] = .array(groups.map { .string($0) }) }
        if !extra.isEmpty { json["extra"] = extraJSON }
        return json
    }

    var extraJSON: JSON {
        var json: JSON = [:]
        for (key, values) in extra { json[key] = .array(values.map { .string($0) }) }
        return json
    }
}

/// Names of service accounts as users and groups.
enum ServiceAccountName {
    static let prefix = "system:serviceaccount:"
    static let group = "system:serviceaccounts"

    static func user(_ namespace: String, _ name: String) -> String { "\(prefix)\(namespace):\(name)" }

    static func groups(_ namespace: String) -> [String] { [group, "\(group):\(namespace)"] }

    /// The account behind a user name; nil when it is no service account's.
    static func split(_ user: String) -> (namespace: String, name: String)? {
        guard user.hasPrefix(prefix) else { return nil }
        let parts = user.dropFirst(prefix.count).split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else { return nil }
        return (String(parts[0]), String(parts[1]))
    }
}
