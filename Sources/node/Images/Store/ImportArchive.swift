// The import of an archive: plan (documents read, checked, the right platform chosen), unpack what is not there yet
// (layers beside each other, every digest checked on the way), and put it in place in one step.
//
//     archive -> plan -> staging/ID/HEX/{fs, layer.json} -> on the medium -> [lock: layers/, blobs/, index.json]
//
// Until the last bracket nothing outside the staging folder has changed, and a failure removes that folder. The lock is
// held for the bracket only. A layer that was there at planning and is removed meanwhile by somebody else is noticed in
// the bracket and unpacked in another round.

import Kernel
import Logging
import PKI
import Synchronization
import System

/// How far an import is.
public struct ImportProgress: Hashable, Sendable {
    /// Bytes of the archive's layers read and to be read; layers that are already here do not count.
    public let bytesRead: Int
    public let bytesTotal: Int
}

extension ImageStore {
    /// For unpacking: more threads than a small machine has cores, since half of the work waits for the disk.
    private static let pool = BlockingPool(name: "noded-images", maximumThreads: 4)

    /// Imports all images of an OCI image layout tar, or of a docker-save archive, that run on this platform, and pins
    /// them. Names move to the imported image when another has them.
    /// - Parameters:
    ///   - path: a regular file; layers in it may be plain or gzip.
    ///   - name: instead of the archive's own names; only for an archive of one image.
    ///   - progress: called from several threads.
    /// - Returns: the images in the archive's order.
    /// - Throws: ImageError; the store is then as it was before.
    public func importArchive(
        _ path: String, name: String? = nil, progress: (@Sendable (ImportProgress) -> Void)? = nil
    ) async throws -> [Image] {
        do {
            let run = try await Self.pool.run { try ImportRun(store: self, path: path, name: name, progress: progress) }
            let images = try await withTaskCancellationHandler {
                try await unpackAndCommit(run)
            } onCancel: {
                run.quota.stop()
            }
            for image in images {
                logger.info(
                    "image imported",
                    metadata: ["image": "\(image.references.joined(separator: ","))", "digest": "\(image.digest)"])
            }
            return images
        } catch {
            throw ImageError.wrap(error, archive: path)
        }
    }

    private func unpackAndCommit(_ run: ImportRun) async throws -> [Image] {
        let staging = try await Self.pool.run {
            let lock = try Files.lock(layout.lock)
            defer { withExtendedLifetime(lock) {} }
            return try Staging(layout)
        }
        do {
            while true {
                let missing = run.layers.filter { !layout.has($0.diffID) && !run.isStaged($0, staging) }
                try await unpack(missing, run, staging)
                let images = try await Self.pool.run {
                    if !missing.isEmpty { try RootedDirectory(staging.path).syncFileSystem() }
                    return try run.commit(staging)
                }
                if let images {
                    try await Self.pool.run { discard(staging) }
                    return images
                }
            }
        } catch {
            try await Self.pool.run { discard(staging) }
            throw error
        }
    }

    private func unpack(_ layers: [ImagePlan.Layer], _ run: ImportRun, _ staging: Staging) async throws {
        run.expect(layers)
        try await withThrowingTaskGroup(of: Void.self) { group in
            // The longest first, so that it does not end alone.
            for layer in layers.sorted(by: { $0.range.count > $1.range.count }) {
                group.addTask { try await Self.pool.run { try run.unpack(layer, staging) } }
            }
            var failure: (any Error)?
            while let result = await group.nextResult() {
                guard case .failure(let error) = result else { continue }
                run.quota.stop()
                // The others fail because they were stopped.
                if failure == nil || failure is CancellationError { failure = error }
            }
            if let failure { throw failure }
        }
    }
}

/// One import: the archive, what is in it, and what has been done.
private final class ImportRun: Sendable {
    private let store: ImageStore
    private let archive: Archive
    private let images: [ImagePlan]
    let quota: ImportQuota
    private let progress: (@Sendable (ImportProgress) -> Void)?
    private let bytesRead = Atomic<Int>(0)
    private let bytesTotal = Atomic<Int>(0)

