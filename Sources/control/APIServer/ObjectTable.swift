// The current objects of one resource in key order, cheap to freeze.
//
// A LIST pages over an immutable snapshot, so a snapshot must cost nothing and must not make the next write copy
// everything. The table is an array of short sorted chunks: taking a snapshot copies one reference, and a write after
// it copies the array of chunks (some hundred references at 100,000 objects) and one chunk. A search is two binary
// searches. No dictionary beside it: 17 string comparisons are cheaper than a second index in memory.
//
// Keys are "namespace/name", or "name" for cluster scope, compared bytewise as etcd does, so that lists come in the
// order clients of Kubernetes see.

/// An ordered map from object keys to cached objects with value semantics.
struct ObjectTable: Sendable {
    private static let limit = 256

    private var chunks: [[CachedObject]] = []
    private(set) var count = 0

    /// Builds from objects already sorted by key.
    init(sorted objects: [CachedObject] = []) {
        var start = 0
        while start < objects.count {
            let end = min(start + ObjectTable.limit / 2, objects.count)
            chunks.append(Array(objects[start..<end]))
            start = end
        }
        count = objects.count
    }

    subscript(key: String) -> CachedObject? {
        guard let chunk = chunk(for: key) else { return nil }
        let index = lowerBound(chunks[chunk], key)
        guard index < chunks[chunk].count, chunks[chunk][index].key == key else { return nil }
        return chunks[chunk][index]
    }

    /// Inserts or replaces; returns what was there.
    @discardableResult
    mutating func insert(_ object: CachedObject) -> CachedObject? {
        guard let chunk = chunk(for: object.key) else {
            chunks.append([object])
            count += 1
            return nil
        }
        let index = lowerBound(chunks[chunk], object.key)
        if index < chunks[chunk].count, chunks[chunk][index].key == object.key {
            let old = chunks[chunk][index]
            chunks[chunk][index] = object
            return old
        }
        chunks[chunk].insert(object, at: index)
        count += 1
        if chunks[chunk].count > ObjectTable.limit {
            let half = chunks[chunk].count / 2
            let upper = Array(chunks[chunk][half...])
            chunks[chunk].removeSubrange(half...)
            chunks.insert(upper, at: chunk + 1)
        }
        return nil
    }

    @discardableResult
    mutating func remove(_ key: String) -> CachedObject? {
        guard let chunk = chunk(for: key) else { return nil }
        let index = lowerBound(chunks[chunk], key)
        guard index < chunks[chunk].count, chunks[chunk][index].key == key else { return nil }
        let old = chunks[chunk].remove(at: index)
        count -= 1
        if chunks[chunk].isEmpty { chunks.remove(at: chunk) }
        return old
    }

    /// Visits the objects of a scope that come after `after`, in order, until `body` returns false.
    func scan(_ scope: WatchScope, after: String? = nil, _ body: (CachedObject) -> Bool) {
        switch scope {
        case .all: scan(after: after, body)
        case .namespace(let name): scan(prefix: "\(name)/", after: after, body)
        case .object(let key):
            if after.map({ $0 < key }) ?? true, let object = self[key] { _ = body(object) }
        }
    }

    /// Visits objects whose key starts with `prefix` and comes after `after`, in order, until `body` returns false.
    func scan(prefix: String = "", after: String? = nil, _ body: (CachedObject) -> Bool) {
        let from = max(prefix, after ?? "")
        guard !chunks.isEmpty, let first = chunk(for: from) else { return }
        var index = lowerBound(chunks[first], from)
        if let after, index < chunks[first].count, chunks[first][index].key == after { index += 1 }
        for chunk in chunks[first...] {
            // Keys of one prefix follow each other, so that most chunks need one look and not one for each object.
            let end = end(of: prefix, in: chunk, from: index)
            while index < end {
                if !body(chunk[index]) { return }
                index += 1
            }
            if end < chunk.count { return }
            index = 0
        }
    }

    /// How many keys come before `key`: what remainingItemCount is computed from.
    func rank(of key: String) -> Int {
        guard let found = chunk(for: key) else { return 0 }
        let within = lowerBound(chunks[found], key)
        // From the nearer end: the end of a namespace is often that of the table.
        return found < chunks.count / 2 ? size(of: 0..<found) + within : count - size(of: found..<chunks.count) + within
    }

    private func size(of range: Range<Int>) -> Int {
        var size = 0
        for index in range { size += chunks[index].count }
        return size
    }

    /// The chunk a key belongs to: the last one whose first key is not greater, else the first.
    private func chunk(for key: String) -> Int? {
        guard !chunks.isEmpty else { return nil }
        var low = 0
        var high = chunks.count
        while low < high {
            let middle = (low + high) / 2
            if chunks[middle][0].key <= key { low = middle + 1 } else { high = middle }
        }
        return max(low - 1, 0)
    }

    /// Where the keys that start with `prefix` end. From `index` on there are none that come before them.
    private func end(of prefix: String, in chunk: [CachedObject], from index: Int) -> Int {
        guard !prefix.isEmpty, let last = chunk.last, !last.key.hasPrefix(prefix) else { return chunk.count }
        var low = index
        var high = chunk.count
        while low < high {
            let middle = (low + high) / 2
            if chunk[middle].key.hasPrefix(prefix) { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private func lowerBound(_ chunk: [CachedObject], _ key: String) -> Int {
        var low = 0
        var high = chunk.count
        while low < high {
            let middle = (low + high) / 2
            if chunk[middle].key < key { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
