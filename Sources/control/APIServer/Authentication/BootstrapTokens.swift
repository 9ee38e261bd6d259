// Bootstrap tokens: `ID.SECRET`, held by Secrets of type bootstrap.kubernetes.io/token in kube-system, with which new
// nodes join (Kubernetes, "Authenticating with Bootstrap Tokens").
//
// The Secret is read at each use: such tokens are rare, and a deleted one must not live on.

internal import Objects
internal import System

struct BootstrapTokens: TokenAuthenticator {
    static let secretType = "bootstrap.kubernetes.io/token"
    static let group = "system:bootstrappers"

    func authenticate(
        _ token: String, audiences: [String], _ core: APICore
    ) throws(AuthenticationFailure) -> TokenIdentity? {
        guard let (id, secret) = BootstrapTokens.split(token) else { return nil }
        guard let object = core.peek(.secrets, namespace: "kube-system", name: "bootstrap-token-\(id)"),
            !object.isTerminating
        else { return nil }
        let tree = object.tree()
        func value(_ key: String) -> String {
            guard let bytes = tree.at("data", key)?.string.flatMap({ Base64.decode($0) }) else { return "" }
            return String(decoding: bytes, as: UTF8.self)
        }
        guard tree["type"]?.string == BootstrapTokens.secretType, value("token-id") == id,
            ConstantTime.equal(value("token-secret"), secret),
            BootstrapTokens.isCurrent(value("expiration"), now: .now()),
            value("usage-bootstrap-authentication") == "true"
        else { return nil }
        guard let groups = BootstrapTokens.groups(value("auth-extra-groups")) else { return nil }
        return TokenIdentity(
            user: UserInfo(name: "system:bootstrap:\(id)", groups: [BootstrapTokens.group] + groups),
            audiences: audiences)
    }

    /// Six and sixteen lower-case letters and digits.
    static func split(_ token: String) -> (id: String, secret: String)? {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0].utf8.count == 6, parts[1].utf8.count == 16 else { return nil }
        let allowed = parts.allSatisfy { part in
            part.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x7a).contains($0) }
        }
        return allowed ? (String(parts[0]), String(parts[1])) : nil
    }

    /// No expiration is for ever; one that cannot be read is over.
    private static func isCurrent(_ expiration: String, now: Timestamp) -> Bool {
        if expiration.isEmpty { return true }
        guard let end = Timestamp(rfc3339: expiration) else { return false }
        return now < end
    }

    /// The extra groups; nil when one of them is not below `system:bootstrappers:`.
    private static func groups(_ text: String) -> [String]? {
        let groups = text.split(separator: ",").map(String.init)
        return groups.allSatisfy(isAllowed) ? groups.sorted() : nil
    }

    private static func isAllowed(_ group: String) -> Bool {
        let prefix = "\(BootstrapTokens.group):"
        guard group.hasPrefix(prefix) else { return false }
        let rest = group.utf8.dropFirst(prefix.utf8.count)
        func isWord(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte) }
        guard let last = rest.last, isWord(last), rest.count <= 256 else { return false }
        return rest.allSatisfy { isWord($0) || $0 == 0x2d || $0 == 0x3a }
    }
}