    init(
        store: ImageStore, path: String, name: String?, progress: (@Sendable (ImportProgress) -> Void)?
    ) throws {
        self.store = store
        self.progress = progress
        quota = ImportQuota(store.limits, available: try Files.space(store.layout.root).available)
        archive = try Archive(path, limits: store.limits)
        let plan =
            if archive.has("oci-layout") {
                try OCILayout(archive: archive, platform: store.platform, limits: store.limits).plan()
            } else if archive.has("manifest.json") {
                try DockerSave(archive: archive, platform: store.platform, limits: store.limits).plan()
            } else {
                throw ArchiveFault.notAnImage(
                    "neither an OCI image layout (no oci-layout in it) nor a docker-save archive (no manifest.json)"
                )
            }
        if plan.images.isEmpty {
            if plan.others.isEmpty { throw ArchiveFault.notAnImage("it holds no image") }
            throw ArchiveFault.wrongPlatform(wanted: store.platform.description, found: plan.others)
        }
        images = try Self.named(plan.images, name, path)
    }

    /// The images under their canonical names.
    private static func named(_ images: [ImagePlan], _ name: String?, _ path: String) throws -> [ImagePlan] {
        if let name {
            guard images.count == 1 else {
                let own = images.flatMap(\.names).joined(separator: ", ")
                throw ImageError.noName(
                    archive: path, hint: " (one name does not fit the \(images.count) images in it: \(own))")
            }
            let reference = try ImageReference(name)
            if reference.digest != nil { throw ImageError.badReference(name, why: "an image is imported under a tag") }
            var image = images[0]
            image.names = [reference.description]
            return [image]
        }
        return try images.map { image in
            var image = image
            // What is complete already has a slash; a bare ref.name could be a tag or a repository.
            if let bare = image.names.first(where: { !$0.contains("/") && !$0.contains(":") }) {
                throw ImageError.noName(archive: path, hint: ", only its tag \(ArchiveFault.quote(bare))")
            }
            image.names = try image.names.map { try ImageReference($0).description }
            if image.names.isEmpty { throw ImageError.noName(archive: path, hint: "") }
            return image
        }
    }

    /// Each layer once.
    var layers: [ImagePlan.Layer] {
        var seen: Set<Digest> = []
        return images.flatMap(\.layers).filter { seen.insert($0.diffID).inserted }
    }

    func isStaged(_ layer: ImagePlan.Layer, _ staging: Staging) -> Bool {
        Files.exists("\(staging.path)/\(layer.diffID.hex)/\(StoreLayout.layerRecordName)")
    }

    // MARK: Unpacking

    func expect(_ layers: [ImagePlan.Layer]) {
        bytesTotal.add(layers.reduce(0) { $0 + $1.range.count }, ordering: .relaxed)
    }

    private func report(_ count: Int) {
        let read = bytesRead.add(count, ordering: .relaxed).newValue
        progress?(ImportProgress(bytesRead: read, bytesTotal: bytesTotal.load(ordering: .relaxed)))
    }

    func unpack(_ layer: ImagePlan.Layer, _ staging: Staging) throws {
        do {
            let directory = "\(staging.path)/\(layer.diffID.hex)"
            try Files.makeDirectory(directory, mode: 0o700)
            try unpack(layer, into: directory)
        } catch let fault as ArchiveFault {
            throw ArchiveFault.inLayer(layer.blob?.description ?? layer.diffID.description, fault)
        }
    }

