// What a request asks for, read off its method, path and query: resource requests and the rest. Read once; whoever
// answers, authorizes or counts the request is handed the result.
//
// Pure. The path grammar is Kubernetes' ("API concepts", resource URIs):
//
//   /api/v1/RESOURCE[/NAME[/SUBRESOURCE[/…]]]                         cluster-scoped, or every namespace
//   /api/v1/namespaces/NS/RESOURCE[/NAME[/SUBRESOURCE[/…]]]           in a namespace
//   /apis/GROUP/VERSION/…                                             the same for every named group
//   …/VERSION/watch/…                                                 the deprecated way to ask for a watch of it
//
// `namespaces` itself is the exception: /namespaces/NAME is an object, /namespaces/NAME/status and /finalize its
// subresources. Anything that does not fit is a non-resource path, answered by discovery, health or with 404.

internal import HTTP
internal import Objects

/// A path below /api/VERSION or /apis/GROUP/VERSION, with at least a resource in it.
struct ResourcePath: Hashable, Sendable {
    var group: String
    var version: String
    /// nil when the path names none.
    var namespace: String?
    var resource: String
    var name: String?
    var subresource: String?
    /// Segments below the subresource (proxy paths).
    var rest: [String] = []
    /// Below `watch/`: a watch without a parameter that says so.
    var isWatch = false
}

/// The verbs of authorization and of discovery.
enum Verb: String, Sendable {
    case get, list, watch, create, update, patch, delete, deletecollection
}

struct RequestInfo: Sendable {
    /// nil for what is no path of a resource.
    let path: ResourcePath?
    /// The resource of the path; nil when there is none by that name.
    let declaration: ResourceDeclaration?
    /// nil for what is no resource, and for methods the API does not know.
    let verb: Verb?
    let query: Query

    static func read(_ request: HTTPRequest, _ registry: Registry) -> RequestInfo {
        let query = Query(request.query)
        guard let path = RequestInfo.path(request.path) else {
            return RequestInfo(path: nil, declaration: nil, verb: nil, query: query)
        }
        let declaration = registry.find(group: path.group, version: path.version, resource: path.resource)
        let verb = RequestInfo.verb(method: request.method, path: path, watch: query.flag("watch"))
        return RequestInfo(path: path, declaration: declaration, verb: verb, query: query)
    }

    static func path(_ path: String) -> ResourcePath? {
        let parts = segments(path)
        let group: String
        // The next segment to look at.
        var next: Int
        if parts.count >= 3, parts[0] == "api" {
            group = ""
            next = 2
        } else if parts.count >= 4, parts[0] == "apis" {
            group = parts[1]
            next = 3
        } else {
            return nil
        }
        let version = parts[next - 1]
        let isWatch = parts[next] == "watch" && next + 1 < parts.count
        if isWatch { next += 1 }
        var namespace: String?
        if parts[next] == "namespaces", next + 2 < parts.count, !["status", "finalize"].contains(parts[next + 2]) {
            namespace = parts[next + 1]
            next += 2
        }
        return ResourcePath(
            group: group, version: version, namespace: namespace, resource: parts[next],
            name: next + 1 < parts.count ? parts[next + 1] : nil,
            subresource: next + 2 < parts.count ? parts[next + 2] : nil, rest: Array(parts.dropFirst(next + 3)),
            isWatch: isWatch)
    }

    /// What lies between the slashes, decoded, empty segments left out. Bytes, not characters: a combining mark after a
    /// slash would hide it.
    private static func segments(_ path: String) -> [String] {
        var path = path
        return path.withUTF8 { bytes in
            var segments: [String] = []
            segments.reserveCapacity(8)
            var start = 0
            var isEscaped = false
            for index in 0...bytes.count {
                if index < bytes.count, bytes[index] != 0x2f {
                    if bytes[index] == 0x25 { isEscaped = true }
                    continue
                }
                if index > start {
                    let text = String(decoding: UnsafeBufferPointer(rebasing: bytes[start..<index]), as: UTF8.self)
                    segments.append(isEscaped ? decode(text) : text)
                }
                start = index + 1
                isEscaped = false
            }
            return segments
        }
    }

    /// The verb of a method on a path; nil for a method the API does not know.
    static func verb(method: String, path: ResourcePath, watch: Bool) -> Verb? {
        switch method {
        case "GET" where path.isWatch: .watch
        case _ where path.isWatch: nil
        case "GET", "HEAD": path.name != nil ? .get : watch ? .watch : .list
        case "POST": .create
        case "PUT": .update
        case "PATCH": .patch
        case "DELETE": path.name != nil ? .delete : .deletecollection
        default: nil
        }
    }

    /// Percent-decodes one path segment; a malformed escape stays as it is (it names nothing that exists).
    static func decode(_ segment: some StringProtocol) -> String {
        guard segment.utf8.contains(0x25) else { return String(segment) }
        let bytes = Array(segment.utf8)
        var out: [UInt8] = []
        out.reserveCapacity(bytes.count)
        var i = 0
        while i < bytes.count {
            if bytes[i] == 0x25, i + 2 < bytes.count, let high = hex(bytes[i + 1]), let low = hex(bytes[i + 2]) {
                out.append(high << 4 | low)
                i += 3
            } else {
                out.append(bytes[i])
                i += 1
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    private static func hex(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x37
        case 0x61...0x66: byte - 0x57
        default: nil
        }
    }
}
