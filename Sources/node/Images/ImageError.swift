// How images fail: an archive that is refused (ArchiveFault: what is wrong, where), or a store that cannot do what was
// asked (ImageError). Both say what to do where there is something to do; a refused archive has left nothing behind.

public import System

/// Why an archive was refused. Names in it come from the archive: they are quoted, never interpreted.
public indirect enum ArchiveFault: Error, Hashable, Sendable, CustomStringConvertible {
    /// The file is no tar archive, or holds no image.
    case notAnImage(String)
    /// The bytes end too early.
    case truncated(String)
    /// A header, stream or document that breaks its own format.
    case malformed(what: String, why: String)
    /// The content is not what its name promises.
    case digestMismatch(what: String, expected: String, actual: String)
    case sizeMismatch(what: String, expected: Int, actual: Int)
    /// Named by a document but not in the archive.
    case missing(String)
    /// Larger than noded accepts.
    case tooLarge(what: String, limit: Int)
    /// A document that two programs could read as two different images (GHSA-5j5w-g665-5m35).
    case ambiguous(what: String, why: String)
    /// An entry of a layer that reaches out of the image or means something to the host.
    case unsafe(entry: String, why: String)
    /// An entry of a layer that the file system refused to make.
    case impossible(entry: String, SystemError)
    /// Correct, but noded cannot read it (yet).
    case unsupported(what: String, advice: String)
    case wrongPlatform(wanted: String, found: [String])
    case inLayer(String, ArchiveFault)

    public var description: String {
        switch self {
        case .notAnImage(let why): why
        case .truncated(let what): "\(what) is truncated"
        case .malformed(let what, let why): "\(what) is malformed: \(why)"
        case .digestMismatch(let what, let expected, let actual):
            "\(what) has digest \(actual), expected \(expected): the archive is damaged or was tampered with"
        case .sizeMismatch(let what, let expected, let actual): "\(what) has \(actual) bytes, expected \(expected)"
        case .missing(let what): "\(what) is missing in the archive"
        case .tooLarge(let what, let limit): "\(what): more than the limit of \(limit)"
        case .ambiguous(let what, let why): "\(what) is ambiguous: \(why)"
        case .unsafe(let entry, let why): "entry \(Self.quote(entry)): \(why)"
        case .impossible(let entry, let error): "entry \(Self.quote(entry)) cannot be made: \(error)"
        case .unsupported(let what, let advice): "\(what) is not supported: \(advice)"
        case .wrongPlatform(let wanted, let found):
            "no image for \(wanted)" + (found.isEmpty ? "" : ", only for \(found.joined(separator: ", "))")
        case .inLayer(let digest, let fault): "layer \(digest): \(fault)"
        }
    }

    /// The fault itself, without the layer it was found in.
    public var cause: ArchiveFault {
        if case .inLayer(_, let fault) = self { return fault.cause }
        return self
    }

    /// Names are an attacker's: no control characters reach a terminal or a log line.
    static func quote(_ text: String) -> String {
        let shown = text.unicodeScalars.prefix(200).map { scalar in
            scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value) ? "?" : String(scalar)
        }
        return "\"" + shown.joined() + (text.unicodeScalars.count > 200 ? "…\"" : "\"")
    }
}

public enum ImageError: Error, CustomStringConvertible, Sendable {
    case refused(archive: String, ArchiveFault)
    /// The archive does not say what its image is called.
    case noName(archive: String, hint: String)
    case badReference(String, why: String)
    case notFound(String)
    /// A container's root stands on the image.
    case inUse(String)
    /// A file of the store itself cannot be read.
    case damaged(path: String, why: String)
    case system(SystemError)
    /// The task was cancelled; nothing was left behind.
    case cancelled(archive: String)

    public var description: String {
        switch self {
        case .refused(let archive, let fault): "image archive \(archive) refused: \(fault)"
        case .noName(let archive, let hint):
            "image archive \(archive) does not name its image\(hint): pass one, for example --name example.org/app:v1"
        case .badReference(let text, let why): "image reference \(ArchiveFault.quote(text)): \(why)"
        case .notFound(let reference): "image \(ArchiveFault.quote(reference)) is not on this node"
        case .inUse(let reference):
            "image \(ArchiveFault.quote(reference)) is in use: a running container stands on its layers"
        case .damaged(let path, let why): "image store: \(path) cannot be read: \(why)"
        case .system(let error): "image store: \(error)"
        case .cancelled(let archive): "import of \(archive) was cancelled"
        }
    }

    /// Any error of this module as the one type that leaves it.
    static func wrap(_ error: any Error, archive: String) -> ImageError {
        switch error {
        case let error as ImageError: error
        case let fault as ArchiveFault: .refused(archive: archive, fault)
        case let error as SystemError: .system(error)
        case is CancellationError: .cancelled(archive: archive)
        default: .damaged(path: archive, why: "\(error)")
        }
    }
}
