// One request's account: when it began, what it is called in /metrics, the place it holds among those under way.
//
// `finish` wraps the reply, so that the account is closed when the answer is there: at once, after the
// store's fsync, or, for a watch, when it ends.

internal import HTTP
internal import Objects

final class RequestMeter: Sendable {
    private let metrics: Metrics
    private let inFlight: InFlight
    private let start = ContinuousClock.now
    private let labels: RequestLabels
    private let isWrite: Bool
    private let holdsPlace: Bool

    /// - Parameter isServed: the resource of the target exists; what does not is not counted by name.
    init(
        _ metrics: Metrics, _ inFlight: InFlight, _ request: HTTPRequest, _ target: RequestTarget, _ verb: Verb?,
        isServed: Bool, holdsPlace: Bool
    ) {
        self.metrics = metrics
        self.inFlight = inFlight
        self.holdsPlace = holdsPlace
        isWrite = RequestMeter.isWrite(request.method)
        var labels = RequestLabels(verb: RequestMeter.known.contains(request.method) ? request.method : "other")
        if case .resource(let path) = target, isServed {
            labels.group = path.group
            labels.version = path.version
            labels.resource = path.resource
            if let subresource = path.subresource, RequestMeter.subresources.contains(subresource) {
                labels.subresource = subresource
            }
            labels.scope =
                path.name != nil || verb == .create ? "resource" : path.namespace != nil ? "namespace" : "cluster"
            switch verb {
            case .list?: labels.verb = "LIST"
            case .watch?: labels.verb = "WATCH"
            case .patch? where request.headers["Content-Type"]?.hasPrefix("application/apply-patch") == true:
                labels.verb = "APPLY"
            default: break
            }
        }
        self.labels = labels
    }

    private static let known: Set<String> = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    private static let subresources: Set<String> = [
        "status", "scale", "eviction", "binding", "token", "ephemeralcontainers", "resize", "finalize", "approval",
        "proxy", "log", "exec", "attach", "portforward",
    ]

    static func isWrite(_ method: String) -> Bool {
        switch method {
        case "POST", "PUT", "PATCH", "DELETE": true
        default: false
        }
    }

    func finish(_ reply: HTTPReply) -> HTTPReply {
        switch reply {
        case .response(let response):
            leave()
            let elapsed = ContinuousClock.now - start
            metrics.count(labels, code: response.status, seconds: elapsed / .seconds(1))
            return reply
        case .deferred(let work):
            return .deferred { [self] in finish(await work()) }
        case .stream(let status, let headers, let start):
            leave()
            metrics.count(labels, code: status, seconds: nil)
            return .stream(status: status, headers: headers) { [metrics, labels] sink in
                metrics.opened(labels)
                sink.onClose { metrics.closed(labels) }
                start(sink)
            }
        case .webSocket(let subprotocol, let start):
            leave()
            metrics.count(labels, code: 101, seconds: nil)
            return .webSocket(subprotocol: subprotocol) { [metrics, labels] connection in
                metrics.opened(labels)
                await start(connection)
                metrics.closed(labels)
            }
        case .forward(var forwarding):
            // Long-running, as Kubernetes counts it: it holds no place while a pod takes its time.
            leave()
            forwarding.answered = { [metrics, labels, answered = forwarding.answered] status, headers in
                metrics.count(labels, code: status, seconds: nil)
                return answered(status, headers)
            }
            forwarding.failed = { [metrics, labels, failed = forwarding.failed] reason in
                let response = failed(reason)
                metrics.count(labels, code: response.status, seconds: nil)
                return response
            }
            return .forward(forwarding)
        }
    }

    private func leave() { if holdsPlace { inFlight.leave(isWrite: isWrite) } }
}
