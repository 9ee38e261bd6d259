// From an HTTP request to a verb, and from its result to an HTTP reply.
//
// Reads are answered at once from the cache; writes are deferred until their fsync; watches, logs and exec are
// streams. Every failure is a Status with Kubernetes' code, reason and message; a path that names nothing is the plain
// text `404 page not found`, as from kube-apiserver.

internal import Client
internal import HTTP
internal import Logging
internal import Objects
internal import System

struct HTTPFront: Sendable {
    let core: APICore
    let access: Access
    let issuer: IssuerDocuments
    let health: Health
    let components: Components
    let node: any NodeBackend
    let logger: Logger
    let metrics = Metrics()
    let inFlight: InFlight
    let sessions: Sessions

    /// What is known of a resource request once its path and headers are understood.
    struct Call: Sendable {
        let request: HTTPRequest
        let path: ResourcePath
        let declaration: ResourceDeclaration
        let query: Query
        let user: UserInfo
        let negotiated: Negotiated

        /// The stored bytes are the answer.
        var isPlain: Bool {
            negotiated.representation == .object && !negotiated.yaml && !negotiated.pretty
                && declaration.showsStoredBytes
        }

        /// Its object. The name is there when the verb has one.
        var key: ObjectKey {
            ObjectKey(namespace: declaration.isNamespaced ? path.namespace ?? "" : "", name: path.name ?? "")
        }
    }

    func handle(_ request: HTTPRequest) -> HTTPReply {
        let info = RequestInfo.read(request, core.registry)
        do throws(APIStatus) {
            let user = try access.enter(request, info)
            // Nobody may be kept from looking after a server that is too busy.
            let exempt = user.isMaster || info.verb == .watch
            guard let place = inFlight.enter(HTTPFront.place(request.method), exempt: exempt) else {
                throw .tooManyRequests("too many requests, please try again later")
            }
            let meter = self.meter(request, info, info.verb, place)
            var reply = answer(request, info, user)
            if let deprecation = info.declaration?.custom?.deprecation { reply = reply.warning(deprecation) }
            return meter.finish(reply)
        } catch {
            // Refused before it held a place.
            return meter(request, info, nil, nil).finish(.response(Responses.failure(error)))
        }
    }

    func meter(
        _ request: HTTPRequest, _ info: RequestInfo, _ verb: Verb?, _ place: InFlight.Place?
    ) -> RequestMeter {
        RequestMeter(metrics, inFlight, info.labels(request, verb), place)
    }

    private static func place(_ method: String) -> InFlight.Place {
        switch method {
        case "POST", "PUT", "PATCH", "DELETE": .write
        default: .read
        }
    }

    private func answer(_ request: HTTPRequest, _ info: RequestInfo, _ user: UserInfo) -> HTTPReply {
        do throws(APIStatus) {
            guard let path = info.path else { return try other(request, info.query) }
            guard let declaration = info.declaration else { return .response(Responses.noSuchPath) }
            return try resource(path, declaration, request, info, user)
        } catch {
            return .response(Responses.failure(error))
        }
    }

    private func other(_ request: HTTPRequest, _ query: Query) throws(APIStatus) -> HTTPReply {
        let path = request.path
        if let reply = health.reply(path, query) { return .response(reply) }
        if let reply = issuer.reply(path, request) { return .response(reply) }
        if path == "/metrics" { return .response(MetricsPage.response(core, metrics, inFlight)) }
        if let reply = try core.served.documents.reply(path, request) { return .response(reply) }
        return .response(Responses.noSuchPath)
    }

