// The older format of `docker save`, and still what `podman save` writes by default: manifest.json lists images, each a
// config and plain tar layers. It has no manifests and no blob digests; what holds it together are the config's
// diff_ids, and the image is known by its config's digest, docker's image id.

import Objects
import PKI
import System

struct DockerSave {
    let archive: Archive
    let platform: Platform
    let limits: ImageLimits

    func plan() throws -> ArchivePlan {
        let what = "manifest.json"
        let json = try archive.json(archive.document(what), what)
        guard let images = json.array else { throw ArchiveFault.malformed(what: what, why: "it is no list") }
        var plan = ArchivePlan()
        for image in images {
            guard let configName = image["Config"]?.string, let layerNames = image["Layers"]?.strings,
                layerNames.count == image["Layers"]?.array?.count
            else { throw ArchiveFault.malformed(what: what, why: "an image without Config or Layers") }
            let configBytes = try archive.document(configName)
            let (built, diffIDs) = try ImagePlan.config(configBytes, in: archive)
            guard platform.runs(built) else {
                plan.passOver(built)
                continue
            }
            guard !layerNames.isEmpty, layerNames.count == diffIDs.count else {
                throw ArchiveFault.malformed(
                    what: what, why: "\(layerNames.count) layers, but \(diffIDs.count) diff_ids")
            }
            guard layerNames.count <= limits.layers else {
                throw ArchiveFault.tooLarge(what: "layers", limit: limits.layers)
            }
            let digest = Digest(hex: SHA256Hash.hex(of: configBytes))!
            plan.add(
                ImagePlan(
                    digest: digest, indexDigests: [],
                    names: try (image["RepoTags"]?.strings ?? []).map { try ImageReference($0).description },
                    configDigest: digest, configBytes: configBytes, manifestBytes: nil,
                    layers: try zip(layerNames, diffIDs).map { name, diffID in
                        ImagePlan.Layer(diffID: diffID, blob: nil, range: try archive.range(name))
                    }))
        }
        return plan
    }
}
