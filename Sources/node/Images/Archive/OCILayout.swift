// An OCI image layout in a tar (OCI image specification, "Image Layout"): what skopeo, podman --format oci-archive,
// buildx, docker since 25 and containerd write. index.json names images, or indexes of one image for several
// platforms; of those the first that runs on this machine is taken.

import Objects
import System

struct OCILayout {
    let archive: Archive
    let platform: Platform
    let limits: ImageLimits

    /// An index in an index in an index is nobody's need.
    private static let depth = 4

    func plan() throws -> ArchivePlan {
        let marker = try archive.json(archive.document("oci-layout"), "oci-layout")
        guard let version = marker["imageLayoutVersion"]?.string, version.hasPrefix("1.") else {
            throw ArchiveFault.unsupported(
                what: "the image layout's version", advice: "noded reads imageLayoutVersion 1.x")
        }
        let bytes = try archive.document("index.json")
        guard
            case .index(let descriptors) = try Document(
                archive.json(bytes, "index.json"), declared: "", what: "index.json")
        else { throw ArchiveFault.malformed(what: "index.json", why: "it is a manifest, not an index") }
        var plan = ArchivePlan()
        for descriptor in descriptors {
            if let image = try resolve(descriptor, depth: Self.depth, &plan) {
                var image = image
                image.names = try names(descriptor.annotations)
                plan.add(image)
            }
        }
        return plan
    }

    /// The image a descriptor leads to on this platform; nil when there is none.
    private func resolve(_ descriptor: Descriptor, depth: Int, _ plan: inout ArchivePlan) throws -> ImagePlan? {
        if let other = descriptor.platform, !other.os.isEmpty, !platform.runs(other) {
            plan.passOver(other)
            return nil
        }
        if !descriptor.mediaType.isEmpty, Document.isIndex(descriptor.mediaType) == nil { return nil }
        let what = "blob \(descriptor.digest)"
        let bytes = try archive.blob(descriptor)
        switch try Document(archive.json(bytes, what), declared: descriptor.mediaType, what: what) {
        case .manifest(let manifest):
            guard manifest.isImage else { return nil }
            return try image(manifest, bytes, descriptor.digest, &plan)
        case .index(let children):
            guard depth > 0 else {
                throw ArchiveFault.unsupported(
                    what: "indexes nested deeper than \(Self.depth)", advice: "save the image anew")
            }
            for child in children {
                // An archive of one platform may still carry the index of all: what is not there is not for us.
                if !archive.has(child.blobPath), child.platform.map({ !platform.runs($0) }) ?? false {
                    plan.passOver(child.platform!)
                    continue
                }
                if var image = try resolve(child, depth: depth - 1, &plan) {
                    image.indexDigests.append(descriptor.digest)
                    return image
                }
            }
            return nil
        }
    }

    private func image(
        _ manifest: Manifest, _ bytes: [UInt8], _ digest: Digest, _ plan: inout ArchivePlan
    ) throws -> ImagePlan? {
        let configBytes = try archive.blob(manifest.config)
        let (built, diffIDs) = try ImagePlan.config(configBytes, in: archive)
        guard platform.runs(built) else {
            plan.passOver(built)
            return nil
        }
        guard !manifest.layers.isEmpty else {
            throw ArchiveFault.malformed(what: "manifest \(digest)", why: "an image without layers has nothing to run")
        }
        guard manifest.layers.count <= limits.layers else {
            throw ArchiveFault.tooLarge(what: "layers of manifest \(digest)", limit: limits.layers)
        }
        guard manifest.layers.count == diffIDs.count else {
            throw ArchiveFault.malformed(
                what: "manifest \(digest)", why: "\(manifest.layers.count) layers, but \(diffIDs.count) diff_ids")
        }
        let layers = try zip(manifest.layers, diffIDs).map { layer, diffID in
            if layer.mediaType.hasSuffix("+encrypted") {
                throw ArchiveFault.unsupported(what: "encrypted layer \(layer.digest)", advice: "save it decrypted")
            }
            return ImagePlan.Layer(diffID: diffID, blob: layer.digest, range: try archive.check(layer))
        }
        return ImagePlan(
            digest: digest, indexDigests: [], names: [], configDigest: manifest.config.digest, configBytes: configBytes,
            manifestBytes: bytes, layers: layers)
    }

    /// containerd's and docker's full name; else the specification's `ref.name`, when it is more than a tag.
    private func names(_ annotations: [String: String]) throws -> [String] {
        if let name = annotations["io.containerd.image.name"], !name.isEmpty {
            return [try ImageReference(name).description]
        }
        if let name = annotations["org.opencontainers.image.ref.name"], !name.isEmpty { return [name] }
        return []
    }
}