    private func resource(
        _ path: ResourcePath, _ declaration: ResourceDeclaration, _ request: HTTPRequest, _ info: RequestInfo,
        _ user: UserInfo
    ) throws(APIStatus) -> HTTPReply {
        guard core.isReady else { throw .unavailable("the server is currently unable to handle the request") }
        // A namespaced object has no path outside a namespace.
        if declaration.isNamespaced ? path.namespace == nil && path.name != nil : path.namespace != nil {
            return .response(Responses.noSuchPath)
        }
        if path.isWatch, path.subresource != nil { return .response(Responses.noSuchPath) }
        if path.subresource == "proxy", declaration.subresource("proxy") != nil {
            return try proxy(path, request, user)
        }
        guard let verb = info.verb else { throw Responses.methodNotAllowed }
        // Across namespaces one can only look: a DELETE here would empty all of them.
        if declaration.isNamespaced, path.namespace == nil, verb != .list, verb != .watch {
            if declaration.custom != nil { return .response(Responses.noSuchPath) }
            throw Responses.methodNotAllowed
        }
        if let refusal = declaration.custom?.refusal { throw .internalError(refusal) }
        let streams = path.subresource.map { ["log", "exec", "attach", "portforward"].contains($0) } ?? false
        // Reviews and bindings have no metadata to show in another form.
        let hasForms = declaration.isStored || declaration.id == .componentStatuses
        var negotiated = streams ? Negotiated() : try Negotiation.negotiate(request.headers, allowTable: hasForms)
        negotiated.pretty = info.query.wantsPretty
        let call = Call(
            request: request, path: path, declaration: declaration, query: info.query, user: user,
            negotiated: negotiated)
        if path.subresource != nil { return try subresource(verb, call) }
        guard declaration.verbs.contains(verb.rawValue) else { throw Responses.methodNotAllowed }
        if !declaration.isStored {
            if declaration.id == .componentStatuses { return try componentStatus(call, verb) }
            if declaration.id != .bindings { return try review(call) }
        }
        switch verb {
        case .get: return try get(call)
        case .list: return try list(call)
        case .watch: return try watch(call)
        case .create:
            guard path.name == nil else { throw Responses.methodNotAllowed }
            if declaration.id == .bindings { return try bind(call, pod: nil) }
            return try create(call)
        case .update:
            guard path.name != nil else { throw Responses.methodNotAllowed }
            return try update(call, subresource: nil)
        case .patch:
            guard path.name != nil else { throw Responses.methodNotAllowed }
            return try patch(call, subresource: nil)
        case .delete: return try delete(call)
        case .deletecollection: return try deleteCollection(call)
        }
    }

    /// Subresources that are another face of the object itself.
    private static let faces: Set<String> = ["approval", "status", "finalize", "ephemeralcontainers", "resize"]

    private func subresource(_ verb: Verb, _ call: Call) throws(APIStatus) -> HTTPReply {
        guard let name = call.path.subresource, let subresource = call.declaration.subresource(name),
            call.path.rest.isEmpty
        else { return .response(Responses.noSuchPath) }
        switch (name, verb) {
        case ("log", .get): return try log(call)
        // Old clients POST; the upgrade is the same.
        case ("exec", .get), ("exec", .create): return try exec(call)
        case ("attach", .get), ("attach", .create): return try attach(call)
        case ("portforward", .get), ("portforward", .create): return try portForward(call)
        case ("binding", .create): return try bind(call, pod: call.path.name)
        case ("eviction", .create): return try evict(call)
        case ("token", .create): return try token(call)
        case ("scale", .get):
            let scale = call.declaration.scale(
                of: call.declaration.shown(try core.object(call.declaration, call.key).tree()))
            return .response(try scaleView(call, scale, []))
        case ("scale", .update), ("scale", .patch): return try scale(call, verb)
        default: break
        }
        guard subresource.verbs.contains(verb.rawValue) else { throw Responses.methodNotAllowed }
        guard HTTPFront.faces.contains(name) else { throw .notImplemented(call.declaration, name) }
        switch verb {
        case .get: return try get(call)
        case .update: return try update(call, subresource: name)
        case .patch: return try patch(call, subresource: name)
        default: throw Responses.methodNotAllowed
        }
    }

    // MARK: - Reads

    private func get(_ call: Call) throws(APIStatus) -> HTTPReply {
        let wanted = try APIStatus.revision(call.query["resourceVersion"] ?? "")
        if wanted > 0 {
            let current = try core.cache(call.declaration).snapshot().revision
            if wanted > current { throw .tooLargeResourceVersion(wanted, current: current) }
        }
        let object = try core.object(call.declaration, call.key)
        if call.isPlain {
            return .response(
                HTTPResponse(
                    status: 200, headers: Responses.headers(call.negotiated),
                    body: ObjectViews.pieces(object, revision: object.revision)))
        }
        return .response(try view(call, 200, call.declaration.shown(object.tree()), []))
    }

