// The fixed part of the Service data path: a few hash lookups, whatever the number of Services.
//
//   services4   address . protocol . port            -> mark = id << 12 | N      N = number of endpoints
//   picks4      N                                    -> goto pick4_N             small: one chain per distinct N
//   pick4_N     mark . random slot below N           -> dnat to endpoint         (endpoints4_N)
//   affine4     address . protocol . port            -> id << 12                 Services with affinity only
//   affineports4  protocol . node port               -> id << 12
//   affinity4   client . id << 12                    -> endpoint                 dynamic, written when a flow begins
//
// A Service without endpoints has N = 0, finds no pick chain, keeps its address and is rejected like every other packet
// to a Service range that nothing has redirected. A flow that would leave by the link it came from (a pod that
// reaches itself through its Service) is marked N = 0xfff and masqueraded, else its answer would not come back.
//
// Rules learned (docs: The Service data path): `th dport`, or rules match TCP only; no verdicts in big maps; mark and
// dispatch in one rule, or a foreign mark dispatches.

import Nftables
import System

/// The number that stands for a target while a packet is on its way.
enum ProxyMark {
    /// 0xfff marks hairpin.
    static let maximumBackends = 0xffe
    static let hairpin = 0xfff
    /// 20 bits; 0 is never given out.
    static let maximumID: UInt32 = 0xfffff

    static func make(id: UInt32, count: Int) -> UInt32 { id << 12 | UInt32(count) }
    static func id(_ mark: UInt32) -> UInt32 { mark >> 12 }
    static func count(_ mark: UInt32) -> Int { Int(mark & 0xfff) }

    /// As nft lists it.
    static func text(_ mark: UInt32) -> String {
        let digits = String(mark, radix: 16)
        return "0x" + String(repeating: "0", count: 8 - digits.utf8.count) + digits
    }

    static func parse(_ text: some StringProtocol) -> UInt32? {
        text.hasPrefix("0x") ? UInt32(text.dropFirst(2), radix: 16) : UInt32(text)
    }
}

/// The maps whose elements follow the API.
struct ProxyMap: Hashable, Comparable, Sendable {
    let name: String
    private let type: String

    var declaration: NftSet { NftSet(name, type) }

    static let services4 = ProxyMap(name: "services4", type: "type ipv4_addr . inet_proto . inet_service : mark")
    static let services6 = ProxyMap(name: "services6", type: "type ipv6_addr . inet_proto . inet_service : mark")
    static let nodeports4 = ProxyMap(name: "nodeports4", type: "type inet_proto . inet_service : mark")
    static let nodeports6 = ProxyMap(name: "nodeports6", type: "type inet_proto . inet_service : mark")
    static let affine4 = ProxyMap(name: "affine4", type: "type ipv4_addr . inet_proto . inet_service : mark")
    static let affineports4 = ProxyMap(name: "affineports4", type: "type inet_proto . inet_service : mark")
    static let picks4 = ProxyMap(name: "picks4", type: "type mark : verdict")
    static let picks6 = ProxyMap(name: "picks6", type: "type mark : verdict")
    static let sticks = ProxyMap(name: "sticks", type: "type mark : verdict")

    static let fixed = [services4, services6, nodeports4, nodeports6, affine4, affineports4, picks4, picks6, sticks]
    /// Where packets enter: the maps that decide whether a Service is there.
    static let entries = [services4, services6, nodeports4, nodeports6, affine4, affineports4]

    static func services(isV6: Bool) -> ProxyMap { isV6 ? .services6 : .services4 }
    static func nodeports(isV6: Bool) -> ProxyMap { isV6 ? .nodeports6 : .nodeports4 }
    static func picks(isV6: Bool) -> ProxyMap { isV6 ? .picks6 : .picks4 }

    /// One map for each N, made in one transaction with its chain: libnftables 1.0.6 accepts `dnat … map` only for maps
    /// declared in the same buffer (of one in the kernel it says "conflicting protocols specified: tcp vs. th").
    static func endpoints(_ count: Int, isV6: Bool) -> ProxyMap {
        ProxyMap(
            name: "endpoints\(isV6 ? 6 : 4)_\(count)",
            type: "typeof meta mark . numgen random mod 65536 : \(isV6 ? "ip6" : "ip") daddr . th dport")
    }

    var isEndpoints: Bool { name.hasPrefix("endpoints") }

    static func < (a: ProxyMap, b: ProxyMap) -> Bool { a.name < b.name }
}

enum ProxyRules {
    static let table = NftTable("inet", "noded_services")
    static let affinity4 = NftSet(
        "affinity4", "typeof ip saddr . meta mark : ip daddr . th dport", "size 65536", "flags dynamic,timeout")
    private static let ports = "meta l4proto { tcp, udp, sctp }"

