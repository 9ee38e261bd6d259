// What is open to pods on behalf of clients: proxied requests and the tunnels that they become, exec, attach,
// port-forward and each of its connections. Every one costs sockets and buffers (up to about a megabyte) for as long as
// both sides like, so there are so many at a time, and so many of one user: who leaves
// his open keeps out himself first.
//
// Like the places of requests under way (`InFlight`), they do not count for system:masters: nobody may be kept from
// looking after a server that is too busy. Failing is 429 with Retry-After.

internal import Objects
import Synchronization

final class Sessions: Sendable {
    private struct State {
        var total = 0
        /// By user name; none is 0.
        var users: [String: Int] = [:]
    }

    private let limit: Int
    private let userLimit: Int
    private let state = Mutex(State())

    init(limit: Int, userLimit: Int) {
        self.limit = limit
        self.userLimit = userLimit
    }

    /// A session that is open for as long as somebody holds it; nil where none is needed.
    /// - Throws: 429 when there are too many.
    func open(_ user: UserInfo) throws(APIStatus) -> Session? {
        if user.isMaster { return nil }
        let problem = state.withLock { state -> String? in
            if state.total >= limit { return "too many connections to pods are open (\(limit))" }
            let count = state.users[user.name] ?? 0
            if count >= userLimit {
                return "user \(Quote.go(user.name)) has too many connections to pods open (\(userLimit))"
            }
            state.total += 1
            state.users[user.name] = count + 1
            return nil
        }
        if let problem { throw .tooManyRequests("\(problem), please close some or try again later") }
        return Session(self, user.name)
    }

    fileprivate func close(_ user: String) {
        state.withLock { state in
            state.total -= 1
            let count = (state.users[user] ?? 0) - 1
            state.users[user] = count > 0 ? count : nil
        }
    }

    /// Open now.
    var count: Int { state.withLock { $0.total } }
}

final class Session: Sendable {
    private let sessions: Sessions
    private let user: String

    fileprivate init(_ sessions: Sessions, _ user: String) {
        self.sessions = sessions
        self.user = user
    }

    deinit { sessions.close(user) }
}