    private func unpack(_ layer: ImagePlan.Layer, into directory: String) throws {
        let file = try archive.source(layer.range)
        let first = try file.next()
        let stored = HashingSource(PeekedSource(first, file)) { [self] count in report(count) }
        let plain: HashingSource
        var size = 0
        switch Compression(first) {
        case .gzip:
            plain = HashingSource(Gunzip(stored)) { [quota] count in
                try quota.take(bytes: count)
                size += count
            }
        case nil:
            // Stored and plain are the same bytes: hashed once.
            plain = HashingSource(PeekedSource(first, file)) { [self, quota] count in
                report(count)
                try quota.take(bytes: count)
                size += count
            }
        case let other?:
            throw ArchiveFault.unsupported(
                what: "\(other) compression", advice: "save the image with gzip or uncompressed layers")
        }
        let isCompressed = Compression(first) != nil
        let unpacked: UnpackedLayer
        do {
            let unpacker = try LayerUnpacker(
                in: RootedDirectory(directory), rootName: StoreLayout.layerRootName, quota: quota)
            unpacked = try unpacker.unpack(TarReader(plain, what: "its tar"))
            try plain.drain()
        } catch let fault as ArchiveFault {
            // Damage is more often the reason than intent, and the digest tells them apart.
            if case .tooLarge = fault { throw fault }
            if let actual = try? (isCompressed ? stored : plain).finish() {
                try Self.check(layer.blob, actual, "the blob")
            }
            throw fault
        }
        let diffID = try plain.finish()
        try Self.check(layer.blob, isCompressed ? stored.finish() : diffID, "the blob")
        try Self.check(layer.diffID, diffID, "the unpacked layer")
        try LayerRecord(size: size, hidesLower: unpacked.hidesLower).write(in: directory)
        if !unpacked.leftOut.isEmpty {
            store.logger.warning(
                "device nodes of an image were left out: containers get /dev from the runtime",
                metadata: [
                    "layer": "\(layer.diffID)", "devices": .array(unpacked.leftOut.map { .string($0) }),
                ])
        }
    }

    private static func check(_ expected: Digest?, _ actual: String, _ what: String) throws {
        guard let expected, expected.description != actual else { return }
        throw ArchiveFault.digestMismatch(what: what, expected: expected.description, actual: actual)
    }

    // MARK: Committing

    /// Puts everything in place. Nil, with nothing done, when a layer that was here before has gone meanwhile.
    func commit(_ staging: Staging) throws -> [Image]? {
        let layout = store.layout
        let lock = try Files.lock(layout.lock)
        defer { withExtendedLifetime(lock) {} }
        var index = try ImageIndex.read(layout)
        guard layers.allSatisfy({ layout.has($0.diffID) || isStaged($0, staging) }) else { return nil }
        let newLayers = Set(layers.map(\.diffID).filter { !layout.has($0) })
        let newBlobs = Set(images.flatMap { [$0.configDigest, $0.digest] }.filter { !Files.exists(layout.blob($0)) })
        do {
            for diffID in newLayers {
                try Files.rename("\(staging.path)/\(diffID.hex)", to: layout.layer(diffID))
            }
            try Files.syncDirectory(layout.layers)
            for image in images {
                try write(image.configBytes, image.configDigest)
                if let manifest = image.manifestBytes { try write(manifest, image.digest) }
                record(image, in: &index)
            }
            try index.write(layout)
        } catch {
            // Back to what the index names; what cannot be moved is swept at the next open.
            try? staging.take(layout, layers: newLayers, blobs: newBlobs)
            throw error
        }
        return try images.map { plan in
            try store.image(index.records.first { $0.digest == plan.digest }!)
        }
    }

    private func write(_ bytes: [UInt8], _ digest: Digest) throws {
        let path = store.layout.blob(digest)
        if !Files.exists(path) { try Files.writeAtomically(path, bytes) }
    }

    private func record(_ image: ImagePlan, in index: inout ImageIndex) {
        if let position = index.records.firstIndex(where: { $0.digest == image.digest }) {
            let known = index.records[position].indexDigests
            index.records[position].indexDigests += image.indexDigests.filter { !known.contains($0) }
            index.records[position].pinned = true
        } else {
            index.records.append(
                ImageRecord(
                    digest: image.digest, config: image.configDigest, indexDigests: image.indexDigests,
                    hasManifest: image.manifestBytes != nil, references: [], layers: image.layers.map(\.diffID),
                    pinned: true, importedAt: .now()))
        }
        index.name(image.digest, image.names)
    }
}
