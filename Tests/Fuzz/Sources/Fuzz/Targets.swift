// The targets. Each is a function of bytes; `hold` is a promise.

import HTTP
import Logging
import Objects
import Store
import Synchronization
import System

@testable import APIServer
@testable import Transport

func hold(_ condition: Bool, _ promise: @autoclosure () -> String) {
    if !condition { fatalError("broken: \(promise())") }
}

enum Targets {
    /// What parses is written so that it parses to the same value; and the limits hold.
    static func json(_ bytes: [UInt8]) {
        var duplicates: [String] = []
        guard let value = try? JSON.parse(bytes, duplicates: &duplicates) else { return }
        let text = value.encode()
        hold((try? JSON.parse(text)) == value, "JSON written and read again differs")
        hold(value.encode() == text, "JSON is not written the same twice")
        if let split = value.encodeSplit(at: ["metadata", "resourceVersion"]) {
            hold((try? JSON.parse(split.0 + Array("7".utf8) + split.1)) != nil, "the version's place is no string")
        }
    }

    static func yaml(_ bytes: [UInt8]) {
        var duplicates: [String] = []
        let limits = JSONLimits(bytes: 1 << 20)
        guard let documents = try? YAML.parse(bytes, limits: limits, duplicates: &duplicates) else { return }
        for document in documents {
            guard let again = try? YAML.parse(document.encodeYAML()) else {
                fatalError("broken: what was written as YAML does not parse")
            }
            hold(again == [document] || again.isEmpty, "YAML written and read again differs")
        }
    }

    /// document NUL patch
    static func patch(_ bytes: [UInt8]) {
        let parts = bytes.split(separator: 0, maxSplits: 1)
        guard parts.count == 2, let object = try? JSON.parse(Array(parts[0])), let patch = try? JSON.parse(Array(parts[1]))
        else { return }
        let merged = MergePatch.apply(patch, to: object)
        if patch.object != nil {
            hold(MergePatch.apply(patch, to: merged) == merged, "a merge patch does more the second time")
        }
        _ = try? JSONPatch.apply(patch, to: object)
        for schema in schemas { _ = try? StrategicMergePatch.apply(patch, to: object, schema: schema.root) }
    }

    private static let schemas = [ResourceID.pods, .deployments, .services].compactMap { Registry.standard.find($0)?.schema }

    static func selector(_ bytes: [UInt8]) {
        let text = String(decoding: bytes, as: UTF8.self)
        if let selector = try? LabelSelector(parsing: text) {
            let again = try? LabelSelector(parsing: selector.description)
            hold(again?.description == selector.description, "a label selector's text changes when parsed: \(selector)")
            _ = selector.matches(["a": "b", "app": "web"])
        }
        if let selector = try? FieldSelector(parsing: text) {
            let again = try? FieldSelector(parsing: selector.description)
            hold(again == selector, "a field selector's text means something else: \(selector)")
            _ = selector.matches { _ in "x" }
        }
        _ = Quantity(text)
        _ = Timestamp(rfc3339: text)
    }

    static func token(_ bytes: [UInt8]) {
        let text = String(decoding: bytes, as: UTF8.self)
        if let token = ContinueToken(text) { hold(ContinueToken(token.text) == token, "a token comes back changed") }
        let made = ContinueToken(revision: UInt64(bytes.count), after: text)
        hold(ContinueToken(made.text) == made, "a token is not what it was made of")
        for wire in ChannelProtocol.allCases { _ = wire.decode(bytes) }
    }

    static func path(_ bytes: [UInt8]) {
        let text = String(decoding: bytes, as: UTF8.self)
        let target = Transport.RequestTarget.parse(text)
        hold(!target.path.isEmpty, "a path is empty")
        if case .resource(let path) = RequestInfo.target(target.path) {
            hold(!path.resource.isEmpty || target.path.contains("%"), "a resource path without a resource")
            _ = RequestInfo.verb(method: "GET", path: path, watch: false)
        }
        let headers: HTTPHeaders = ["Accept": text, "Accept-Encoding": text, "Content-Type": text]
        _ = try? Negotiation.negotiate(headers, allowTable: true)
        _ = try? Negotiation.bodyEncoding(headers)
        _ = Negotiation.wantsAggregatedDiscovery(headers)
        _ = Gzip.isWanted(HTTPResponse(status: 200), HTTPRequest(method: "GET", path: "/", headers: headers))
    }

    // MARK: - A whole server

    /// METHOD TARGET, a line, then a body: asked of a server with a store in memory. Any answer will do but none.
    static func request(_ bytes: [UInt8]) {
        let parts = bytes.split(separator: 10, maxSplits: 1, omittingEmptySubsequences: false)
        let line = String(decoding: parts[0], as: UTF8.self).split(separator: " ", maxSplits: 1).map(String.init)
        guard line.count == 2 else { return }
        let target = Transport.RequestTarget.parse(line[1])
        var request = HTTPRequest(method: line[0], path: target.path, query: target.query)
        request.headers = ["Content-Type": bytes.count % 3 == 0 ? "application/yaml" : "application/json"]
        if line[0] == "PATCH" {
            let types = ["application/merge-patch+json", "application/json-patch+json", "application/strategic-merge-patch+json"]
            request.headers["Content-Type"] = types[bytes.count % 3]
        }
        if parts.count > 1 { request.body = Array(parts[1]) }
        request.peer = Peer(
            address: "", certificate: ClientCertificate(commonName: "fuzz", organizations: ["system:masters"]))
        if let response = FuzzServer.shared.answer(request) {
            hold((100..<600).contains(response.status), "status \(response.status)")
            hold(response.status != 500, "an internal error: \(response.body.map { String(decoding: $0, as: UTF8.self) })")
        }
    }

    /// Any JSON as an object of any kind: decode, default, prepare, validate, columns.
    static func object(_ bytes: [UInt8]) {
        guard let first = bytes.first, let body = try? JSON.parse(Array(bytes.dropFirst())) else { return }
        let all = Registry.standard.declarations
        let declaration = all[Int(first) % all.count]
        guard var decoded = try? declaration.decode(body, validation: .ignore) else { return }
        declaration.prepareForCreate(&decoded.object, uid: "u", now: Timestamp(seconds: 0, nanoseconds: 0))
        let errors = declaration.validateCreate(decoded.object)
        _ = APIStatus.invalid(declaration.gvk, "x", errors).json.encode()
        _ = ObjectViews(declaration).table([decoded.object], metadata: [:], include: .metadata).encode()
        var changed = decoded.object
        declaration.prepareForUpdate(&changed, old: decoded.object)
        _ = declaration.validateUpdate(changed, old: decoded.object)
    }
}
