// Whole requests, asked of an API server with a store in memory: sequences of them, so that one finds what another left.

import APIServer
import HTTP
import Objects

extension Targets {
    /// Requests, each `METHOD TARGET`, a line end and a body, with NUL between them. Any answer will do but none and 500.
    static func request(_ bytes: [UInt8]) {
        for part in bytes.split(separator: 0, maxSplits: 7) { ask(part) }
    }

    private static let patches = [
        "application/merge-patch+json", "application/json-patch+json", "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
    ]

    private static func ask(_ bytes: ArraySlice<UInt8>) {
        let parts = bytes.split(separator: 10, maxSplits: 1, omittingEmptySubsequences: false)
        let line = String(decoding: parts[0], as: UTF8.self).split(separator: " ", maxSplits: 1).map(String.init)
        guard line.count == 2 else { return }
        let target = HTTPTarget.parse(line[1])
        var request = HTTPRequest(method: line[0], path: target.path, query: target.query)
        if parts.count > 1 { request.body = Array(parts[1]) }
        // By what the body begins with: a mutation then changes the one with the other.
        let isJSON = request.body.first == UInt8(ascii: "{") || request.body.first == UInt8(ascii: "[")
        request.headers["Content-Type"] = isJSON ? "application/json" : "application/yaml"
        if request.body.starts(with: [0x6b, 0x38, 0x73]) { request.headers["Content-Type"] = "application/vnd.kubernetes.protobuf" }
        if line[0] == "PATCH" {
            request.headers["Content-Type"] = !isJSON ? patches[3] : request.body.first == 0x5b ? patches[1] : patches[request.body.count % 4]
        }
        request.peer = Peer(
            address: "", certificate: ClientCertificate(commonName: "fuzz", organizations: ["system:masters"]))
        guard let response = FuzzServer.shared.answer(request) else { return }
        let text = response.body.flatMap { Array($0) }
        hold((200..<600).contains(response.status), "status \(response.status)")
        // As from Kubernetes: an applied configuration that does not fit its type.
        let isUntypable = String(decoding: text, as: UTF8.self).contains("failed to create typed patch object")
        hold(response.status != 500 || isUntypable, "an internal error: \(String(decoding: text, as: UTF8.self))")
        if response.headers["Content-Type"] == "application/json" {
            guard let json = try? JSON.parse(text) else { fatalError("broken: an answer that is no JSON") }
            if response.status >= 400 {
                hold(json["kind"] == "Status" && json["code"]?.int == Int64(response.status), "a refusal that is no Status")
            }
        }
    }
}
