// An image on this node, as a kubelet needs it: where its layers lie unpacked, and the defaults its author set.
//
// Labels are the author's words and nothing else: they must never be copied to where a name means something to noded
// (CVE-2026-53488).

import Objects
public import System

/// What an image was built for (OCI image index, `platform`).
public struct Platform: Hashable, Sendable, CustomStringConvertible {
    public let os: String
    public let architecture: String
    public let variant: String

    public init(os: String = "linux", architecture: String, variant: String = "") {
        self.os = os
        self.architecture = architecture
        self.variant = variant
    }

    /// This machine, in Go's words, which documents use.
    public static var host: Platform {
        #if arch(x86_64)
            Platform(architecture: "amd64")
        #elseif arch(arm64)
            Platform(architecture: "arm64", variant: "v8")
        #elseif arch(riscv64)
            Platform(architecture: "riscv64")
        #else
            #error("name this architecture as Go does")
        #endif
    }

    public var description: String { "\(os)/\(architecture)" + (variant.isEmpty ? "" : "/\(variant)") }

    /// Whether an image built for `other` runs here. Variants of amd64 (v2, v3) are promises about the CPU that only
    /// the baseline is sure to keep.
    func runs(_ other: Platform) -> Bool {
        guard os == other.os, architecture == other.architecture else { return false }
        let baseline = ["amd64": "v1", "arm64": "v8"][architecture] ?? ""
        return other.variant.isEmpty || other.variant == baseline || other.variant == variant
    }
}

/// The author's defaults (OCI image config, `config`).
public struct ImageConfig: Hashable, Sendable {
    public var entrypoint: [String] = []
    public var command: [String] = []
    /// KEY=VALUE.
    public var environment: [String] = []
    public var workingDirectory = ""
    /// "", "uid", "uid:gid", "name", "name:group".
    public var user = ""
    /// A name or number; empty for SIGTERM.
    public var stopSignal = ""
    /// `8080/tcp`.
    public var exposedPorts: [String] = []
    /// Paths in the container.
    public var volumes: [String] = []
    public var labels: [String: String] = [:]
    public var platform = Platform(os: "", architecture: "")

    public init() {}

    /// Of an OCI or Docker image config document. Nil when a known field has another type than it must have: an image
    /// that would start otherwise than its author meant is refused.
    init?(_ document: JSON) {
        let config = document["config"] ?? .null
        var sound = document.object != nil && (config.isNull || config.object != nil)
        func field<T>(_ key: String, _ read: (JSON) -> T?) -> T? {
            guard let value = config[key], !value.isNull else { return nil }
            let result = read(value)
            if result == nil { sound = false }
            return result
        }
        func strings(_ value: JSON) -> [String]? {
            guard let array = value.array, let texts = value.strings, texts.count == array.count else { return nil }
            // A NUL would end the argument for the kernel.
            return texts.contains { $0.utf8.contains(0) } ? nil : texts
        }
        func text(_ value: JSON) -> String? { value.string.flatMap { $0.utf8.contains(0) ? nil : $0 } }
        entrypoint = field("Entrypoint", strings) ?? []
        command = field("Cmd", strings) ?? []
        environment = field("Env", strings) ?? []
        workingDirectory = field("WorkingDir", text) ?? ""
        user = field("User", text) ?? ""
        stopSignal = field("StopSignal", text) ?? ""
        exposedPorts = field("ExposedPorts", \.object).map { $0.map(\.key) } ?? []
        volumes = field("Volumes", \.object).map { $0.map(\.key) } ?? []
        labels = field("Labels", { $0.object != nil ? $0.stringMap : nil }) ?? [:]
        platform = Platform(
            os: document["os"]?.string ?? "", architecture: document["architecture"]?.string ?? "",
            variant: document["variant"]?.string ?? "")
        if !sound { return nil }
    }
}

/// One unpacked layer. Images with the same layer share it.
public struct Layer: Hashable, Sendable {
    /// Digest of the uncompressed layer: `sha256:…`.
    public let diffID: String
    /// The tree, ready as an overlay lower directory: whiteouts are character devices 0:0, opaque directories carry
    /// trusted.overlay.opaque.
    public let path: String
    /// Bytes of the layer's tar stream, which is about what it takes on disk.
    public let size: Int
    /// The layer hides everything below it (overlayfs has no mark for that on a root).
    public let hidesLower: Bool
}

public struct Image: Hashable, Sendable {
    /// Of the manifest. An archive of `docker save` or `podman save` in the old format has none: there it is the
    /// digest of the image config, docker's image id.
    public let digest: String
    public let configDigest: String
    /// Further digests it answers to: the multi-platform index it was chosen from.
    public let indexDigests: [String]
    /// Canonical names, sorted: `docker.io/library/web:latest`. Empty when another image took its last name.
    public let references: [String]
    /// Bottom first, as in the manifest.
    public let layers: [Layer]
    public let config: ImageConfig
    /// Not for garbage collection: what was imported by hand cannot be pulled again.
    public let pinned: Bool
    public let importedAt: Timestamp

    /// Bytes of all layers, also shared ones.
    public var size: Int { layers.reduce(0) { $0 + $1.size } }

    /// Overlay lower directories, top first.
    public var rootLayers: [String] {
        let first = layers.lastIndex(where: \.hidesLower) ?? 0
        return layers[first...].reversed().map(\.path)
    }

    /// As a container's status shows it (`imageID`): `docker.io/library/web@sha256:…`, or the digest alone.
    public var id: String {
        guard let name = references.first, let reference = try? ImageReference(name) else { return digest }
        return "\(reference.repository)@\(digest)"
    }
}

/// What an import may take. Compressed layers can promise far more than a disk has.
public struct ImageLimits: Hashable, Sendable {
    /// Bytes of one index, manifest or config.
    public var documentBytes = 4 << 20
    /// Documents read from one archive.
    public var documents = 1000
    /// overlayfs stacks at most 500 lower directories.
    public var layers = 500
    /// Entries of the archive itself.
    public var archiveEntries = 100_000
    /// Bytes of all layers of one archive, uncompressed. Never more than what the disk has left.
    public var unpackedBytes = 256 << 30
    /// Files, directories, links and whiteouts of all layers of one archive.
    public var entries = 4_000_000

    public init() {}
}
