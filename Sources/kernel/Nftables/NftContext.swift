// One libnftables context for life: opening one is cheap, closing one costs 14 ms. The context belongs to the network
// namespace of the thread that opens it; its calls block and must come from one thread at a time (a lock sees to it),
// from threads of the same namespace (libnftables may reopen its socket).
//
// It never lists a ruleset to change it: commands that only add and delete elements make libnftables read the set's
// declaration, not its elements. (Replies checked with nft 1.0.6.)

internal import CNftables
internal import Glibc

/// What nft said about a transaction, a listing or a context.
public struct NftError: Error, CustomStringConvertible {
    /// The first line of what was asked.
    public let command: String
    /// libnftables' words.
    public let message: String

    public var description: String { "nft: \(message) (in: \(command))" }
    /// The table, chain, set or element named is not there.
    public var isMissing: Bool { message.contains("No such file or directory") }
}

/// @unchecked: libnftables is used only with `lock` held.
public final class NftContext: @unchecked Sendable {
    private let context: OpaquePointer
    /// One for the process, not one a context: contexts share the library's interface-name cache (iface.c).
    nonisolated(unsafe) private static let lock: UnsafeMutablePointer<pthread_mutex_t> = {
        let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
        pthread_mutex_init(lock, nil)
        return lock
    }()

    /// In the calling thread's network namespace.
    public init() throws(NftError) {
        pthread_mutex_lock(Self.lock)
        defer { pthread_mutex_unlock(Self.lock) }
        guard let context = nft_ctx_new(0), nft_ctx_buffer_output(context) == 0, nft_ctx_buffer_error(context) == 0
        else { throw NftError(command: "open libnftables", message: "no memory") }
        // Numbers instead of names: what is listed has one spelling, whatever /etc/protocols says.
        nft_ctx_output_set_flags(context, UInt32(NFT_CTX_OUTPUT_NUMERIC_ALL))
        self.context = context
    }

    deinit {
        pthread_mutex_lock(Self.lock)
        defer { pthread_mutex_unlock(Self.lock) }
        nft_ctx_free(context)
    }

    /// Commits the transaction, or nothing of it. An empty one costs nothing.
    public func apply(_ transaction: NftTransaction) throws(NftError) {
        if transaction.isEmpty { return }
        _ = try run(transaction.description)
    }

    /// Removes the table with everything in it. False when there was none.
    @discardableResult
    public func delete(_ table: NftTable) throws(NftError) -> Bool {
        do {
            _ = try run("delete table \(table)")
            return true
        } catch {
            if error.isMissing { return false }
            throw error
        }
    }

    /// The table as nft prints it; nil when there is none.
    public func list(_ table: NftTable) throws(NftError) -> String? {
        do {
            return try run("list table \(table)")
        } catch {
            if error.isMissing { return nil }
            throw error
        }
    }

    /// Which sets and chains the table has, and how many rules in each; nil when there is no such table. Reads no
    /// element.
    public func outline(of table: NftTable) throws(NftError) -> NftOutline? {
        do {
            return NftListing.outline(try run("list table \(table)", terse: true))
        } catch {
            if error.isMissing { return nil }
            throw error
        }
    }

    /// The elements of a set or map; nil when there is none of that name. Reads the whole set: for start and repair.
    public func elements(of set: NftSet, in table: NftTable) throws(NftError) -> [NftElement]? {
        do {
            return NftListing.elements(try run("list \(set.isMap ? "map" : "set") \(table) \(set.name)"))
        } catch {
            if error.isMissing { return nil }
            throw error
        }
    }

    private func run(_ command: String, terse: Bool = false) throws(NftError) -> String {
        pthread_mutex_lock(Self.lock)
        defer { pthread_mutex_unlock(Self.lock) }
        let flags = UInt32(NFT_CTX_OUTPUT_NUMERIC_ALL)
        if terse { nft_ctx_output_set_flags(context, flags | UInt32(NFT_CTX_OUTPUT_TERSE)) }
        defer { if terse { nft_ctx_output_set_flags(context, flags) } }
        let failed = nft_run_cmd_from_buffer(context, command) != 0
        // Both buffers are emptied by reading them.
        let output = nft_ctx_get_output_buffer(context).map { String(cString: $0) } ?? ""
        let error = nft_ctx_get_error_buffer(context).map { String(cString: $0) } ?? ""
        if failed {
            // "internal:0:0-0: Error: Could not process rule: File exists" and the command again with a marker below.
            let first = error.split(separator: "\n").first.map(String.init) ?? "failed without a word"
            throw NftError(
                command: String(command.prefix { $0 != "\n" }.prefix(200)),
                message: first.split(separator: "Error: ", maxSplits: 1).last.map(String.init) ?? first)
        }
        return output
    }
}

/// A table without its elements.
public struct NftOutline: Hashable, Sendable {
    /// Sets and maps.
    public var sets: Set<String> = []
    /// Number of rules by chain.
    public var chains: [String: Int] = [:]
}

/// Reading what nft lists.
enum NftListing {
    static func outline(_ listing: String) -> NftOutline {
        var outline = NftOutline()
        var chain: String?
        for line in listing.split(separator: "\n") {
            let words = line.split { $0 == " " || $0 == "\t" }
            guard let first = words.first else { continue }
            if words.count == 3, words[2] == "{", ["map", "set", "chain"].contains(first) {
                chain = first == "chain" ? String(words[1]) : nil
                if let chain { outline.chains[chain] = 0 } else { outline.sets.insert(String(words[1])) }
            } else if first == "}" {
                chain = nil
            } else if let chain, !(first == "type" && words.contains("hook")) {
                outline.chains[chain]! += 1
            }
        }
        return outline
    }

    /// `elements = { 10.43.0.7 . 6 . 80 : 0x00001003, … }`; words of dynamic elements (timeout, expires) are dropped.
    static func elements(_ listing: String) -> [NftElement] {
        guard let start = listing.utf8Range(of: "elements = {") else { return [] }
        let tail = listing.utf8[start...]
        guard let end = tail.firstIndex(of: UInt8(ascii: "}")) else { return [] }
        return tail[..<end].split(separator: UInt8(ascii: ",")).compactMap { item in
            let words = item.split { $0 == 0x20 || $0 == 0x0a || $0 == 0x09 }.map { String(Substring($0)) }
            if words.isEmpty { return nil }
            let halves = words.split(separator: ":", maxSplits: 1).map(Array.init)
            let key = halves[0].prefix { $0 != "timeout" && $0 != "expires" }
            return NftElement(key.joined(separator: " "), halves.count > 1 ? halves[1].joined(separator: " ") : nil)
        }
    }
}

extension String {
    /// The index behind the first occurrence of `text`.
    fileprivate func utf8Range(of text: String) -> String.Index? {
        let needle = Array(text.utf8)
        var index = utf8.startIndex
        while let found = utf8[index...].firstIndex(of: needle[0]) {
            if utf8[found...].starts(with: needle) { return utf8.index(found, offsetBy: needle.count) }
            index = utf8.index(after: found)
        }
        return nil
    }
}
