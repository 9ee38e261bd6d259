// Service accounts that name the Secrets their pods may use: with the annotation
// kubernetes.io/enforce-mountable-secrets a pod of the account refers to those of `secrets` and pulls images with
// those of `imagePullSecrets`, and no others.

internal import Objects

enum MountableSecrets {
    static let annotation = "kubernetes.io/enforce-mountable-secrets"

    /// Why the pod may not run as the account; nil when it may.
    static func fault(of pod: JSON, account: JSON) -> String? {
        guard isOn(account) else { return nil }
        let spec = pod["spec"]
        return volumes(spec, account) ?? containers("initContainers", "init container", spec, account)
            ?? containers("containers", "container", spec, account) ?? pulling(spec, account)
    }

    /// Why the pod, which runs as the account, may not have its ephemeral containers; nil when it may.
    static func ephemeralFault(of pod: JSON, account: JSON) -> String? {
        guard isOn(account) else { return nil }
        return containers("ephemeralContainers", "ephemeral container", pod["spec"], account)
    }

    /// As Go's strconv.ParseBool reads it: any other text is no switch.
    private static func isOn(_ account: JSON) -> Bool {
        let flag = account.at("metadata", "annotations", annotation)?.string ?? ""
        return ["1", "t", "T", "TRUE", "true", "True"].contains(flag)
    }

    private static func names(_ list: JSON?) -> Set<String> {
        Set((list?.array ?? []).compactMap { $0["name"]?.string })
    }

    private static func owner(_ account: JSON) -> String { account.at("metadata", "name")?.string ?? "" }

    private static func refusal(_ what: String, _ secret: String, _ account: JSON) -> String {
        "\(what) secret.secretName=\(Quote.go(secret)) is not allowed because service account \(owner(account)) "
            + "does not reference that secret"
    }

    private static func volumes(_ spec: JSON?, _ account: JSON) -> String? {
        let allowed = names(account["secrets"])
        for volume in spec?["volumes"]?.array ?? [] {
            let sources = volume.at("projected", "sources")?.array ?? []
            let projected = sources.compactMap { $0.at("secret", "name")?.string }
            for secret in [volume.at("secret", "secretName")?.string].compactMap({ $0 }) + projected
            where !allowed.contains(secret) {
                return refusal("volume with", secret, account)
            }
        }
        return nil
    }

    private static func containers(_ list: String, _ kind: String, _ spec: JSON?, _ account: JSON) -> String? {
        let allowed = names(account["secrets"])
        for container in spec?[list]?.array ?? [] {
            let who = "\(kind) \(container["name"]?.string ?? "")"
            for variable in container["env"]?.array ?? [] {
                guard let secret = variable.at("valueFrom", "secretKeyRef", "name")?.string, !allowed.contains(secret)
                else { continue }
                return refusal("\(who) with envVar \(variable["name"]?.string ?? "") referencing", secret, account)
            }
            for source in container["envFrom"]?.array ?? [] {
                guard let secret = source.at("secretRef", "name")?.string, !allowed.contains(secret) else { continue }
                return refusal("\(who) with envFrom referencing", secret, account)
            }
        }
        return nil
    }

    private static func pulling(_ spec: JSON?, _ account: JSON) -> String? {
        let allowed = names(account["imagePullSecrets"])
        for (index, secret) in (spec?["imagePullSecrets"]?.array ?? []).enumerated() {
            let name = secret["name"]?.string ?? ""
            if !allowed.contains(name) {
                return "imagePullSecrets[\(index)].name=\(Quote.go(name)) is not allowed because service account "
                    + "\(owner(account)) does not reference that imagePullSecret"
            }
        }
        return nil
    }
}
