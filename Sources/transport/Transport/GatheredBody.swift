// The body of a request while it is gathered: its bytes, and what it holds of the server's budget for them. The bytes
// are given back the moment they are taken or dropped. What does not fit is not taken in; nothing else can fail.

import NIOCore

struct GatheredBody {
    private var bytes = ByteBuffer()
    private var hold: BodyHold
    /// The handler has nothing against this body.
    private(set) var isScreened = false

    init(_ budget: BodyBudget) { hold = BodyHold(budget) }

    /// Bytes so far.
    var count: Int { bytes.readableBytes }

    mutating func begin() {
        bytes = ByteBuffer()
        isScreened = false
    }

    /// False when the budget has no room for the part, which is left as it is then.
    mutating func append(_ part: inout ByteBuffer) -> Bool {
        guard hold.take(part.readableBytes) else { return false }
        bytes.writeBuffer(&part)
        return true
    }

    /// The handler has said whose body it is. False when that account has no room for what is there.
    mutating func screened(_ account: BodyBudget.Account) -> Bool {
        isScreened = true
        return hold.move(to: account)
    }

    /// All of it, which is no longer held here.
    mutating func take() -> [UInt8] {
        let all = Array(bytes.readableBytesView)
        drop()
        return all
    }

    mutating func drop() {
        bytes = ByteBuffer()
        hold.release()
    }
}
