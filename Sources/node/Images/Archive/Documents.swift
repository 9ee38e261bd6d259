// The documents of an image: descriptors, indexes, manifests (OCI image specification 1.1 and Docker's schema 2, which
// differ in media types only). Values with checked contents; JSON goes no further than this file and DockerSave.swift.

import Objects
import System

/// Where content is and what it must be.
struct Descriptor {
    let mediaType: String
    let digest: Digest
    let size: Int
    let platform: Platform?
    let annotations: [String: String]

    /// The blob's place in an image layout.
    var blobPath: String { "blobs/sha256/\(digest.hex)" }

    init(_ json: JSON, in what: String) throws {
        func bad(_ why: String) -> ArchiveFault { .malformed(what: what, why: "a descriptor \(why)") }
        guard let text = json["digest"]?.string else { throw bad("without digest") }
        guard let digest = Digest(text) else {
            if text.hasPrefix("sha512:") || text.hasPrefix("sha384:") {
                throw ArchiveFault.unsupported(what: "digest \(ArchiveFault.quote(text))", advice: "noded reads sha256")
            }
            throw bad("with digest \(ArchiveFault.quote(text))")
        }
        guard let size = json["size"]?.int, size >= 0 else { throw bad("without a size") }
        self.digest = digest
        self.size = Int(size)
        mediaType = json["mediaType"]?.string ?? ""
        annotations = json["annotations"]?.stringMap ?? [:]
        platform = json["platform"]?.object.map { object in
            Platform(
                os: object["os"]?.string ?? "", architecture: object["architecture"]?.string ?? "",
                variant: object["variant"]?.string ?? "")
        }
    }

    static func list(_ json: JSON?, in what: String) throws -> [Descriptor] {
        guard let elements = json?.array else {
            throw ArchiveFault.malformed(what: what, why: "no list of descriptors")
        }
        return try elements.map { try Descriptor($0, in: what) }
    }
}

enum Document {
    case index([Descriptor])
    case manifest(Manifest)

    /// Reads an index or manifest, and refuses what could be taken for both: another program (or the registry that
    /// scanned it) might have looked at the other image.
    init(_ json: JSON, declared: String, what: String) throws {
        guard json["schemaVersion"]?.int == 2 else {
            throw ArchiveFault.unsupported(
                what: "\(what) of a schema version other than 2", advice: "save the image anew")
        }
        func ambiguous(_ why: String) -> ArchiveFault { .ambiguous(what: what, why: why) }
        let hasManifests = json["manifests"] != nil
        let hasLayers = json["layers"] != nil || json["config"] != nil || json["fsLayers"] != nil
        if hasManifests && hasLayers { throw ambiguous("it has both \"layers\" and \"manifests\"") }
        guard hasManifests || hasLayers else {
            throw ArchiveFault.malformed(what: what, why: "neither \"layers\" nor \"manifests\"")
        }
        let own = json["mediaType"]?.string ?? ""
        for type in [declared, own] {
            switch Self.isIndex(type) {
            case true? where hasLayers: throw ambiguous("a manifest that calls itself \(ArchiveFault.quote(type))")
            case false? where hasManifests: throw ambiguous("an index that calls itself \(ArchiveFault.quote(type))")
            default: continue
            }
        }
        if hasManifests {
            self = .index(try Descriptor.list(json["manifests"], in: what))
        } else {
            self = .manifest(try Manifest(json, what: what))
        }
    }

    /// Nil for a media type that says neither.
    static func isIndex(_ mediaType: String) -> Bool? {
        switch mediaType {
        case "application/vnd.oci.image.index.v1+json",
            "application/vnd.docker.distribution.manifest.list.v2+json":
            true
        case "application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json":
            false
        default: nil
        }
    }
}

struct Manifest {
    let config: Descriptor
    let layers: [Descriptor]

    init(_ json: JSON, what: String) throws {
        guard let config = json["config"], config.object != nil else {
            throw ArchiveFault.malformed(what: what, why: "no config")
        }
        self.config = try Descriptor(config, in: what)
        layers = try Descriptor.list(json["layers"], in: what)
    }

    /// An artifact (signature, SBOM, Helm chart), not something that runs.
    var isImage: Bool {
        ["", "application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"]
            .contains(config.mediaType)
    }
}

/// An image as an archive offers it, before its layers are read.
struct ImagePlan {
    struct Layer {
        /// Of the uncompressed tar.
        let diffID: Digest
        /// Of the blob as stored; nil where the format does not say (docker-save).
        let blob: Digest?
        /// Where it is in the archive.
        let range: Range<Int>
    }
    let digest: Digest
    var indexDigests: [Digest]
    var names: [String]
    let configDigest: Digest
    let configBytes: [UInt8]
    /// Nil in docker-save archives.
    let manifestBytes: [UInt8]?
    let layers: [Layer]

    /// The platform and diff_ids of a config, both checked.
    static func config(_ bytes: [UInt8], in archive: Archive) throws -> (platform: Platform, diffIDs: [Digest]) {
        let json = try archive.json(bytes, "the image config")
        guard let config = ImageConfig(json) else {
            throw ArchiveFault.malformed(what: "the image config", why: "a field has the wrong type, or a NUL in it")
        }
        guard json.at("rootfs", "type")?.string == "layers", let ids = json.at("rootfs", "diff_ids")?.array else {
            throw ArchiveFault.malformed(what: "the image config", why: "no rootfs of type layers")
        }
        let diffIDs = try ids.map { id in
            guard let digest = id.string.flatMap(Digest.init(_:)) else {
                throw ArchiveFault.malformed(what: "the image config", why: "a diff_id that is no sha256 digest")
            }
            return digest
        }
        return (config.platform, diffIDs)
    }
}

/// All images of an archive that run here.
struct ArchivePlan {
    var images: [ImagePlan] = []
    /// Platforms that were passed over.
    var others: [String] = []

    mutating func add(_ image: ImagePlan) {
        if let index = images.firstIndex(where: { $0.digest == image.digest }) {
            images[index].names += image.names
            images[index].indexDigests += image.indexDigests
        } else {
            images.append(image)
        }
    }

    mutating func passOver(_ platform: Platform) {
        let text = platform.description
        // Attestations are listed as manifests for a platform that does not exist.
        if platform.os != "unknown", !others.contains(text), others.count < 20 { others.append(text) }
    }
}