    /// One chain per distinct number of endpoints. The drop is never reached: each slot below N has an element.
    static func pick(_ count: Int, isV6: Bool) -> NftChain {
        NftChain(
            pickName(count, isV6: isV6),
            rules: [
                "\(ports) dnat \(isV6 ? "ip6" : "ip") to meta mark . numgen random mod \(count) "
                    + "map @\(ProxyMap.endpoints(count, isV6: isV6).name)",
                "drop",
            ])
    }

    static func pickName(_ count: Int, isV6: Bool) -> String { "pick\(isV6 ? 6 : 4)_\(count)" }

    /// One chain per distinct affinity time: notes who got what. The client's own address even if it was masqueraded.
    static func stick(seconds: Int) -> NftChain {
        NftChain(
            stickName(seconds),
            rules: [
                "meta nfproto ipv4 meta mark set meta mark & 0xfffff000 "
                    + "update @affinity4 { ct original ip saddr . meta mark timeout \(seconds)s : ip daddr . th dport }"
            ])
    }

    static func stickName(_ seconds: Int) -> String { "stick_\(seconds)" }

    /// - Parameters:
    ///   - ranges: the Service ranges. - own: addresses in them that this node answers itself (cluster DNS).
    static func ruleset(ranges: [CIDR], own: [IPAddress]) -> NftRuleset {
        let rejects = ranges.flatMap { range -> [String] in
            let family = range.isV6 ? "ip6" : "ip"
            let excluded = own.filter { range.contains($0) }.map(\.description).sorted().joined(separator: ", ")
            let match = "\(family) daddr \(range)" + (excluded.isEmpty ? "" : " \(family) daddr != { \(excluded) }")
            return ["\(match) meta l4proto tcp reject with tcp reset", "\(match) reject"]
        }
        var ruleset = NftRuleset(table, sets: [], chains: [])
        let remember = "ct state new ct status dnat meta mark & 0xfffff000 vmap @sticks"
        ruleset.sets = ProxyMap.fixed.map(\.declaration) + [affinity4]
        ruleset.chains = [
            NftChain(
                "service",
                rules: [
                    "meta mark set ip daddr . meta l4proto . th dport map @affine4 \(ports) "
                        + "dnat ip to ip saddr . meta mark map @affinity4",
                    "meta mark set ip daddr . meta l4proto . th dport map @services4 meta mark & 0xfff vmap @picks4",
                    "meta mark set ip6 daddr . meta l4proto . th dport map @services6 meta mark & 0xfff vmap @picks6",
                    "fib daddr type local meta nfproto ipv4 meta mark set meta l4proto . th dport map @affineports4 "
                        + "\(ports) dnat ip to ip saddr . meta mark map @affinity4",
                    "fib daddr type local meta nfproto ipv4 meta mark set meta l4proto . th dport map @nodeports4 "
                        + "meta mark & 0xfff vmap @picks4",
                    "fib daddr type local meta nfproto ipv6 meta mark set meta l4proto . th dport map @nodeports6 "
                        + "meta mark & 0xfff vmap @picks6",
                ]),
            NftChain("prerouting", hook: "type nat hook prerouting priority -100", rules: ["jump service"]),
            NftChain("output", hook: "type nat hook output priority -100", rules: ["jump service"]),
            NftChain(
                "forward", hook: "type filter hook forward priority -10",
                rules: [
                    "ct state new ct status dnat fib daddr . iif oif exists meta mark set meta mark | 0xfff"
                ] + rejects),
            NftChain("reject_output", hook: "type filter hook output priority -10", rules: rejects),
            // IPv6 Service ranges are local routes, so what nothing redirected ends here.
            NftChain("reject_input", hook: "type filter hook input priority -10", rules: rejects),
            NftChain(
                "postrouting", hook: "type nat hook postrouting priority 100",
                rules: [
                    "ct status dnat meta mark & 0xfff == 0xfff masquerade fully-random"
                ]),
            NftChain("remember_routed", hook: "type filter hook postrouting priority 110", rules: [remember]),
            NftChain("remember_local", hook: "type filter hook input priority 110", rules: [remember]),
        ]
        // An empty chain whose name says which text the table was made from: another version's rules are replaced.
        let text = ruleset.installation.description + "\(pick(1, isV6: true).rules) \(stick(seconds: 1).rules)"
        ruleset.chains.append(NftChain("version_\(fingerprint(text))", rules: []))
        return ruleset
    }

    /// FNV-1a, 64 bits.
    private static func fingerprint(_ text: String) -> String {
        String(text.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }, radix: 16)
    }
}
