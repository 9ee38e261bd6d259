// An informer's copy, as a value. A tree takes some five times the memory of its text, so of objects that
// somebody keeps as text (in process: the watch cache) only the youngest have a tree here; the others are
// parsed when they are asked for. A small cluster never notices; at a hundred thousand pods this is the
// difference between megabytes and gigabytes.
//
// For the same reason the table holds nothing but the reference: an object knows its key, and a dictionary of keys and
// slots took five times the room of a set of references.

import Objects

struct KeptObjects {
    /// An object of the copy, found by its key.
    private enum Entry: Hashable {
        case text(any KeptObject)
        case own(Own)

        var key: ObjectKey {
            switch self {
            case .text(let text): text.objectKey
            case .own(let own): own.key
            }
        }

        static func == (a: Entry, b: Entry) -> Bool { a.key == b.key }
        func hash(into hasher: inout Hasher) { hasher.combine(key) }
    }

    /// An object that nobody keeps as text. Boxed, so that an entry is a reference either way.
    private final class Own: Sendable {
        let key: ObjectKey
        let tree: JSON

        init(_ key: ObjectKey, _ tree: JSON) { (self.key, self.tree) = (key, tree) }
    }

    /// The tree of an object whose text is kept. `turn` tells it from that of another text, at the same address.
    private struct Young {
        let tree: JSON
        let turn: Int
    }

    private struct Recent {
        let text: ObjectIdentifier
        let turn: Int
        let size: Int
    }

    /// Bytes of text whose trees are kept.
    private let budget: Int
    private var entries: Set<Entry> = []
    /// By the identity of a text that is in `entries`.
    private var trees: [ObjectIdentifier: Young] = [:]
    private var recent: [Recent] = []
    private var first = 0
    private var size = 0
    private var turn = 0

    init(budget: Int = 2 << 20) { self.budget = budget }

    subscript(key: ObjectKey) -> KeptItem? {
        entries.firstIndex(of: .own(Own(key, .null))).map { item(entries[$0]) }
    }

    var items: [(key: ObjectKey, item: KeptItem)] { entries.map { ($0.key, item($0)) } }

    private func item(_ entry: Entry) -> KeptItem {
        switch entry {
        case .own(let own): .tree(own.tree)
        case .text(let text): trees[ObjectIdentifier(text)].map { .tree($0.tree) } ?? .text(text)
        }
    }

    /// Returns what was there.
    mutating func put(_ key: ObjectKey, _ tree: JSON, _ text: (any KeptObject)?) -> KeptItem? {
        let old = entries.update(with: text.map { .text($0) } ?? .own(Own(key, tree))).map { forget($0) }
        if let text { remember(text, tree) }
        return old
    }

    /// A fresh copy's item; trees that have a text elsewhere are not made.
    mutating func put(_ key: ObjectKey, _ item: KeptItem) {
        switch item {
        case .tree(let tree): entries.update(with: .own(Own(key, tree)))
        case .text(let text): entries.update(with: .text(text))
        }
    }

    mutating func remove(_ key: ObjectKey) -> KeptItem? {
        entries.remove(.own(Own(key, .null))).map { forget($0) }
    }

    /// The item of an entry that has left the table; its tree goes with it, before its address is another's.
    private mutating func forget(_ entry: Entry) -> KeptItem {
        let item = item(entry)
        if case .text(let text) = entry { trees[ObjectIdentifier(text)] = nil }
        return item
    }

    private mutating func remember(_ text: any KeptObject, _ tree: JSON) {
        let identity = ObjectIdentifier(text)
        turn += 1
        trees[identity] = Young(tree: tree, turn: turn)
        recent.append(Recent(text: identity, turn: turn, size: text.size))
        size += text.size
        while size > budget, first < recent.count {
            let oldest = recent[first]
            first += 1
            size -= oldest.size
            if trees[oldest.text]?.turn == oldest.turn { trees[oldest.text] = nil }
        }
        if first > 1024, first * 2 > recent.count {
            recent.removeFirst(first)
            first = 0
        }
    }
}
