// One request's account: when it began, what it is called in /metrics, the place it holds among those under way.
//
// `finish` wraps the reply, so that the account is closed when the answer is there: at once, after the
// store's fsync, or, for a watch, when it ends.

internal import HTTP

struct RequestMeter: Sendable {
    private let metrics: Metrics
    private let inFlight: InFlight
    private let start = ContinuousClock.now
    private let labels: RequestLabels
    private let place: InFlight.Place?

    /// - Parameter place: what the request holds until it is answered; nil when it was refused one.
    init(_ metrics: Metrics, _ inFlight: InFlight, _ labels: RequestLabels, _ place: InFlight.Place?) {
        self.metrics = metrics
        self.inFlight = inFlight
        self.labels = labels
        self.place = place
    }

    func finish(_ reply: HTTPReply) -> HTTPReply {
        switch reply {
        case .response(let response):
            leave()
            let elapsed = ContinuousClock.now - start
            metrics.count(labels, code: response.status, seconds: elapsed / .seconds(1))
            return reply
        case .deferred(let work):
            return .deferred { finish(await work()) }
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

    private func leave() { if let place { inFlight.leave(place) } }
}
