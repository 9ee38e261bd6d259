// What representation a client wants, from Accept, and what it sent, from Content-Type.
//
// JSON is the only encoding that is stored; YAML is accepted in bodies and produced on request. Protobuf is read in
// bodies, because typed Go clients send nothing else, but not produced: a client that accepts only that gets 406 (with
// a Status that says what there is), and every client in support takes JSON. Table and PartialObjectMetadata are views
// of an object asked for with parameters of the media type ("API concepts", "Receiving resources as Tables").

internal import HTTP
internal import Objects

/// How an object or list is to be shown.
enum Representation: Hashable, Sendable {
    case object
    case table
    /// PartialObjectMetadata, PartialObjectMetadataList
    case metadata
}

struct Negotiated: Hashable, Sendable {
    var representation: Representation = .object
    var yaml = false
    /// JSON for people: `?pretty=true`.
    var pretty = false
}

enum Negotiation {
    struct MediaRange {
        var type: String
        var parameters: [(String, String)]

        subscript(name: String) -> String? { parameters.first { $0.0 == name }?.1 }
    }

    static let accepted = ["application/json", "application/yaml"]
    static let acceptedBodies = accepted + [ProtobufDecoder.mediaType]

    /// The first of the client's media ranges that can be served.
    /// - Throws: 406 when there is none.
    static func negotiate(_ headers: HTTPHeaders, allowTable: Bool) throws(APIStatus) -> Negotiated {
        // What most clients send, every time.
        guard let accept = headers["Accept"] else { return Negotiated() }
        if accept == "application/json" || accept == "application/json, */*" || accept == "*/*" { return Negotiated() }
        let ranges = parse(headers.list("Accept"))
        if ranges.isEmpty { return Negotiated() }
        for range in ranges {
            var result = Negotiated()
            switch range.type {
            case "application/json", "*/*", "application/*": break
            case "application/yaml": result.yaml = true
            default: continue
            }
            guard let view = range["as"] else { return result }
            guard allowTable, range["g"] == "meta.k8s.io", range["v"] == "v1" || range["v"] == "v1beta1" else {
                continue
            }
            switch view {
            case "Table": result.representation = .table
            case "PartialObjectMetadata", "PartialObjectMetadataList": result.representation = .metadata
            default: continue
            }
            return result
        }
        throw .notAcceptable(accepted: accepted)
    }

    /// Does the client take aggregated discovery?
    /// (`application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList`) Honours the
    /// client's order: a plain JSON range first wins.
    static func wantsAggregatedDiscovery(_ headers: HTTPHeaders) -> Bool {
        for range in parse(headers.list("Accept")) {
            if range.type == "application/json" || range.type == "*/*" {
                guard let view = range["as"] else { return false }
                if view == "APIGroupDiscoveryList", range["g"] == "apidiscovery.k8s.io", range["v"] == "v2" {
                    return true
                }
            }
        }
        return false
    }

    /// Is this media type among those that the client takes?
    static func wants(_ type: String, _ headers: HTTPHeaders) -> Bool {
        parse(headers.list("Accept")).contains { $0.type == type.lowercased() }
    }

    enum BodyEncoding: String { case json, yaml, protobuf }

    /// The encoding of a body by its Content-Type; none given means JSON.
    static func bodyEncoding(_ headers: HTTPHeaders) throws(APIStatus) -> BodyEncoding {
        guard let type = headers["Content-Type"], !type.isEmpty else { return .json }
        switch mediaType(type) {
        case "application/json": return .json
        case "application/yaml": return .yaml
        case ProtobufDecoder.mediaType: return .protobuf
        case "application/cbor", "application/apply-patch+cbor":
            throw unsupported("CBOR bodies are not implemented: send JSON or YAML")
        default: throw .unsupportedMediaType(accepted: acceptedBodies)
        }
    }

    private static func unsupported(_ what: String) -> APIStatus {
        var status = APIStatus.unsupportedMediaType(accepted: acceptedBodies)
        status.message = "\(what) - accepted media types include: \(acceptedBodies.joined(separator: ", "))"
        return status
    }

    /// `application/json; charset=utf-8` → `application/json`
    static func mediaType(_ value: String) -> String { parse([value]).first?.type ?? "" }

    private static func parse(_ values: [String]) -> [MediaRange] {
        var ranges: [(MediaRange, Double)] = []
        for value in values {
            let pieces = value.split(separator: ";").map { trim($0) }
            guard let type = pieces.first, !type.isEmpty else { continue }
            var range = MediaRange(type: type.lowercased(), parameters: [])
            var quality = 1.0
            for piece in pieces.dropFirst() {
                let pair = piece.split(separator: "=", maxSplits: 1).map { trim($0) }
                guard pair.count == 2 else { continue }
                if pair[0] == "q" {
                    quality = Double(pair[1]) ?? 1
                } else {
                    range.parameters.append((pair[0], pair[1]))
                }
            }
            if quality > 0 { ranges.append((range, quality)) }
        }
        // Stable: equal qualities keep the client's order.
        return ranges.enumerated().sorted { a, b in
            (b.element.1, a.offset) < (a.element.1, b.offset)
        }.map(\.element.0)
    }

    private static func trim(_ text: some StringProtocol) -> String {
        var slice = text[...]
        while let first = slice.first, first == " " || first == "\t" || first == "\"" { slice = slice.dropFirst() }
        while let last = slice.last, last == " " || last == "\t" || last == "\"" { slice = slice.dropLast() }
        return String(slice)
    }
}
