// The images of this node. Any number of processes may use one store at a time (`noded image import` beside a running
// noded): nothing is cached, readers read the index as it is now, writers take turns by flock.
//
// Calls block on the disk, for as long as reading a few small files takes; importing runs on threads of its own. Fails
// with ImageError. A damaged index is set aside and the store starts empty, with every layer kept: importing the same
// archives again finds them in place.

public import Logging
import System

public struct ImageStore: Sendable {
    let layout: StoreLayout
    /// The folder of all layers.
    public var layersDirectory: String { layout.layers }
    let platform: Platform
    let limits: ImageLimits
    let logger: Logger

    /// Opens the store, makes it when it is missing, and sweeps what crashed imports left.
    /// - Parameters:
    ///   - root: `DATA/images`; made with mode 0700.
    ///   - platform: which image of several is taken.
    public init(
        root: String, platform: Platform = .host, limits: ImageLimits = ImageLimits(),
        logger: Logger = Logger(label: "images")
    ) throws(ImageError) {
        layout = StoreLayout(root: root)
        self.platform = platform
        self.limits = limits
        self.logger = logger
        do {
            try layout.make()
            try recover()
        } catch {
            throw ImageError.wrap(error, archive: root)
        }
    }

    // MARK: Reading

    /// All images, by their names. One whose files are damaged is logged and left out.
    public func list() throws(ImageError) -> [Image] {
        let index = try wrapping { try ImageIndex.read(layout) }
        let images = index.records.compactMap { record -> Image? in
            do {
                return try image(record)
            } catch {
                logger.error("an image cannot be read", metadata: ["image": "\(record.digest)", "error": "\(error)"])
                return nil
            }
        }
        return images.sorted { ($0.references.first ?? "~", $0.digest) < ($1.references.first ?? "~", $1.digest) }
    }

    /// The image of that name (`web`, `web:v1`, `docker.io/library/web:v1`) or digest (`web@sha256:…`, `sha256:…`, the
    /// 64 digits alone; of manifest, index or config). With a digest the repository does not matter: the content is the
    /// same wherever it came from. Nil when there is none; throws for a text that is no reference and for an image
    /// that is damaged.
    public func find(_ reference: String) throws(ImageError) -> Image? {
        try wrapping {
            let index = try ImageIndex.read(layout)
            return try index.position(reference).map { try image(index.records[$0.index]) }
        }
    }

    func image(_ record: ImageRecord) throws -> Image {
        let path = layout.blob(record.config)
        guard let config = ImageConfig(try StoredJSON.read(path)) else {
            throw ImageError.damaged(path: path, why: "it is no image config")
        }
        return Image(
            digest: record.digest.description, configDigest: record.config.description,
            indexDigests: record.indexDigests.map(\.description), references: record.references,
            layers: try record.layers.map { diffID in
                let layer = try LayerRecord.read(layout, diffID)
                return Layer(
                    diffID: diffID.description, path: layout.layerRoot(diffID), size: layer.size,
                    hidesLower: layer.hidesLower)
            },
            config: config, pinned: record.pinned, importedAt: record.importedAt)
    }

    // MARK: Changing

    /// Takes the name away, and with its last name, or by digest, the image and the layers no other image has.
    /// - Parameter inUse: for each container the layer paths (`Image.rootLayers`) that its root stands on. Refused
    ///   (`inUse`) when one has all of this image's, or when one of those that would go is among them. An image with
    ///   the same layers as the container's counts as its own: the layers are all there is to tell them by.
    /// - Returns: the image as it was.
    @discardableResult
    public func remove(_ reference: String, inUse: Set<Set<String>>) throws(ImageError) -> Image {
        try changing { (index, trash) in
            guard let (position, name) = try index.position(reference) else { throw ImageError.notFound(reference) }
            let record = index.records[position]
            let image = try image(record)
            if let name, record.references.count > 1 {
                index.records[position].references.removeAll { $0 == name }
                try index.write(layout)
                return image
            }
            index.records.remove(at: position)
            let going = Set(record.layers).subtracting(index.layers)
            let own = Set(image.rootLayers)
            let isInUse = inUse.contains { root in
                root == own || going.contains { root.contains(layout.layerRoot($0)) }
            }
            if isInUse { throw ImageError.inUse(reference) }
            try index.write(layout)
            try trash.take(layout, layers: going, blobs: Set(record.blobs).subtracting(index.blobs))
            return image
        }
    }

