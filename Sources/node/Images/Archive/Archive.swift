// The archive file: an index over its entries, made in one pass that skips contents, and access to them by name. The
// archive's own names are only ever looked up, never made, so that what they try does not matter.
//
// Needs a plain, uncompressed file: layers are read in parallel and out of order.

import Objects
import PKI
import Synchronization
import System

final class Archive: Sendable {
    private enum Node {
        case file(Range<Int>)
        case link(String)
    }

    let path: String
    private let limits: ImageLimits
    private let nodes: [String: Node]
    private let documentsRead = Atomic<Int>(0)

    init(_ path: String, limits: ImageLimits) throws {
        self.path = path
        self.limits = limits
        let attributes = try Files.attributes(path)
        guard attributes.mode & 0o170000 == 0o100000 else {
            throw ArchiveFault.unsupported(
                what: "anything but a regular file", advice: "save the image into a file first")
        }
        nodes = try Self.scan(path, attributes.size, limits)
    }

    private static func scan(_ path: String, _ size: Int, _ limits: ImageLimits) throws -> [String: Node] {
        let head = try FileDescriptor.open(path).read(upTo: 6)
        if let tool = Compression(head)?.tool {
            throw ArchiveFault.unsupported(
                what: "a compressed archive",
                advice: "decompress it first with \(tool) (its layers may stay compressed)")
        }
        let tar = TarReader(try FileSource(path, 0..<size, name: "the archive", chunk: 64 << 10), what: "the archive")
        var nodes: [String: Node] = [:]
        do {
            while let entry = try tar.next() {
                guard nodes.count < limits.archiveEntries else {
                    throw ArchiveFault.tooLarge(what: "entries of the archive", limit: limits.archiveEntries)
                }
                let name = normal(entry.name)
                switch entry.kind {
                case .file:
                    let end = tar.position + entry.size
                    guard end <= size else {
                        throw ArchiveFault.truncated("\(ArchiveFault.quote(name)) in the archive")
                    }
                    let isDocument = !name.contains("/")
                    if isDocument, nodes[name] != nil {
                        throw ArchiveFault.ambiguous(what: ArchiveFault.quote(name), why: "it is in the archive twice")
                    }
                    nodes[name] = .file(tar.position..<end)
                // Old `docker save` stores a layer once and links to it from other images' folders.
                case .symlink: nodes[name] = .link(normal(parent(name) + entry.target))
                case .hardLink: nodes[name] = .link(normal(entry.target))
                default: continue
                }
            }
        } catch ArchiveFault.malformed(_, let why) where nodes.isEmpty {
            throw ArchiveFault.notAnImage("it is no tar archive (\(why))")
        } catch ArchiveFault.truncated where nodes.isEmpty {
            throw ArchiveFault.notAnImage("it is no tar archive (shorter than its first entry)")
        }
        if nodes.isEmpty { throw ArchiveFault.notAnImage("it is empty") }
        return nodes
    }

    private static func parent(_ name: String) -> String { name.lastIndex(of: "/").map { String(name[...$0]) } ?? "" }

    /// Without "." and with ".." resolved, as names in the archive are compared.
    private static func normal(_ name: String) -> String {
        var parts: [Substring] = []
        for part in name.split(separator: "/") where part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }
        return parts.joined(separator: "/")
    }

    // MARK: Reading

    func has(_ name: String) -> Bool { nodes[Self.normal(name)] != nil }

    func range(_ name: String) throws -> Range<Int> {
        var current = Self.normal(name)
        for _ in 0..<8 {
            switch nodes[current] {
            case .file(let range): return range
            case .link(let target): current = target
            case nil: throw ArchiveFault.missing(ArchiveFault.quote(name))
            }
        }
        throw ArchiveFault.malformed(what: "the archive", why: "\(ArchiveFault.quote(name)) is a loop of links")
    }

    func source(_ range: Range<Int>) throws -> FileSource { try FileSource(path, range, name: "the archive") }

    /// The bytes of a document, within the limits.
    func document(_ name: String) throws -> [UInt8] {
        let range = try range(name)
        guard range.count <= limits.documentBytes else {
            throw ArchiveFault.tooLarge(what: ArchiveFault.quote(name), limit: limits.documentBytes)
        }
        guard documentsRead.add(1, ordering: .relaxed).newValue <= limits.documents else {
            throw ArchiveFault.tooLarge(what: "documents", limit: limits.documents)
        }
        let source = try source(range)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(range.count)
        while true {
            let piece = try source.next()
            if piece.isEmpty { return bytes }
            bytes.append(contentsOf: piece)
        }
    }

    /// A document as JSON; duplicate keys are refused, for two parsers would choose differently.
    func json(_ bytes: [UInt8], _ what: String) throws -> JSON {
        do throws(JSONError) {
            return try JSON.parse(bytes, limits: JSONLimits(depth: 64, bytes: limits.documentBytes))
        } catch {
            throw ArchiveFault.malformed(what: what, why: error.description)
        }
    }

    /// A blob of the image layout, its size and digest checked.
    func blob(_ descriptor: Descriptor) throws -> [UInt8] {
        try check(descriptor)
        let bytes = try document(descriptor.blobPath)
        let actual = "sha256:\(SHA256Hash.hex(of: bytes))"
        guard actual == descriptor.digest.description else {
            throw ArchiveFault.digestMismatch(
                what: "blob", expected: descriptor.digest.description, actual: actual)
        }
        return bytes
    }

    /// That the blob is there and as long as its descriptor says. Returns where it is.
    @discardableResult
    func check(_ descriptor: Descriptor) throws -> Range<Int> {
        let range = try range(descriptor.blobPath)
        guard range.count == descriptor.size else {
            throw ArchiveFault.sizeMismatch(
                what: "blob \(descriptor.digest)", expected: descriptor.size, actual: range.count)
        }
        return range
    }
}

/// Told by the first bytes, as every reader of layers does: media types are wrong too often.
enum Compression: Equatable {
    case gzip, zstd, xz, bzip2

    init?(_ head: some Collection<UInt8>) {
        if head.starts(with: [0x1f, 0x8b]) {
            self = .gzip
        } else if head.starts(with: [0x28, 0xb5, 0x2f, 0xfd]) {
            self = .zstd
        } else if head.starts(with: [0xfd, 0x37, 0x7a, 0x58, 0x5a]) {
            self = .xz
        } else if head.starts(with: [0x42, 0x5a, 0x68]) {
            self = .bzip2
        } else {
            return nil
        }
    }

    var tool: String {
        switch self {
        case .gzip: "gunzip"
        case .zstd: "unzstd"
        case .xz: "unxz"
        case .bzip2: "bunzip2"
        }
    }
}
