// list: a page of an immutable snapshot, as pieces of the store's own buffers.
//
// What a resourceVersion means follows "API concepts": none or 0 is the newest (the cache is never behind an
// acknowledged write), NotOlderThan waits for nothing because nothing newer can exist, Exact and `continue` read the
// table as it was. The cache keeps the tables that continue tokens name (a snapshot costs a reference), and makes
// others by undoing its ring of changes; both for five minutes. After that: 410, with a token to go on inconsistently.

internal import Client
internal import HTTP
internal import Objects
internal import Store
internal import System

struct ListOptions: Sendable {
    var resourceVersion = ""
    var match = ""
    var limit = 0
    var continuation = ""
}

struct ListPage {
    let objects: [CachedObject]
    let revision: UInt64
    let continuation: String
    let remaining: Int?
}

/// Where a paged list goes on: the revision of its snapshot and the last key given. Opaque to clients.
struct ContinueToken: Equatable {
    /// 0: whatever is current (after an expiry).
    let revision: UInt64
    let after: String

    var text: String { Base64.encode("1:\(revision):\(after)".utf8, url: true) }

    init(revision: UInt64, after: String) {
        self.revision = revision
        self.after = after
    }

    init?(_ text: String) {
        guard let bytes = Base64.decode(text, url: true), let plain = String(validating: bytes, as: UTF8.self) else {
            return nil
        }
        // Bytes, not characters: a combining mark after a colon would hide it.
        let parts = plain.utf8.split(separator: UInt8(ascii: ":"), maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0].elementsEqual("1".utf8), let revision = UInt64(Substring(parts[1]))
        else { return nil }
        self.init(revision: revision, after: String(Substring(parts[2])))
    }
}

extension APICore {
    func list(
        _ declaration: ResourceDeclaration, _ filter: ObjectFilter, _ options: ListOptions
    ) throws(APIStatus) -> ListPage {
        let cache = try cache(declaration)
        let (table, revision, after) = try snapshot(cache, options)
        var objects: [CachedObject] = []
        if options.limit > 0 {
            objects.reserveCapacity(min(options.limit, 1024))
        } else if filter.namespace == nil, !filter.hasSelectors {
            objects.reserveCapacity(table.count)
        }
        var isCut = false
        table.scan(filter.scope(declaration), after: after) { object in
            guard filter.matches(object) else { return true }
            if options.limit > 0, objects.count == options.limit {
                isCut = true
                return false
            }
            objects.append(object)
            return true
        }
        guard isCut, let last = objects.last else {
            return ListPage(objects: objects, revision: revision, continuation: "", remaining: nil)
        }
        cache.keep(table, at: revision)
        var remaining: Int?
        if !filter.hasSelectors {
            // "0" follows "/": the first key behind the namespace.
            let end = filter.namespace.map { table.rank(of: "\($0)0") } ?? table.count
            remaining = end - table.rank(of: last.key) - 1
        }
        return ListPage(
            objects: objects, revision: revision,
            continuation: ContinueToken(revision: revision, after: last.key).text, remaining: remaining)
    }

    private func snapshot(
        _ cache: WatchCache, _ options: ListOptions
    ) throws(APIStatus) -> (ObjectTable, UInt64, after: String?) {
        if !options.continuation.isEmpty {
            guard let token = ContinueToken(options.continuation) else {
                throw .badRequest("continue key is not valid: it was not given out by this server")
            }
            guard options.resourceVersion.isEmpty || options.resourceVersion == "0" else {
                throw .badRequest("specifying resource version is not allowed when using continue")
            }
            if token.revision == 0 {
                let (table, revision) = cache.snapshot()
                return (table, revision, token.after)
            }
            guard let table = cache.snapshot(at: token.revision) else {
                var status = APIStatus.expired(
                    "The provided continue parameter is too old to display a consistent list result. You can start a "
                        + "new list without the continue parameter, or use the continue token in this response to "
                        + "retrieve the remainder of the results. Continuing with the provided token results in an "
                        + "inconsistent list - objects that were created, modified, or deleted between the time the "
                        + "first chunk was returned and now may show up in the list.")
                status.continueToken = ContinueToken(revision: 0, after: token.after).text
                throw status
            }
            return (table, token.revision, token.after)
        }
        let (table, revision) = cache.snapshot()
        let wanted = try APIStatus.revision(options.resourceVersion)
        if wanted == 0 { return (table, revision, nil) }
        if wanted > revision { throw .tooLargeResourceVersion(wanted, current: revision) }
        // With a limit, a bare resourceVersion meant Exact before resourceVersionMatch existed; still does.
        guard options.match == "Exact" || options.match.isEmpty && options.limit > 0 else {
            return (table, revision, nil)
        }
        guard let exact = cache.snapshot(at: wanted) else {
            throw .expired("The resourceVersion for the provided list is too old.")
        }
        return (exact, wanted, nil)
    }
}

extension ListPage {
    private func listMetadata() -> JSON {
        var metadata: JSON = ["resourceVersion": .string(String(revision))]
        if !continuation.isEmpty { metadata["continue"] = .string(continuation) }
        if let remaining { metadata["remainingItemCount"] = .int(Int64(remaining)) }
        return metadata
    }

    /// The list's JSON: a head, and the stored buffers with commas between them.
    func pieces(_ declaration: ResourceDeclaration) -> [ArraySlice<UInt8>] {
        var head = Array("{\"kind\":\"\(declaration.listKind)\",\"apiVersion\":\"\(declaration.id.apiVersion)\",".utf8)
        head += "\"metadata\":".utf8
        listMetadata().encode(into: &head)
        head += ",\"items\":[".utf8
        var pieces: [ArraySlice<UInt8>] = [head[...]]
        pieces.reserveCapacity(objects.count * 2 + 1)
        let comma: ArraySlice<UInt8> = [0x2c]
        for (index, object) in objects.enumerated() {
            if index > 0 { pieces.append(comma) }
            pieces.append(object.bytes[...])
        }
        pieces.append([0x5d, 0x7d])
        return pieces
    }

    func json(
        _ views: ObjectViews, _ representation: Representation, include: IncludeObject
    ) -> JSON {
        let trees = objects.map { views.declaration.shown($0.tree()) }
        switch representation {
        case .table: return views.table(trees, metadata: listMetadata(), include: include)
        case .metadata:
            return [
                "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": listMetadata(),
                "items": .array(trees.map(ObjectViews.metadata)),
            ]
        case .object:
            return [
                "kind": .string(views.declaration.listKind), "apiVersion": .string(views.declaration.id.apiVersion),
                "metadata": listMetadata(), "items": .array(trees),
            ]
        }
    }
}

extension APIStatus {
    /// The revision in a resourceVersion parameter; 0 for none.
    static func revision(_ text: String) throws(APIStatus) -> UInt64 {
        if text.isEmpty { return 0 }
        guard let revision = UInt64(text) else { throw .badRequest("invalid resource version \"\(text)\"") }
        return revision
    }

    /// A watch or an exact list from before what the cache remembers.
    static func tooOldResourceVersion(_ wanted: UInt64, oldest: UInt64) -> APIStatus {
        .expired("too old resource version: \(wanted) (\(oldest))")
    }

    /// A version that was never given out, or only by a server whose store was lost.
    static func tooLargeResourceVersion(_ wanted: UInt64, current: UInt64) -> APIStatus {
        APIStatus(
            code: 504, reason: .timeout,
            message: "Timeout: Too large resource version: \(wanted), current: \(current)",
            details: Details(
                causes: [Cause(reason: "ResourceVersionTooLarge", message: "Too large resource version")],
                retryAfterSeconds: 1))
    }
}
