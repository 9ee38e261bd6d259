// What describes the API: /version, discovery (/api, /apis, plain and aggregated) and OpenAPI v2 and v3.
//
// All of it follows from the registry and is made once, at the first request for it; the bytes are shared by all
// answers. Large documents carry an ETag, so that clients that cache (kubectl does) ask again with If-None-Match.

internal import HTTP
internal import Objects
internal import Synchronization

final class Documents: Sendable {
    private struct Made: Sendable {
        let bytes: [UInt8]
        let etag: String
    }

    private let registry: Registry
    private let serverAddress: String
    private let made = Mutex<[String: Made]>([:])

    /// - Parameter serverAddress: host:port as clients reach it, for the legacy part of `/api`.
    init(_ registry: Registry, serverAddress: String) {
        self.registry = registry
        self.serverAddress = serverAddress
    }

    /// For a registry in which only `changed` groups differ: OpenAPI documents of the others are kept, which is most of
    /// the work.
    init(_ registry: Registry, after old: Documents, changed: Set<String>) {
        self.registry = registry
        serverAddress = old.serverAddress
        var kept: [String: Made] = [:]
        let known = old.made.withLock { $0 }
        for group in registry.groups where !changed.contains(group.name) {
            for version in group.versions {
                let name = "openapi/v3/" + OpenAPI.v3Path(group.name, version)
                kept[name] = known[name]
            }
        }
        made.withLock { $0 = kept }
    }

    /// nil when the path is none of them.
    func reply(_ path: String, _ request: HTTPRequest) throws(APIStatus) -> HTTPResponse? {
        let parts = path.split(separator: "/").map { RequestInfo.decode($0) }
        if ["version", "api", "apis"].contains(parts.first), request.method != "GET", request.method != "HEAD" {
            throw Responses.methodNotAllowed
        }
        switch parts.first {
        case nil: return request.method == "GET" ? Responses.json(200, root) : nil
        case "version"? where parts.count == 1: return Responses.json(200, Documents.version)
        case "api"?, "apis"?: return try discovery(parts, request)
        case "openapi"?: return try openAPI(parts, request)
        default: return nil
        }
    }

    private static let version: JSON = [
        "major": .string(APIVersion.major), "minor": .string(APIVersion.minor),
        "emulationMajor": .string(APIVersion.major), "emulationMinor": .string(APIVersion.minor),
        "gitVersion": .string(APIVersion.git), "gitCommit": "", "gitTreeState": "clean", "buildDate": "",
        "goVersion": "", "compiler": "swift", "platform": .string(APIVersion.platform),
    ]

    private var root: JSON {
        var paths = ["/api", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]
        for group in registry.groups {
            paths += group.versions.map { group.name.isEmpty ? "/api/\($0)" : "/apis/\(group.name)/\($0)" }
            if !group.name.isEmpty { paths.append("/apis/\(group.name)") }
        }
        return ["paths": .array(paths.sorted().map { .string($0) })]
    }

    // MARK: - Discovery

    private func discovery(_ parts: [String], _ request: HTTPRequest) throws(APIStatus) -> HTTPResponse? {
        let core = parts[0] == "api"
        switch (parts.count, core) {
        case (1, _):
            if Negotiation.wantsAggregatedDiscovery(request.headers) {
                let type = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
                return answer(parts[0] + "#aggregated", request, type: type) {
                    Discovery.aggregated(self.registry, core: core)
                }
            }
            _ = try Negotiation.negotiate(request.headers, allowTable: false)
            return answer(parts[0], request) {
                core
                    ? Discovery.coreVersions(self.registry, serverAddress: self.serverAddress)
                    : Discovery.groups(self.registry)
            }
        case (2, false): return Discovery.group(registry, parts[1]).map { Responses.json(200, $0) }
        case (2, true):
            return Discovery.resources(registry, group: "", version: parts[1]).map { Responses.json(200, $0) }
        case (3, false):
            return Discovery.resources(registry, group: parts[1], version: parts[2]).map { Responses.json(200, $0) }
        default: return nil
        }
    }

    // MARK: - OpenAPI

