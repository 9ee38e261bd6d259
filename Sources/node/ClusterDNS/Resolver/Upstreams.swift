// The servers that know everything else, and which of them to ask next. From the machine's resolv.conf, without the
// loopback ones: those are stubs that ask somebody, often us (user-pains.md, row 35). When only stubs are left, the
// file of systemd-resolved that names the real servers is read instead.
//
// A server that fails is asked after those that do not; one through which our own probe came back is not asked again
// until the list changes.

import Kernel
import System

struct Upstreams: Sendable {
    struct Server: Sendable {
        let endpoint: InternetEndpoint
        var failures = 0
        var failedAt: Int64 = .min / 2
        var loops = false
    }

    private(set) var servers: [Server]

    init(_ endpoints: [InternetEndpoint] = []) { servers = endpoints.map { Server(endpoint: $0) } }

    var isEmpty: Bool { !servers.contains { !$0.loops } }

    /// Every server has failed within the last seconds.
    func areAway(now: Int64) -> Bool {
        !isEmpty && servers.allSatisfy { $0.loops || ($0.failures > 1 && now - $0.failedAt < 5000) }
    }

    /// The best of those that `asked` does not hold, else of all; milliseconds. Nil without servers.
    func next(except asked: [InternetEndpoint], now: Int64) -> InternetEndpoint? {
        let usable = servers.filter { !$0.loops }
        let fresh = usable.filter { !asked.contains($0.endpoint) }
        // A failure counts for 10 s; then the server gets its old place back, with one query as its trial.
        func penalty(_ server: Server) -> Int { now - server.failedAt < 10_000 ? server.failures : 0 }
        let ordered = (fresh.isEmpty ? usable : fresh).enumerated()
            .min { (penalty($0.element), $0.offset) < (penalty($1.element), $1.offset) }
        return ordered?.element.endpoint
    }

    mutating func failed(_ endpoint: InternetEndpoint, now: Int64) {
        for i in servers.indices where servers[i].endpoint == endpoint {
            servers[i].failures += 1
            servers[i].failedAt = now
        }
    }

    mutating func worked(_ endpoint: InternetEndpoint) {
        for i in servers.indices where servers[i].endpoint == endpoint { servers[i].failures = 0 }
    }

    mutating func disable(_ endpoint: InternetEndpoint) {
        for i in servers.indices where servers[i].endpoint == endpoint { servers[i].loops = true }
    }

    /// The name servers of a resolv.conf(5), in order, without those on loopback and our own.
    static func parse(_ text: String, own: [IPAddress]) -> (servers: [InternetEndpoint], dropped: [IPAddress]) {
        var servers: [InternetEndpoint] = []
        var dropped: [IPAddress] = []
        for line in text.split(whereSeparator: \.isNewline) {
            let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
            guard words.count >= 2, words[0] == "nameserver", let address = IPAddress(words[1]) else { continue }
            if address.isLoopback || address.isUnspecified || own.contains(address) {
                dropped.append(address)
            } else if !servers.contains(where: { $0.address == address }) {
                servers.append(InternetEndpoint(address, 53))
            }
        }
        return (servers, dropped)
    }
}
