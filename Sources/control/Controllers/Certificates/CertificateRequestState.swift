// What a CertificateSigningRequest says of itself, read once; and how verdicts are written into it. Pure.

import Objects
import System

struct CertificateRequestState {
    let signerName: String
    let usages: [String]
    let username: String
    /// PEM.
    let request: String
    /// Seconds; nil when the requester did not say.
    let expirationSeconds: Int64?
    let hasCertificate: Bool
    let certificate: String
    private let conditions: [JSON]
    let created: Timestamp?

    init(_ object: JSON) {
        let spec = object["spec"]
        signerName = spec?["signerName"]?.string ?? ""
        usages = spec?["usages"]?.strings ?? []
        username = spec?["username"]?.string ?? ""
        let bytes = spec?["request"]?.string.flatMap { Base64.decode($0) } ?? []
        request = String(decoding: bytes, as: UTF8.self)
        expirationSeconds = spec?["expirationSeconds"]?.int
        certificate = object.at("status", "certificate")?.string ?? ""
        hasCertificate = !certificate.isEmpty
        conditions = object.at("status", "conditions")?.array ?? []
        created = object.at("metadata", "creationTimestamp")?.string.flatMap { Timestamp(rfc3339: $0) }
    }

    func condition(_ type: String) -> JSON? { conditions.first { $0["type"]?.string == type } }

    var isApproved: Bool { condition("Approved") != nil && condition("Denied") == nil }
    var isDecided: Bool { condition("Approved") != nil || condition("Denied") != nil }
    var isFailed: Bool { condition("Failed") != nil }

    /// Since when a condition holds.
    func since(_ type: String) -> Timestamp? {
        condition(type)?["lastUpdateTime"]?.string.flatMap { Timestamp(rfc3339: $0) }
    }

    static func adding(_ type: String, reason: String, message: String, to object: JSON) -> JSON {
        var changed = object
        let condition: JSON = [
            "type": .string(type), "status": "True", "reason": .string(reason), "message": .string(message),
        ]
        changed.set("status", "conditions", to: .array((object.at("status", "conditions")?.array ?? []) + [condition]))
        return changed
    }
}
