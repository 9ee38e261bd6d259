// Service accounts that name the Secrets their pods may use: with the annotation kubernetes.io/enforce-mountable-secrets a
// pod of the account refers to those of `secrets` and pulls images with those of `imagePullSecrets`, and no others.

internal import Objects

enum MountableSecrets {
    static let annotation = "kubernetes.io/enforce-mountable-secrets"

    /// Why the pod may not run as the account; nil when it may.
    static func fault(of pod: JSON, account: JSON) -> String? {
        // Go's strconv.ParseBool: any other text is no switch.
        let flag = account.at("metadata", "annotations", annotation)?.string ?? ""
        guard ["1", "t", "T", "TRUE", "true", "True"].contains(flag) else { return nil }
        func names(_ list: JSON?) -> Set<String> { Set((list?.array ?? []).compactMap { $0["name"]?.string }) }
        let allowed = names(account["secrets"])
        let owner = account.at("metadata", "name")?.string ?? ""
        func refusal(_ what: String, _ secret: String) -> String {
            "\(what) secret.secretName=\(Quote.go(secret)) is not allowed because service account \(owner) does not "
                + "reference that secret"
        }
        let spec = pod["spec"]
        for volume in spec?["volumes"]?.array ?? [] {
            let projected = (volume.at("projected", "sources")?.array ?? []).compactMap { $0.at("secret", "name")?.string }
            for secret in [volume.at("secret", "secretName")?.string].compactMap({ $0 }) + projected
            where !allowed.contains(secret) {
                return refusal("volume with", secret)
            }
        }
        let lists = [
            ("initContainers", "init container"), ("containers", "container"), ("ephemeralContainers", "ephemeral container"),
        ]
        for (list, kind) in lists {
            for container in spec?[list]?.array ?? [] {
                let who = "\(kind) \(container["name"]?.string ?? "")"
                for variable in container["env"]?.array ?? [] {
                    guard let secret = variable.at("valueFrom", "secretKeyRef", "name")?.string, !allowed.contains(secret)
                    else { continue }
                    return refusal("\(who) with envVar \(variable["name"]?.string ?? "") referencing", secret)
                }
                for source in container["envFrom"]?.array ?? [] {
                    guard let secret = source.at("secretRef", "name")?.string, !allowed.contains(secret) else { continue }
                    return refusal("\(who) with envFrom referencing", secret)
                }
            }
        }
        let pulling = names(account["imagePullSecrets"])
        for (index, secret) in (spec?["imagePullSecrets"]?.array ?? []).enumerated() {
            let name = secret["name"]?.string ?? ""
            if !pulling.contains(name) {
                return "imagePullSecrets[\(index)].name=\(Quote.go(name)) is not allowed because service account \(owner) "
                    + "does not reference that imagePullSecret"
            }
        }
        return nil
    }
}
