// Names of images as people write them, and the one form they are kept in (the "familiar" and the canonical name of
// docker's distribution reference grammar): `web` is docker.io/library/web:latest, `ghcr.io/a/b@sha256:…` is itself.
// Parsing fails with ImageError.badReference; two texts mean the same image exactly when their canonical forms agree.

import System

/// A reference to an image: repository with a tag, a digest, or both (then the digest decides).
public struct ImageReference: Hashable, Sendable, CustomStringConvertible {
    /// Registry host, with port where there is one: `docker.io`, `localhost:5000`.
    public let domain: String
    /// Path in the registry: `library/web`.
    public let path: String
    /// `latest` when neither tag nor digest was written; nil with a digest only.
    public let tag: String?
    /// `sha256:` and 64 lower-case hexadecimal digits.
    public let digest: String?

    public var repository: String { "\(domain)/\(path)" }
    public var description: String {
        repository + (tag.map { ":\($0)" } ?? "") + (digest.map { "@\($0)" } ?? "")
    }

    public init(_ text: String) throws(ImageError) {
        func bad(_ why: String) -> ImageError { .badReference(text, why: why) }
        guard !text.isEmpty else { throw bad("empty") }
        guard text.utf8.count <= 600 else { throw bad("longer than 600 bytes") }
        var rest = Substring(text)
        if let at = rest.lastIndex(of: "@") {
            let digest = String(rest[rest.index(after: at)...])
            guard Digest(digest) != nil else { throw bad("the digest is not sha256: and 64 hexadecimal digits") }
            self.digest = digest
            rest = rest[..<at]
        } else {
            digest = nil
        }
        // A colon after the last slash separates the tag; before it, a port.
        let lastSlash = rest.lastIndex(of: "/") ?? rest.startIndex
        if let colon = rest[lastSlash...].lastIndex(of: ":") {
            let tag = String(rest[rest.index(after: colon)...])
            guard Self.isTag(tag) else { throw bad("the tag \(ArchiveFault.quote(tag)) is not valid") }
            self.tag = tag
            rest = rest[..<colon]
        } else {
            tag = digest == nil ? "latest" : nil
        }
        (domain, path) = Self.split(rest)
        guard Self.isDomain(domain) else { throw bad("\(ArchiveFault.quote(domain)) is not a registry host") }
        guard path.split(separator: "/", omittingEmptySubsequences: false).allSatisfy(Self.isPathComponent) else {
            throw bad("a repository is lower-case letters, digits and single separators between slashes")
        }
        guard path.utf8.count + domain.utf8.count < 255 else { throw bad("the repository is longer than 255 bytes") }
    }

    private static func split(_ name: Substring) -> (domain: String, path: String) {
        if let slash = name.firstIndex(of: "/") {
            let first = name[..<slash]
            let isHost =
                first.contains(".") || first.contains(":") || first == "localhost"
                || first.contains { $0.isUppercase }
            if isHost {
                let host = first == "index.docker.io" ? "docker.io" : String(first)
                let path = String(name[name.index(after: slash)...])
                return (host, host == "docker.io" && !path.contains("/") ? "library/\(path)" : path)
            }
            return ("docker.io", String(name))
        }
        return ("docker.io", "library/\(name)")
    }

    private static func isAlphanumeric(_ byte: UInt8, upper: Bool = false) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): upper
        default: false
        }
    }

    static func isTag(_ text: String) -> Bool {
        guard let first = text.utf8.first, text.utf8.count <= 128 else { return false }
        guard isAlphanumeric(first, upper: true) || first == UInt8(ascii: "_") else { return false }
        return text.utf8.allSatisfy { isAlphanumeric($0, upper: true) || "_.-".utf8.contains($0) }
    }

    private static func isDomain(_ text: String) -> Bool {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        if parts.count == 2, UInt16(parts[1]) == nil { return false }
        return parts[0].split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            guard let first = label.utf8.first, let last = label.utf8.last else { return false }
            return isAlphanumeric(first, upper: true) && isAlphanumeric(last, upper: true)
                && label.utf8.allSatisfy { isAlphanumeric($0, upper: true) || $0 == UInt8(ascii: "-") }
        }
    }

    /// Lower-case letters and digits, between them one of: `.`, `_`, `__`, any number of `-`.
    private static func isPathComponent(_ text: Substring) -> Bool {
        guard let first = text.utf8.first, let last = text.utf8.last else { return false }
        guard isAlphanumeric(first), isAlphanumeric(last) else { return false }
        let separators = text.utf8.split(whereSeparator: { isAlphanumeric($0) })
        return separators.allSatisfy { run in
            run.elementsEqual(".".utf8) || run.elementsEqual("_".utf8) || run.elementsEqual("__".utf8)
                || run.allSatisfy { $0 == UInt8(ascii: "-") }
        }
    }
}

/// A SHA-256 digest as documents write it. Its 64 hexadecimal digits are safe as a file name.
struct Digest: Hashable, Sendable, CustomStringConvertible {
    let hex: String
    var description: String { "sha256:\(hex)" }

    /// Nil for anything but `sha256:` and 64 lower-case hexadecimal digits.
    init?(_ text: String) {
        let prefix = "sha256:"
        guard text.hasPrefix(prefix) else { return nil }
        self.init(hex: String(text.dropFirst(prefix.count)))
    }

    init?(hex: String) {
        let isHex = hex.utf8.allSatisfy {
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0)
        }
        guard hex.utf8.count == 64, isHex else { return nil }
        self.hex = hex
    }
}
