// The proxy subresources: an HTTP request to a pod, to a Service's pods or to a node, through this server (core/v1
// PodProxyOptions, ServiceProxyOptions, NodeProxyOptions).
//
//   /api/v1/namespaces/NS/pods/[http(s):]NAME[:PORT]/proxy/PATH
//   /api/v1/namespaces/NS/services/[http(s):]NAME[:PORT]/proxy/PATH      a ready endpoint; PORT is the Service's
//   /api/v1/nodes/NAME/proxy/PATH                                        what a kubelet answers (NodeBackend.page)
//
// Decided here, done by Transport. The client's credentials stay here: a pod must not learn who may do what. The answer
// is the pod's own, whatever it says; a failure to get one is 503 with the reason.

internal import Client
internal import HTTP
internal import Objects
internal import System

extension HTTPFront {
    /// Whether the reply to a request for `path` may be `.forward`.
    static func forwards(_ path: String) -> Bool {
        // On the way of every request with a body: a look before anything is taken apart.
        guard path.utf8.starts(with: "/api/v1/namespaces/".utf8), path.contains("/proxy"),
            let target = RequestInfo.path(path)
        else { return false }
        return target.subresource == "proxy" && (target.resource == "pods" || target.resource == "services")
    }

    private static let methods: Set<String> = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

    func proxy(
        _ path: ResourcePath, _ request: HTTPRequest, _ user: UserInfo
    ) throws(APIStatus) -> HTTPReply {
        guard HTTPFront.methods.contains(request.method) else { throw Responses.methodNotAllowed }
        let text = path.name ?? ""
        guard let name = ProxyName(text) else {
            throw .badRequest("invalid \(path.resource.dropLast()) request \(Quote.go(text))")
        }
        let namespace = path.namespace ?? ""
        switch path.resource {
        case "pods":
            return try forward(request, user, to: try core.proxyTarget(pod: name, namespace: namespace))
        case "services":
            return try forward(request, user, to: try core.proxyTarget(service: name, text, namespace: namespace))
        default:
            return try nodePage(name, path, request)
        }
    }

    private func forward(
        _ request: HTTPRequest, _ user: UserInfo, to target: ProxyTarget
    ) throws(APIStatus) -> HTTPReply {
        let (prefix, rest) = HTTPFront.split(request.path)
        if rest.isEmpty, request.headers["Upgrade"] == nil, request.method == "GET" || request.method == "HEAD" {
            // So that relative links in the page lead below it.
            return .response(HTTPResponse(status: 301, headers: ["Location": HTTPFront.directory(request)]))
        }
        let location = ProxyLocation(
            prefix: prefix, server: target.authority, host: request.headers["Host"] ?? target.authority)
        return .forward(
            Forwarding(
                address: target.address, port: target.port, isSecure: target.isSecure, path: rest.isEmpty ? "/" : rest,
                headers: HTTPFront.fields(request, prefix: prefix, rest: rest, target),
                answered: { _, headers in
                    guard let place = headers["Location"] else { return headers }
                    var headers = headers
                    headers["Location"] = location.rewrite(place)
                    return headers
                },
                failed: { reason in Responses.failure(.unavailable("error trying to reach service: \(reason)")) },
                place: try sessions.open(user)))
    }

    /// The path up to the segment `proxy`, and what is behind it, both as they were sent.
    static func split(_ path: String) -> (prefix: String, rest: String) {
        // /api/v1/namespaces/NS/pods/NAME/proxy: the seventh segment; empty ones do not count (RequestInfo).
        var left = 7
        var inSegment = false
        for index in path.utf8.indices {
            let isSlash = path.utf8[index] == UInt8(ascii: "/")
            if inSegment, isSlash {
                left -= 1
                if left == 0 { return (String(path[..<index]), String(path[index...])) }
            }
            inSegment = !isSlash
        }
        return (path, "")
    }

    /// The request's own target with a slash behind its path.
    private static func directory(_ request: HTTPRequest) -> String {
        let query = request.query.map { name, value in "\(Percent.encode(name))=\(Percent.encode(value))" }
        return request.path + "/" + (query.isEmpty ? "" : "?" + query.joined(separator: "&"))
    }

    private static let credentials: Set<String> = ["authorization", "x-remote-user", "x-remote-group", "x-remote-uid"]

    /// What the pod gets to see: everything but credentials, and where the request came from.
    private static func fields(
        _ request: HTTPRequest, prefix: String, rest: String, _ target: ProxyTarget
    ) -> HTTPHeaders {
        var fields = HTTPHeaders()
        for field in request.headers.endToEnd {
            let name = field.name.lowercased()
            if credentials.contains(name) || name.hasPrefix("impersonate-") || name.hasPrefix("x-remote-extra-") {
                continue
            }
            guard name == "sec-websocket-protocol" else {
                fields.add(field.name, field.value)
                continue
            }
            let offered = HTTPHeaders([(field.name, field.value)]).list(field.name).filter {
                !$0.hasPrefix(Authentication.webSocketPrefix)
            }
            if !offered.isEmpty { fields.add(field.name, offered.joined(separator: ", ")) }
        }
        if fields["Host"] == nil { fields["Host"] = target.authority }
        let before = fields.values("X-Forwarded-For")
        fields["X-Forwarded-For"] = (before + [request.peer.address]).joined(separator: ", ")
        fields["X-Forwarded-Uri"] = prefix + (rest.isEmpty ? "/" : rest)
        return fields
    }

    // MARK: - Nodes

    /// The port on which a kubelet would listen: the only one of a node that is answered.
    private static let kubeletPort = "10250"

    private func nodePage(
        _ name: ProxyName, _ path: ResourcePath, _ request: HTTPRequest
    ) throws(APIStatus) -> HTTPReply {
        _ = try core.object(core.declaration(.nodes), ObjectKey(name: name.name))
        guard name.port.isEmpty || name.port == HTTPFront.kubeletPort else {
            throw .badRequest(
                "port \(Quote.go(name.port)) of node \(Quote.go(name.name)) is not proxied; "
                    + "port \(HTTPFront.kubeletPort), the kubelet's, is: use a pod or a Service for others")
        }
        guard request.method == "GET" || request.method == "HEAD" else { throw Responses.methodNotAllowed }
        let page = "/" + path.rest.joined(separator: "/")
        return .deferred { [node] in
            do throws(APIStatus) {
                guard let page = try await node.page(node: name.name, path: page) else {
                    return .response(Responses.noSuchPath)
                }
                return .response(
                    HTTPResponse(status: 200, headers: ["Content-Type": page.contentType], bytes: page.body))
            } catch {
                return .response(Responses.failure(error))
            }
        }
    }
}