    private func list(_ call: Call) throws(APIStatus) -> HTTPReply {
        let cache = try core.cache(call.declaration)
        let filter = try call.query.filter(call.path, call.declaration, cache.selectable)
        let options = try call.query.listOptions()
        let include = try self.include(call)
        // More than an event loop should do between two connections: thousands of objects to look at or to parse.
        let looks = filter.hasSelectors || options.limit == 0 ? cache.count : min(options.limit, cache.count)
        guard looks > (call.isPlain ? 4096 : 64), filter.scope(call.declaration).isWide else {
            return .response(try list(call, filter, options, include))
        }
        return .deferred {
            do throws(APIStatus) {
                return .response(try list(call, filter, options, include))
            } catch {
                return .response(Responses.failure(error))
            }
        }
    }

    private func list(
        _ call: Call, _ filter: ObjectFilter, _ options: ListOptions, _ include: IncludeObject
    ) throws(APIStatus) -> HTTPResponse {
        let page = try core.list(call.declaration, filter, options)
        if call.isPlain {
            return HTTPResponse(
                status: 200, headers: Responses.headers(call.negotiated), body: page.pieces(call.declaration))
        }
        let views = ObjectViews(call.declaration)
        let json = page.json(views, call.negotiated.representation, include: include)
        return Responses.json(200, json, call.negotiated)
    }

    private func watch(_ call: Call) throws(APIStatus) -> HTTPReply {
        // Frames follow each other as lines of JSON.
        if call.negotiated.yaml { throw .notAcceptable(accepted: ["application/json"]) }
        let cache = try core.cache(call.declaration)
        let filter = try call.query.filter(call.path, call.declaration, cache.selectable)
        let options = try WatchOptions(call.query)
        if case .initial = options.start {
            let current = cache.snapshot().revision
            if options.revision > current { throw .tooLargeResourceVersion(options.revision, current: current) }
        }
        let view = WatchView(representation: call.negotiated.representation, include: try include(call))
        var headers = Responses.headers(call.negotiated)
        headers["Content-Type"] = "application/json;stream=watch"
        return .stream(status: 200, headers: headers) { sink in
            StreamWatcher(
                cache, filter: filter, views: ObjectViews(call.declaration), view: view,
                bookmarks: options.bookmarks, sink: sink
            ).start(options.start, timeout: options.timeout)
        }
    }

    func include(_ call: Call) throws(APIStatus) -> IncludeObject {
        guard let text = call.query["includeObject"], !text.isEmpty else { return .metadata }
        guard let include = IncludeObject(rawValue: text) else {
            throw Query.invalid(
                "TableOptions",
                .notSupported(FieldPath("includeObject"), .string(text), ["None", "Metadata", "Object"]))
        }
        return include
    }

    /// One object in the representation that was asked for.
    func view(_ call: Call, _ status: Int, _ tree: JSON, _ warnings: [String]) throws(APIStatus) -> HTTPResponse {
        let json: JSON
        switch call.negotiated.representation {
        case .object: json = tree
        case .metadata: json = ObjectViews.metadata(tree)
        case .table:
            let version = tree.at("metadata", "resourceVersion") ?? ""
            json = ObjectViews(call.declaration).table(
                [tree], metadata: ["resourceVersion": version], include: try include(call))
        }
        return Responses.json(status, json, call.negotiated, warnings)
    }
}

/// Query of a watch.
struct WatchOptions {
    let start: StreamWatcher.Start
    let bookmarks: Bool
    /// The client's resourceVersion; 0 for none.
    let revision: UInt64
    let timeout: Duration

    init(_ query: Query) throws(APIStatus) {
        bookmarks = query.flag("allowWatchBookmarks")
        let match = query["resourceVersionMatch"] ?? ""
        let initial = query["sendInitialEvents"] != nil
        if initial, match != "NotOlderThan" {
            throw Query.invalid(
                "ListOptions",
                .forbidden(
                    FieldPath("resourceVersionMatch"),
                    "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"))
        }
        if !initial, !match.isEmpty {
            throw Query.invalid(
                "ListOptions",
                .forbidden(
                    FieldPath("resourceVersionMatch"),
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"))
        }
        revision = try APIStatus.revision(query["resourceVersion"] ?? "")
        if query.flag("sendInitialEvents") {
            start = .initial(bookmark: bookmarks)
        } else if revision > 0 {
            start = .after(revision)
        } else {
            start = initial ? .now : .initial(bookmark: false)
        }
        if let seconds = try query.integer("timeoutSeconds"), seconds > 0 {
            timeout = .seconds(min(seconds, 86_400))
        } else {
            // Between half an hour and an hour, so that thousands of clients do not come back at once.
            timeout = .seconds(1800 + Int64(Random.uniform(below: 1800)))
        }
    }
}
