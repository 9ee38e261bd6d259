// Who may answer a query, in order. The order is architecture: what the cluster says never comes from a cache or from
// outside, and no query for a cluster name leaves the node.

extension ResolverCore {
    enum Outcome {
        /// Not mine.
        case next
        case answer(Answer)
        /// Taken care of by the actions.
        case done
    }

    struct Handler: Sendable {
        let name: String
        let handle: @Sendable (
            _ core: inout ResolverCore, _ request: inout Request, _ now: Int64, _ actions: inout [Action]
        ) -> Outcome
    }

    static let chain: [Handler] = [
        Handler(name: "refuse", handle: refuse),
        Handler(name: "loop probe", handle: loopProbe),
        Handler(name: "cluster zone", handle: clusterZone),
        Handler(name: "cache", handle: cached),
        Handler(name: "forward", handle: forwarded),
    ]

    /// An EDNS of the future (BADVERS stands in the OPT record), zone transfers.
    @Sendable private static func refuse(
        _ core: inout ResolverCore, _ request: inout Request, _ now: Int64, _ actions: inout [Action]
    ) -> Outcome {
        if let edns = request.query.edns, edns.version != 0 { return .answer(Answer()) }
        let type = request.query.question.type
        return type == .axfr || type == .ixfr ? .answer(Answer(code: .refused)) : .next
    }

    @Sendable private static func loopProbe(
        _ core: inout ResolverCore, _ request: inout Request, _ now: Int64, _ actions: inout [Action]
    ) -> Outcome {
        guard request.query.question.type == .hinfo, core.probes[request.name] != nil else { return .next }
        core.loopFound(request.name, &actions)
        return .answer(Answer(code: .refused, problem: .loop))
    }

    @Sendable private static func clusterZone(
        _ core: inout ResolverCore, _ request: inout Request, _ now: Int64, _ actions: inout [Action]
    ) -> Outcome {
        // ExternalNames may point at each other, also in a circle.
        for _ in 0..<8 {
            let question = Question(
                name: request.name, type: request.query.question.type,
                questionClass: request.query.question.questionClass)
            switch core.zone.lookUp(question, turn: core.rotation) {
            case .foreign: return .next
            case .alias(let records, let target):
                request.aliases += records
                request.name = target
            case .answer(var answer):
                answer.answers = request.aliases + core.rotate(answer.answers)
                return .answer(answer)
            }
        }
        return .answer(Answer(code: .serverFailure, problem: .loop))
    }

    @Sendable private static func cached(
        _ core: inout ResolverCore, _ request: inout Request, _ now: Int64, _ actions: inout [Action]
    ) -> Outcome {
        if let message = core.cache.find(request.key, now: now) {
            actions.append(core.reply(message, to: request))
            return .done
        }
        // With every upstream away an old answer is given at once; the question still goes out, as a trial.
        guard core.upstreams.isEmpty || core.upstreams.areAway(now: now),
            let message = core.cache.find(request.key, now: now, stale: true)
        else { return .next }
        actions.append(core.reply(message, to: request, problem: .stale))
        actions += core.forward(request, now: now, waits: false)
        return .done
    }

    @Sendable private static func forwarded(
        _ core: inout ResolverCore, _ request: inout Request, _ now: Int64, _ actions: inout [Action]
    ) -> Outcome {
        actions += core.forward(request, now: now)
        return .done
    }
}
