// nftables as values that print: a table with its maps and chains, and transactions that change it. What prints is
// exactly what libnftables is given, so that a log line, a test and the kernel see the same text (nft(8)).

/// Family and name. Everything noded owns lives in tables of its own.
public struct NftTable: Hashable, Sendable, CustomStringConvertible {
    public let family: String
    public let name: String

    public init(_ family: String, _ name: String) { (self.family, self.name) = (family, name) }
    public var description: String { "\(family) \(name)" }
}

/// A set, or a map when its `type` has a colon.
public struct NftSet: Hashable, Sendable {
    public var name: String
    /// The words between the braces: `type ipv4_addr . inet_proto . inet_service : mark`.
    public var properties: [String]
    public var isMap: Bool { properties.contains { $0.contains(" : ") } }

    public init(_ name: String, _ properties: String...) { (self.name, self.properties) = (name, properties) }
}

public struct NftChain: Hashable, Sendable {
    public var name: String
    /// `type nat hook prerouting priority -100`; nil for a chain that others jump to. Numbers, not names: libnftables
    /// 1.0.6 refuses some of the names at some of the hooks.
    public var hook: String?
    public var rules: [String]

    public init(_ name: String, hook: String? = nil, rules: [String]) {
        (self.name, self.hook, self.rules) = (name, hook, rules)
    }
}

/// An element of a set (`value` nil) or map, in nft's spelling: `10.43.0.7 . tcp . 80` and `0x00001003`.
public struct NftElement: Hashable, Sendable {
    public var key: String
    public var value: String?

    public init(_ key: String, _ value: String? = nil) { (self.key, self.value) = (key, value) }
}

/// The fixed part of a table: everything but the elements. Chains are in order of use (a chain before those that name
/// it), as nft wants them.
public struct NftRuleset: Hashable, Sendable {
    public var table: NftTable
    public var sets: [NftSet]
    public var chains: [NftChain]

    public init(_ table: NftTable, sets: [NftSet], chains: [NftChain]) {
        (self.table, self.sets, self.chains) = (table, sets, chains)
    }

    /// Makes the table's chains hold exactly these rules, in one commit, whatever was there; elements stay. Fails when
    /// a set exists with another type.
    public var installation: NftTransaction {
        var transaction = NftTransaction(table)
        transaction.append(.addTable)
        sets.forEach { transaction.append(.addSet($0)) }
        chains.forEach { transaction.install($0) }
        return transaction
    }

    /// What `NftContext.outline` says of a table that is as this one.
    public func matches(_ outline: NftOutline) -> Bool {
        sets.allSatisfy { outline.sets.contains($0.name) }
            && chains.allSatisfy { outline.chains[$0.name] == $0.rules.count }
    }

    /// The same from nothing: the table is removed first, with all its elements.
    public var replacement: NftTransaction {
        var transaction = NftTransaction(table)
        transaction.append(.addTable)
        transaction.append(.deleteTable)
        transaction.commands += installation.commands
        return transaction
    }
}

/// One command of a transaction, on the transaction's table.
public enum NftCommand: Hashable, Sendable {
    case addTable
    case deleteTable
    case addSet(NftSet)
    case addChain(name: String, hook: String?)
    case flushChain(String)
    case deleteChain(String)
    case addRule(chain: String, rule: String)
    case addElements(set: String, [NftElement])
    case deleteElements(set: String, keys: [String])
}

/// Commands that take effect together or not at all.
public struct NftTransaction: Hashable, Sendable, CustomStringConvertible {
    public let table: NftTable
    public var commands: [NftCommand] = []

    public init(_ table: NftTable) { self.table = table }

    public var isEmpty: Bool { commands.isEmpty }
    public mutating func append(_ command: NftCommand) { commands.append(command) }

    /// Adds the chain if it is absent and gives it exactly these rules.
    public mutating func install(_ chain: NftChain) {
        append(.addChain(name: chain.name, hook: chain.hook))
        append(.flushChain(chain.name))
        chain.rules.forEach { append(.addRule(chain: chain.name, rule: $0)) }
    }

    public mutating func add(_ elements: [NftElement], to set: String) {
        if !elements.isEmpty { append(.addElements(set: set, elements)) }
    }

    public mutating func delete(_ keys: [String], from set: String) {
        if !keys.isEmpty { append(.deleteElements(set: set, keys: keys)) }
    }

    /// Elements added or deleted: what a commit costs grows with it.
    public var elementCount: Int {
        commands.reduce(0) { count, command in
            switch command {
            case .addElements(_, let elements): count + elements.count
            case .deleteElements(_, let keys): count + keys.count
            default: count
            }
        }
    }

    public var description: String { commands.map(text).joined(separator: "\n") + "\n" }

    private func text(_ command: NftCommand) -> String {
        switch command {
        case .addTable: "add table \(table)"
        case .deleteTable: "delete table \(table)"
        case .addSet(let set):
            "add \(set.isMap ? "map" : "set") \(table) \(set.name) { \(set.properties.joined(separator: "; ")); }"
        case .addChain(let name, let hook):
            "add chain \(table) \(name)" + (hook.map { " { \($0); policy accept; }" } ?? "")
        case .flushChain(let name): "flush chain \(table) \(name)"
        case .deleteChain(let name): "delete chain \(table) \(name)"
        case .addRule(let chain, let rule): "add rule \(table) \(chain) \(rule)"
        case .addElements(let set, let elements):
            "add element \(table) \(set) { "
                + elements.map { element in element.value.map { "\(element.key) : \($0)" } ?? element.key }
                .joined(separator: ", ") + " }"
        case .deleteElements(let set, let keys): "delete element \(table) \(set) { \(keys.joined(separator: ", ")) }"
        }
    }
}
