// An informer's copy, as a value. A tree takes some five times the memory of its text, so of objects that somebody keeps
// as text (in process: the watch cache) only the youngest have a tree here; the others are parsed when they are asked
// for. A small cluster never notices; at a hundred thousand pods this is the difference between megabytes and gigabytes.

import Objects

struct KeptObjects {
    private struct Slot {
        var tree: JSON?
        var text: (any KeptObject)?

        var item: KeptItem? {
            if let tree { return .tree(tree) }
            return text.map { .text($0) }
        }
    }

    /// An object that has, or had, a tree beside its text.
    private struct Recent {
        let key: ObjectKey
        let text: ObjectIdentifier
        let size: Int
    }

    /// Bytes of text whose trees are kept.
    private let budget: Int
    private var slots: [ObjectKey: Slot] = [:]
    private var recent: [Recent] = []
    private var first = 0
    private var size = 0

    init(budget: Int = 2 << 20) { self.budget = budget }

    subscript(key: ObjectKey) -> KeptItem? { slots[key]?.item }

    var items: [(key: ObjectKey, item: KeptItem)] {
        slots.compactMap { key, slot in slot.item.map { (key, $0) } }
    }

    /// Returns what was there.
    mutating func put(_ key: ObjectKey, _ tree: JSON, _ text: (any KeptObject)?) -> KeptItem? {
        let old = slots.updateValue(Slot(tree: tree, text: text), forKey: key)?.item
        if let text { remember(Recent(key: key, text: ObjectIdentifier(text), size: text.size)) }
        return old
    }

    /// A fresh copy's item; trees that have a text elsewhere are not made.
    mutating func put(_ key: ObjectKey, _ item: KeptItem) {
        switch item {
        case .tree(let tree): slots[key] = Slot(tree: tree, text: nil)
        case .text(let text): slots[key] = Slot(tree: nil, text: text)
        }
    }

    mutating func remove(_ key: ObjectKey) -> KeptItem? { slots.removeValue(forKey: key)?.item }

    private mutating func remember(_ entry: Recent) {
        recent.append(entry)
        size += entry.size
        while size > budget, first < recent.count {
            let oldest = recent[first]
            first += 1
            size -= oldest.size
            // A younger text under the same key has an entry of its own.
            if let text = slots[oldest.key]?.text, ObjectIdentifier(text) == oldest.text {
                slots[oldest.key]?.tree = nil
            }
        }
        if first > 1024, first * 2 > recent.count {
            recent.removeFirst(first)
            first = 0
        }
    }
}
