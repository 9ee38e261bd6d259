// A folder for what is not in place yet (an import under way) or no longer (trash), and the sweep of what dead
// processes left. A folder's owner holds a lock beside it; the kernel lets go of it with the process, so that being
// alive cannot be faked or forgotten.

import Logging
import System

final class Staging: Sendable {
    let path: String
    private let lock: FileLock

    /// Only with the store's lock held: a sweep must not see the folder before its lock is taken.
    convenience init(_ layout: StoreLayout) throws {
        try self.init(layout, "\(Random.nameSuffix(12))")
        try Files.makeDirectory(path, mode: 0o700)
    }

    /// Throws EAGAIN when its owner lives.
    private init(_ layout: StoreLayout, _ id: String) throws {
        path = "\(layout.staging)/\(id)"
        lock = try Files.lock("\(path).lock", wait: false)
    }

    /// Removes it with everything in it.
    func discard() throws {
        try Files.removeTree(path)
        try Files.remove("\(path).lock")
    }

    /// Those whose owners are gone, now ours. Only with the store's lock held.
    static func abandoned(_ layout: StoreLayout) throws -> [Staging] {
        let ids = Set(try Files.list(layout.staging).map { $0.hasSuffix(".lock") ? String($0.dropLast(5)) : $0 })
        return try ids.sorted().compactMap { id in
            do {
                return try Staging(layout, id)
            } catch let error as SystemError where error.errno == .EAGAIN {
                return nil
            }
        }
    }

    /// Moves layers and blobs here, those that are there. Only with the store's lock held.
    func take(_ layout: StoreLayout, layers: Set<Digest>, blobs: Set<Digest>) throws {
        for source in layers.map(layout.layer) + blobs.map(layout.blob) where Files.exists(source) {
            try Files.rename(source, to: "\(path)/\(Random.nameSuffix(12))")
        }
    }

    /// Moves what `index` does not name out of layers/ and blobs/. Only with the store's lock held.
    /// - Returns: whether there was anything.
    func takeOrphans(_ layout: StoreLayout, of index: ImageIndex) throws -> Bool {
        var found = false
        for (folder, named) in [(layout.layers, index.layers), (layout.blobs, index.blobs)] {
            let hexes = Set(named.map(\.hex))
            for name in try Files.list(folder) where !hexes.contains(name) {
                try Files.rename("\(folder)/\(name)", to: "\(path)/\(Random.nameSuffix(12))")
                found = true
            }
        }
        return found
    }
}
