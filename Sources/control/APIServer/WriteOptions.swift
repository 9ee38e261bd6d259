// What comes with a write besides the object: who asks, dry run, field validation, preconditions; and what goes back
// besides it: warnings.

internal import Client
internal import Objects
internal import Synchronization

/// Texts for Warning headers, gathered while a request is worked on.
final class Warnings: Sendable {
    private let texts = Mutex<[String]>([])

    func add(_ more: [String]) {
        texts.withLock { texts in
            for text in more where !texts.contains(text) { texts.append(text) }
        }
    }

    var all: [String] { texts.withLock { $0 } }
}

/// Notes of admission for an audit log (audit.k8s.io Event annotations), by key.
final class AuditAnnotations: Sendable {
    private let notes = Mutex<[String: String]>([:])

    func add(_ key: String, _ value: String) { notes.withLock { $0[key] = value } }

    var all: [String: String] { notes.withLock { $0 } }
}

struct WriteOptions: Sendable {
    var user = UserInfo.inProcess
    var dryRun = false
    var validation = FieldValidation.ignore
    /// Paths of fields that a body named twice.
    var duplicates: [String] = []
    /// Who owns what this writes (managedFields): fieldManager, else the client's User-Agent up to its slash; by
    /// default the server itself, under the name that tools know.
    var manager = "kube-apiserver"
    /// An apply takes what others own.
    var force = false
    /// False when the object comes with the owners it is to have.
    var tracksOwners = true
    let warnings = Warnings()
    let audit = AuditAnnotations()

    init() {}
}