    /// Protects an image from garbage collection, or stops to. Imported images are pinned.
    public func pin(_ reference: String, _ pinned: Bool = true) throws(ImageError) {
        try changing { (index, _) in
            guard let (position, _) = try index.position(reference) else { throw ImageError.notFound(reference) }
            index.records[position].pinned = pinned
            try index.write(layout)
        }
    }

    /// Removes the images that lost their last name to a newer one and that no container stands on.
    /// - Returns: their digests.
    @discardableResult
    public func removeUnnamed(inUse: Set<String>) throws(ImageError) -> [String] {
        try changing { (index, trash) in
            let going = index.records.filter { record in
                record.references.isEmpty && !record.pinned
                    && !record.layers.contains { inUse.contains(layout.layerRoot($0)) }
            }
            guard !going.isEmpty else { return [] }
            index.records.removeAll { record in going.contains { $0.digest == record.digest } }
            try index.write(layout)
            try trash.take(
                layout, layers: Set(going.flatMap(\.layers)).subtracting(index.layers),
                blobs: Set(going.flatMap(\.blobs)).subtracting(index.blobs))
            return going.map(\.digest.description)
        }
    }

    /// Runs `body` with the lock and the index as it is; what it puts into the trash is removed after the lock is free.
    private func changing<T>(_ body: (inout ImageIndex, Staging) throws -> T) throws(ImageError) -> T {
        try wrapping {
            var trash: Staging?
            // Also when `body` throws, for a rename may have happened before.
            defer { discard(trash) }
            let lock = try Files.lock(layout.lock)
            defer { withExtendedLifetime(lock) {} }
            var index = try ImageIndex.read(layout)
            let folder = try Staging(layout)
            trash = folder
            return try body(&index, folder)
        }
    }

    /// A failure to remove is the next open's to repair.
    func discard(_ staging: Staging?) {
        do {
            try staging?.discard()
        } catch {
            logger.warning("staging is left for the next start", metadata: ["error": "\(error)"])
        }
    }

    // MARK: Opening

    private func recover() throws {
        var abandoned: [Staging] = []
        do {
            let lock = try Files.lock(layout.lock)
            defer { withExtendedLifetime(lock) {} }
            abandoned = try Staging.abandoned(layout)
            for name in try Files.list(layout.root) where name.hasPrefix("index.json.") && name.hasSuffix(".tmp") {
                try Files.remove("\(layout.root)/\(name)")
            }
            let index = try readOrSetAside()
            // Beside a damaged index nobody knows which layers containers stand on.
            if try !Files.list(layout.root).contains(where: { $0.hasPrefix(Self.damagedPrefix) }) {
                let trash = try Staging(layout)
                abandoned.append(trash)
                if try trash.takeOrphans(layout, of: index) { logger.notice("swept what a crashed import left") }
            }
        }
        abandoned.forEach(discard)
    }

    private static let damagedPrefix = "index.json.damaged-"

    private func readOrSetAside() throws -> ImageIndex {
        do {
            return try ImageIndex.read(layout)
        } catch let error as ImageError {
            guard case .damaged = error else { throw error }
            let aside = "\(layout.root)/\(Self.damagedPrefix)\(Timestamp.now().seconds)"
            try Files.rename(layout.index, to: aside)
            logger.error(
                "the image index is damaged and set aside: import the images again (layers are kept), then remove it",
                metadata: ["file": "\(aside)", "error": "\(error)"])
            return ImageIndex()
        }
    }

    func wrapping<T>(_ body: () throws -> T) throws(ImageError) -> T {
        do {
            return try body()
        } catch {
            throw ImageError.wrap(error, archive: layout.root)
        }
    }
}
