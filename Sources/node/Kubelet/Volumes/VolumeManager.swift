// A pod's volumes on disk: DATA/pods/<uid>/volumes/<plugin>/<name>. Setting up twice is a no-op that refreshes what
// comes from objects; taking away needs no memory (mounts are found in mountinfo).
//
// Whatever holds objects' bytes lives on tmpfs: Secrets never reach the disk, ConfigMaps cost it nothing.

import Kernel
import Objects
import System

/// Where a volume can be mounted from.
struct VolumeSource: Sendable, Hashable {
    var path: String
    /// Contents written by the node: containers get them read-only.
    var readOnly: Bool
}

struct VolumeManager: Sendable {
    let podDirectory: String
    var volumesDirectory: String { "\(podDirectory)/volumes" }

    private static let root: UInt32 = 0o755

    /// - Returns: sources by volume name.
    func setUp(_ pod: JSON, view: PodView, lookups: Lookups) async throws -> [String: VolumeSource] {
        let spec = pod.child("spec")
        let group = spec.child("securityContext").integer("fsGroup").map { UInt32(truncatingIfNeeded: $0) }
        var sources: [String: VolumeSource] = [:]
        for volume in spec.list("volumes") {
            let name = volume.text("name") ?? ""
            do {
                sources[name] = try await setUp(volume, name: name, group: group, view: view, lookups: lookups)
            } catch let error as KubeletError {
                if case .volume = error { throw error }
                throw KubeletError.volume(name: name, "\(error)")
            } catch {
                throw KubeletError.volume(name: name, "\(error)")
            }
        }
        return sources
    }

    private func setUp(
        _ volume: JSON, name: String, group: UInt32?, view: PodView, lookups: Lookups
    ) async throws -> VolumeSource {
        if let kind = VolumeContents.kinds.first(where: { volume[$0] != nil }) {
            let files = try await VolumeContents(view: view, lookups: lookups).files(volume)
            let path = "\(volumesDirectory)/\(Self.plugin(kind))/\(name)"
            try await BlockingPool.shared.run {
                try makeTmpfs(path, size: nil, mode: Self.root)
                try AtomicWriter.write(files, to: path, group: group, now: .now())
            }
            return VolumeSource(path: path, readOnly: true)
        }
        if let source = volume["emptyDir"] {
            let path = "\(volumesDirectory)/\(Self.plugin("emptyDir"))/\(name)"
            let inMemory = source.text("medium") == "Memory"
            if let medium = source.text("medium"), !medium.isEmpty, medium != "Memory" {
                throw KubeletError.unsupported("emptyDir medium \(medium) is not supported yet")
            }
            let size = source["sizeLimit"]?.quantityMilli.map { UInt64(max(0, $0) / 1000) }
            try await BlockingPool.shared.run { try makeEmptyDir(path, inMemory: inMemory, size: size, group: group) }
            return VolumeSource(path: path, readOnly: false)
        }
        if let source = volume["hostPath"] {
            let path = source.text("path") ?? ""
            try await HostPath.shared.verify(path, type: source.text("type") ?? "")
            return VolumeSource(path: path, readOnly: false)
        }
        let kind = volume.object?.keys.first { $0 != "name" } ?? "volume"
        throw KubeletError.unsupported("\(kind) volumes are not supported yet")
    }

    private static func plugin(_ kind: String) -> String {
        switch kind {
        case "emptyDir": "kubernetes.io~empty-dir"
        case "downwardAPI": "kubernetes.io~downward-api"
        case "configMap": "kubernetes.io~configmap"
        default: "kubernetes.io~\(kind)"
        }
    }

    private func makeEmptyDir(_ path: String, inMemory: Bool, size: UInt64?, group: UInt32?) throws {
        let mode: UInt32 = group == nil ? 0o777 : 0o2777
        if inMemory {
            try makeTmpfs(path, size: size, mode: mode)
        } else {
            try Files.makeDirectory(path, mode: 0o755)
        }
        try Files.setMode(path, mode)
        if let group {
            try Files.setOwner(path, uid: 0, gid: group)
            try Files.setMode(path, mode)
        }
    }

    /// A tmpfs at the path, unless it has one.
    private func makeTmpfs(_ path: String, size: UInt64?, mode: UInt32) throws {
        // The table grows with the pods of the node: a new folder needs no look at it.
        let isNew = !Files.exists(path)
        try Files.makeDirectory(path, mode: 0o755)
        if !isNew, try MountTable.read().contains(where: { $0.point == path }) { return }
        var options: [(key: String, value: String?)] = [("source", "tmpfs"), ("mode", String(mode, radix: 8))]
        if let size { options.append(("size", String(size))) }
        let mount = try Mounts.create("tmpfs", options, attributes: [.noSetUID, .noDevices])
        try Mounts.attach(mount, to: path)
    }

    /// Unmounts and removes everything of the pod's folder. Idempotent.
    static func remove(_ podDirectory: String) throws {
        try Mounts.unmountAll(below: podDirectory)
        try Files.removeTree(podDirectory)
    }
}
