// How many bytes of request bodies a server holds while they arrive, over all connections.
//
// A body is gathered before its request is answered. One is bounded by `bodyLimit`, but there may be hundreds of
// streams on each of thousands of connections. So bytes are taken from an account: a small one that all share whom
// nobody knows, a larger one for those that the handler knows by the head of their request. When an account is empty
// the request is refused (429), and strangers cannot empty that of the others.

import Synchronization

final class BodyBudget: Sendable {
    enum Account: Sendable {
        case strangers, known
        /// Without a bound: who looks after a server must not be kept out.
        case exempt
    }

    private let strangers = Atomic<Int>(0)
    private let known = Atomic<Int>(0)
    private let strangerLimit: Int
    private let knownLimit: Int

    /// Limits in bytes.
    init(strangerLimit: Int, knownLimit: Int) {
        self.strangerLimit = strangerLimit
        self.knownLimit = knownLimit
    }

    /// Bytes that are held now.
    var held: (strangers: Int, known: Int) {
        (strangers.load(ordering: .relaxed), known.load(ordering: .relaxed))
    }

    fileprivate func take(_ count: Int, _ account: Account) -> Bool {
        switch account {
        case .strangers: BodyBudget.take(count, strangers, strangerLimit)
        case .known: BodyBudget.take(count, known, knownLimit)
        case .exempt: true
        }
    }

    private static func take(_ count: Int, _ held: borrowing Atomic<Int>, _ limit: Int) -> Bool {
        if held.add(count, ordering: .relaxed).newValue <= limit { return true }
        held.subtract(count, ordering: .relaxed)
        return false
    }

    fileprivate func give(back count: Int, _ account: Account) {
        switch account {
        case .strangers: strangers.subtract(count, ordering: .relaxed)
        case .known: known.subtract(count, ordering: .relaxed)
        case .exempt: break
        }
    }
}

/// What one request holds of the budget. A stranger's until the handler has said who asks.
struct BodyHold {
    private let budget: BodyBudget
    private var account = BodyBudget.Account.strangers
    private var count = 0

    init(_ budget: BodyBudget) { self.budget = budget }

    /// False when there are not so many bytes left; nothing is taken then.
    mutating func take(_ more: Int) -> Bool {
        guard budget.take(more, account) else { return false }
        count += more
        return true
    }

    /// From now on on this account; false when it has not so many bytes left.
    mutating func move(to other: BodyBudget.Account) -> Bool {
        let held = count
        release()
        account = other
        return take(held)
    }

    /// Gives everything back and begins anew.
    mutating func release() {
        budget.give(back: count, account)
        count = 0
        account = .strangers
    }
}
