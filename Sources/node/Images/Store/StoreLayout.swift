// Where the store keeps what, and the record that ties it together.
//
//     ROOT/                        0700
//       lock                       held (flock) while index.json, layers/ or blobs/ change
//       index.json                 which images there are; replaced atomically, read without the lock
//       blobs/sha256/HEX           manifests and configs, as they came
//       layers/sha256/HEX/         by diff_id, shared by images: fs (the tree), layer.json (LayerRecord)
//       staging/ID, staging/ID.lock  an import or trash under way; ID.lock is held (flock) while its owner lives
//
// Compressed layers are not kept: the unpacked tree is the layer. Everything comes into place by rename, after it is on
// the medium, and index.json is written last: a crash leaves either no trace of an import or all of it, and what is in
// layers/, blobs/ and staging/ without being named or locked is swept at the next open.

import Objects
import System

struct StoreLayout: Sendable {
    let root: String

    var lock: String { "\(root)/lock" }
    var index: String { "\(root)/index.json" }
    var staging: String { "\(root)/staging" }
    var blobs: String { "\(root)/blobs/sha256" }
    var layers: String { "\(root)/layers/sha256" }

    func blob(_ digest: Digest) -> String { "\(blobs)/\(digest.hex)" }
    func layer(_ diffID: Digest) -> String { "\(layers)/\(diffID.hex)" }
    func layerRoot(_ diffID: Digest) -> String { "\(layer(diffID))/\(Self.layerRootName)" }

    static let layerRootName = "fs"
    static let layerRecordName = "layer.json"

    func make() throws {
        for directory in [root, staging, blobs, layers] { try Files.makeDirectory(directory, mode: 0o700) }
    }

    /// The layer is there, complete.
    func has(_ diffID: Digest) -> Bool { Files.exists("\(layer(diffID))/\(Self.layerRecordName)") }
}

/// What is known of a layer besides its tree.
struct LayerRecord {
    var size: Int
    var hidesLower: Bool

    func write(in directory: String) throws {
        let json: JSON = ["size": .int(Int64(size)), "hidesLower": .bool(hidesLower)]
        try Files.writeAtomically("\(directory)/\(StoreLayout.layerRecordName)", json.encode())
    }

    static func read(_ layout: StoreLayout, _ diffID: Digest) throws -> LayerRecord {
        let path = "\(layout.layer(diffID))/\(StoreLayout.layerRecordName)"
        let json = try StoredJSON.read(path)
        return LayerRecord(size: Int(json["size"]?.int ?? 0), hidesLower: json["hidesLower"]?.bool ?? false)
    }
}

enum StoredJSON {
    static func read(_ path: String) throws -> JSON {
        do {
            return try JSON.parse(Files.read(path))
        } catch let error as JSONError {
            throw ImageError.damaged(path: path, why: error.description)
        } catch let error as SystemError {
            throw ImageError.damaged(path: path, why: error.description)
        }
    }
}

/// An image as index.json names it.
struct ImageRecord {
    var digest: Digest
    var config: Digest
    var indexDigests: [Digest]
    var hasManifest: Bool
    /// Canonical, sorted.
    var references: [String]
    /// diff_ids, bottom first.
    var layers: [Digest]
    var pinned: Bool
    var importedAt: Timestamp

    var blobs: [Digest] { hasManifest ? [digest, config] : [config] }

    func answers(to digest: Digest) -> Bool {
        self.digest == digest || config == digest || indexDigests.contains(digest)
    }
}

/// index.json, read and written as a whole.
struct ImageIndex {
    static let version: Int64 = 1
    var records: [ImageRecord] = []

    var layers: Set<Digest> { Set(records.flatMap(\.layers)) }
    var blobs: Set<Digest> { Set(records.flatMap(\.blobs)) }

    /// An empty index where there is none yet. Throws `damaged` for one that cannot be read.
    static func read(_ layout: StoreLayout) throws -> ImageIndex {
        let path = layout.index
        guard Files.exists(path) else { return ImageIndex() }
        let json = try StoredJSON.read(path)
        func damaged(_ why: String) -> ImageError { .damaged(path: path, why: why) }
        guard json["version"]?.int == version else { throw damaged("version \(json["version"]?.text ?? "unknown")") }
        let records = (json["images"]?.array ?? []).map(decode)
        guard !records.contains(where: { $0 == nil }) else { throw damaged("a record is incomplete") }
        return ImageIndex(records: records.compactMap(\.self))
    }

    private static func decode(_ json: JSON) -> ImageRecord? {
        func digests(_ key: String) -> [Digest] { (json[key]?.strings ?? []).compactMap(Digest.init(_:)) }
        guard let digest = json["digest"]?.string.flatMap(Digest.init(_:)),
            let config = json["config"]?.string.flatMap(Digest.init(_:)),
            let time = json["importedAt"]?.string.flatMap({ Timestamp(rfc3339: $0) }),
            let references = json["references"]?.strings
        else { return nil }
        let layers = digests("layers")
        guard !layers.isEmpty, layers.count == json["layers"]?.array?.count else { return nil }
        return ImageRecord(
            digest: digest, config: config, indexDigests: digests("indexDigests"),
            hasManifest: json["hasManifest"]?.bool ?? true, references: references, layers: layers,
            pinned: json["pinned"]?.bool ?? false, importedAt: time)
    }

    /// Only with the lock held.
    func write(_ layout: StoreLayout) throws {
        func texts(_ digests: [Digest]) -> JSON { .array(digests.map { .string($0.description) }) }
        let images = records.map { record -> JSON in
            [
                "digest": .string(record.digest.description), "config": .string(record.config.description),
                "indexDigests": texts(record.indexDigests), "hasManifest": .bool(record.hasManifest),
                "references": .array(record.references.map(JSON.string)), "layers": texts(record.layers),
                "pinned": .bool(record.pinned), "importedAt": .string(record.importedAt.rfc3339Nano),
            ]
        }
        let json: JSON = ["version": .int(Self.version), "images": .array(images)]
        try Files.writeAtomically(layout.index, json.encode())
    }

    /// Gives a name to one image and takes it from any other.
    mutating func name(_ digest: Digest, _ references: [String]) {
        for index in records.indices {
            if records[index].digest == digest {
                records[index].references = Set(records[index].references).union(references).sorted()
            } else {
                records[index].references.removeAll { references.contains($0) }
                if records[index].references.isEmpty { records[index].pinned = false }
            }
        }
    }

    func position(_ text: String) throws(ImageError) -> (index: Int, byName: String?)? {
        // A digest alone; it would also be a valid name with a tag.
        if let digest = Digest(text) ?? Digest(hex: text) {
            return records.firstIndex { $0.answers(to: digest) }.map { ($0, nil) }
        }
        let reference = try ImageReference(text)
        if let digest = reference.digest.flatMap(Digest.init(_:)) {
            return records.firstIndex { $0.answers(to: digest) }.map { ($0, nil) }
        }
        let name = reference.description
        return records.firstIndex { $0.references.contains(name) }.map { ($0, name) }
    }
}