    private func openAPI(_ parts: [String], _ request: HTTPRequest) throws(APIStatus) -> HTTPResponse? {
        guard parts.count >= 2 else { return nil }
        let protobuf = [OpenAPIProtobuf.mediaType, OpenAPIProtobuf.requestedMediaType]
        if parts == ["openapi", "v2"], protobuf.contains(where: { Negotiation.wants($0, request.headers) }) {
            return answerBytes("openapi/v2#protobuf", request, type: OpenAPIProtobuf.mediaType) {
                OpenAPIProtobuf.encode(OpenAPI.v2(self.registry, version: APIVersion.git))
            }
        }
        _ = try Negotiation.negotiate(request.headers, allowTable: false)
        switch parts[1] {
        case "v2" where parts.count == 2:
            return answer("openapi/v2", request) { OpenAPI.v2(self.registry, version: APIVersion.git) }
        case "v3" where parts.count == 2:
            return answer("openapi/v3", request) { self.v3Index }
        case "v3":
            let path = parts[2...].joined(separator: "/")
            guard
                let (group, version) = groupVersions.first(where: { OpenAPI.v3Path($0.0, $0.1) == path })
            else { return nil }
            let document = v3(group, version)
            let wanted = request.query.first { $0.0 == "hash" }?.1
            if let wanted, "\"\(wanted)\"" != document.etag {
                // The schema has changed since the index was read.
                let hash = document.etag.filter { $0 != "\"" }
                return HTTPResponse(
                    status: 301, headers: ["Location": "/openapi/v3/\(path)?hash=\(hash)"])
            }
            var response = send(document, request, "application/json")
            if wanted != nil { response.headers["Cache-Control"] = "public, immutable" }
            return response
        default: return nil
        }
    }

    private var groupVersions: [(String, String)] {
        registry.groups.flatMap { group in group.versions.map { (group.name, $0) } }
    }

    private var v3Index: JSON {
        var paths = JSONObject()
        for (group, version) in groupVersions {
            let path = OpenAPI.v3Path(group, version)
            let hash = v3(group, version).etag.filter { $0 != "\"" }
            paths[path] = ["serverRelativeURL": .string("/openapi/v3/\(path)?hash=\(hash)")]
        }
        return ["paths": .object(paths)]
    }

    /// The document of one group version, made when it is first asked for.
    private func v3(_ group: String, _ version: String) -> Made {
        let name = "openapi/v3/" + OpenAPI.v3Path(group, version)
        if let known = made.withLock({ $0[name] }) { return known }
        let document = OpenAPI.v3(registry, group: group, groupVersion: version, version: APIVersion.git)
        let fresh = Made(bytes: document.bytes, etag: "\"\(document.hash)\"")
        made.withLock { $0[name] = fresh }
        return fresh
    }

    // MARK: - Sending

    private func answer(
        _ name: String, _ request: HTTPRequest, type: String = "application/json", _ make: () -> JSON
    ) -> HTTPResponse {
        answerBytes(name, request, type: type) { make().encode() }
    }

    private func answerBytes(
        _ name: String, _ request: HTTPRequest, type: String, _ make: () -> [UInt8]
    ) -> HTTPResponse {
        if let known = made.withLock({ $0[name] }) { return send(known, request, type) }
        let bytes = make()
        let document = Made(bytes: bytes, etag: Documents.etag(bytes))
        made.withLock { $0[name] = document }
        return send(document, request, type)
    }

    private func send(_ document: Made, _ request: HTTPRequest, _ type: String) -> HTTPResponse {
        let headers: HTTPHeaders = [
            "Content-Type": type, "ETag": document.etag, "Vary": "Accept", "Cache-Control": "no-cache, private",
        ]
        // Compared weakly (RFC 9110, 13.1.2): an intermediary that compresses weakens the tag.
        let known = request.headers.list("If-None-Match")
        if known.contains(where: { $0 == "*" || $0 == document.etag || $0 == "W/\(document.etag)" }) {
            return HTTPResponse(status: 304, headers: headers)
        }
        return HTTPResponse(status: 200, headers: headers, bytes: document.bytes)
    }

    /// FNV-1a over the bytes: it tells contents apart, it protects nothing.
    private static func etag(_ bytes: [UInt8]) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return "\"\(String(hash, radix: 16))\""
    }
}
