// Secrets of type kubernetes.io/service-account-token get the token they are named for, the cluster's CA and their
// namespace; those whose account is gone are deleted (Kubernetes, "Token controller"). Tokens for pods do not come
// this way: the kubelet asks for short-lived ones.

public import Client
public import Objects
import Logging
import Reconcile
import System

/// Makes the token of a Secret. The claims and the signature are the API server's matter.
public protocol SecretTokenMinter: Sendable {
    /// - Throws: APIStatus when tokens cannot be signed.
    func token(account: ObjectKey, uid: String, secret: String) throws(APIStatus) -> String
    /// The certificate with which clients verify the API server, in PEM.
    var authorityPEM: String { get }
}

struct ServiceAccountTokenController: Controller {
    static let name = "serviceaccount-token-controller"
    static let type = "kubernetes.io/service-account-token"
    static let accountName = "kubernetes.io/service-account.name"
    static let accountUID = "kubernetes.io/service-account.uid"

    private let client: any APIClient
    private let minter: (any SecretTokenMinter)?
    private let secrets: Informer
    private let accounts: Informer
    private let byAccount: Index
    private let queue: WorkQueue<ObjectKey>
    private let logger: Logger

    init(_ context: ControllerContext) {
        client = context.client
        minter = context.tokenMinter
        secrets = context.informers.informer(.secrets)
        accounts = context.informers.informer(.serviceAccounts)
        byAccount = Index(secrets) { Self.account(of: $0).map { ["\($0)"] } ?? [] }
        queue = WorkQueue(Self.name, logger: context.logger)
        logger = context.logger
    }

    func run() async {
        await queue.run(
            workers: 2,
            watching: [
                KeySource(secrets) { key, _, new in new.flatMap(Self.account) == nil ? [] : [key] },
                KeySource(accounts) { key, old, new in
                    // A new account, or another one of the same name.
                    guard old?.at("metadata", "uid") != new?.at("metadata", "uid") else { return [] }
                    return byAccount.objects("\(key)").map { ObjectKey($0) }
                },
            ], reconcile)
    }

    /// The account a token Secret is for; nil for any other Secret.
    static func account(of secret: JSON) -> ObjectKey? {
        guard secret["type"]?.string == type,
            let name = secret.at("metadata", "annotations", accountName)?.string, !name.isEmpty
        else { return nil }
        return ObjectKey(namespace: secret.at("metadata", "namespace")?.string ?? "", name: name)
    }

    private func reconcile(_ key: ObjectKey) async throws -> Outcome {
        guard let secret = secrets.object(key), let owner = Self.account(of: secret),
            secret.at("metadata", "deletionTimestamp") == nil
        else { return .done }
        // The informer may be behind: an account made a moment ago must not lose its Secret.
        let account: JSON
        do throws(APIStatus) {
            account = try await client.get(.serviceAccounts, owner)
        } catch {
            guard error.isNotFound else { throw error }
            return try await remove(secret, key)
        }
        let uid = account.at("metadata", "uid")?.string ?? ""
        let named = secret.at("metadata", "annotations", Self.accountUID)?.string ?? ""
        guard named.isEmpty || named == uid else { return try await remove(secret, key) }
        guard let minter else {
            logger.warning(
                "a service account token Secret cannot be filled: no key to sign with",
                metadata: ["secret": "\(key)"])
            return .done
        }
        guard let filled = try fill(secret, key, owner, uid, minter) else { return .done }
        return try await Writes.settle { _ = try await client.update(.secrets, filled) }
    }

    /// With what is missing or wrong put right; nil when nothing is.
    private func fill(
        _ secret: JSON, _ key: ObjectKey, _ account: ObjectKey, _ uid: String, _ minter: any SecretTokenMinter
    ) throws(APIStatus) -> JSON? {
        var filled = secret
        filled.set("metadata", "annotations", Self.accountUID, to: .string(uid))
        filled.set("data", "ca.crt", to: .string(Base64.encode(Array(minter.authorityPEM.utf8))))
        filled.set("data", "namespace", to: .string(Base64.encode(Array(key.namespace.utf8))))
        if (secret.at("data", "token")?.string ?? "").isEmpty {
            let token = try minter.token(account: account, uid: uid, secret: key.name)
            filled.set("data", "token", to: .string(Base64.encode(Array(token.utf8))))
        }
        return filled == secret ? nil : filled
    }

    private func remove(_ secret: JSON, _ key: ObjectKey) async throws -> Outcome {
        let options = DeleteOptions(uid: secret.at("metadata", "uid")?.string ?? "")
        return try await Writes.settle { try await client.delete(.secrets, key, options) }
    }
}
