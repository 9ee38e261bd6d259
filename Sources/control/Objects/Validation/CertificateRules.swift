// What a CertificateSigningRequest must agree with (certificates.k8s.io/v1), beyond what is inside its request: that
// takes cryptography and is looked at by admission.

enum CertificateRules {
    static let usages: Set<String> = [
        "signing", "digital signature", "content commitment", "key encipherment", "key agreement",
        "data encipherment", "cert sign", "crl sign", "encipher only", "decipher only", "any", "server auth",
        "client auth", "code signing", "email protection", "s/mime", "ipsec end system", "ipsec tunnel", "ipsec user",
        "timestamping", "ocsp signing", "microsoft sgc", "netscape sgc",
    ]

    static func spec(_ spec: JSON?) -> [FieldError] {
        let path: FieldPath = "spec"
        var errors: [FieldError] = []
        if (spec?["request"]?.string ?? "").isEmpty { errors.append(.required(path.child("request"))) }
        let given = spec?["usages"]?.strings ?? []
        if given.isEmpty { errors.append(.required(path.child("usages"))) }
        var seen: Set<String> = []
        for (index, usage) in given.enumerated() {
            let place = path.child("usages").index(index)
            if !usages.contains(usage) { errors.append(.invalid(place, .string(usage), "unknown usage")) }
            if !seen.insert(usage).inserted { errors.append(.duplicate(place, .string(usage))) }
        }
        errors += signerName(spec?["signerName"]?.string ?? "", path.child("signerName"))
        if let seconds = spec?["expirationSeconds"]?.int, seconds < 600 {
            errors.append(
                .invalid(
                    path.child("expirationSeconds"), .int(seconds),
                    "may not specify a duration less than 600 seconds (10 minutes)"))
        }
        return errors
    }

    private static func signerName(_ name: String, _ path: FieldPath) -> [FieldError] {
        if name.isEmpty { return [.required(path)] }
        if name == KubernetesSigner.legacyUnknown {
            return [.invalid(path, .string(name), "the legacy signerName is not allowed via this API version")]
        }
        let parts = name.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty }) else {
            let detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
            return [.invalid(path, .string(name), detail)]
        }
        var errors: [FieldError] = []
        errors.invalid(path, .string(parts[0]), NameRule.subdomain.check(parts[0]))
        if !parts[0].contains(".") {
            errors.append(
                .invalid(
                    path, .string(parts[0]), "should be a domain with at least two segments separated by dots"))
        }
        errors.invalid(path, .string(parts[1]), NameRule.subdomain.check(parts[1]))
        return errors
    }

    /// Decisions are made once, for good, and not both ways.
    static func conditions(_ object: JSON, old: JSON?) -> [FieldError] {
        let path: FieldPath = "status.conditions"
        var errors: [FieldError] = []
        let conditions = object.at("status", "conditions")?.array ?? []
        let types = conditions.map { $0["type"]?.string ?? "" }
        for (index, condition) in conditions.enumerated() {
            if types[index].isEmpty { errors.append(.required(path.index(index).child("type"))) }
            let status = condition["status"]?.string ?? ""
            if ["Approved", "Denied", "Failed"].contains(types[index]), status != "True" {
                errors.append(.notSupported(path.index(index).child("status"), .string(status), ["True"]))
            }
        }
        if types.contains("Approved"), types.contains("Denied") {
            errors.append(.invalid(path, "Denied", "Approved and Denied conditions are mutually exclusive"))
        }
        for type in ["Approved", "Denied", "Failed"] {
            let had = (old?.at("status", "conditions")?.array ?? []).contains { $0["type"]?.string == type }
            if had, !types.contains(type) {
                errors.append(.forbidden(path, "updates may not remove a condition of type \(Quote.go(type))"))
            }
        }
        return errors
    }
}
