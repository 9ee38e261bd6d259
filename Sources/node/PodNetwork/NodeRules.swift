// What nftables must do for the pod network itself: one table, a pure function of the configuration.
//
//   raw         cluster DNS is answered on this node from an address on lo: outside conntrack, thus outside all NAT;
//               packets for 127/8 that come from outside are dropped, whatever route_localnet says (CVE-2020-8558);
//               IPv6 packets whose source is not routed to the pod's link are dropped (IPv4: rp_filter does it)
//   postrouting what leaves the cluster's ranges goes out under the node's address

import Nftables
import System

enum NodeRules {
    static let table = NftTable("inet", "noded_pods")

    static func ruleset(_ config: PodNetworkConfig) -> NftRuleset {
        var prerouting: [String] = ["iifname != \"lo\" ip daddr 127.0.0.0/8 drop"]
        var output: [String] = []
        var postrouting: [String] = []
        for address in config.clusterDNS {
            let family = word(address)
            let asked = "\(family) daddr \(address) meta l4proto { tcp, udp } th dport 53 notrack"
            let answer = "\(family) saddr \(address) meta l4proto { tcp, udp } th sport 53 notrack"
            prerouting.append(asked)
            output += [asked, answer]
        }
        if config.podCIDRs.contains(where: \.isV6) {
            prerouting.append("iifname \"\(PodLink.prefix)*\" meta nfproto ipv6 fib saddr . iif oif missing drop")
        }
        for range in config.podCIDRs {
            let inside = (config.clusterCIDRs + config.serviceCIDRs + [range]).filter { $0.isV6 == range.isV6 }
            // nft refuses overlapping intervals in a set written this way, so ranges inside others are left out.
            let ranges = Set(inside.filter { one in !inside.contains { $0 != one && $0.contains(one) } })
            let list = ranges.map(\.description).sorted().joined(separator: ", ")
            let family = word(range.address)
            postrouting.append(
                "oifname != \"lo\" \(family) saddr \(range) \(family) daddr != { \(list) } masquerade fully-random")
        }
        return NftRuleset(
            table, sets: [],
            chains: [
                NftChain("raw_prerouting", hook: "type filter hook prerouting priority -300", rules: prerouting),
                NftChain("raw_output", hook: "type filter hook output priority -300", rules: output),
                NftChain("postrouting", hook: "type nat hook postrouting priority 100", rules: postrouting),
            ])
    }

    private static func word(_ address: IPAddress) -> String { address.isV6 ? "ip6" : "ip" }
}
