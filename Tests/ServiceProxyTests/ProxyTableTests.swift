// The data path without a kernel: what Services ask, and whether every packet that may be under way during the
// transactions finds an endpoint. The maps are interpreted as the rules use them.

import Nftables
import Objects
import System
import Testing

@testable import ServiceProxy

func spec(_ service: JSON, _ slices: JSON...) -> ProxyService {
    ProxyService(Service(service), slices: slices.map(EndpointSlice.init), nodeName: "this")
}

private func backends(_ service: ProxyService) -> [[String]] {
    service.targets.sorted { $0.key < $1.key }.map { $0.value.backends.map(\.description) }
}

@Suite struct ProxyServiceTests {
    @Test func readyEndpointsOfAllSlicesAreUsedOnce() {
        let a = slice("web", endpoints(["10.42.0.5", "10.42.0.6"]))
        let b = slice(
            "web", endpoints(["10.42.0.6", "10.42.0.7"]) + [TestEndpoint(address: "10.42.0.8", ready: false)],
            suffix: "2")
        let other = slice("web", endpoints(["10.42.0.9"]), suffix: "3", ports: [("metrics", 9, "TCP")])
        let result = spec(service("web", ["10.43.0.7"]), a, b, other)
        #expect(backends(result) == [["10.42.0.5 . 8080", "10.42.0.6 . 8080", "10.42.0.7 . 8080"]])
        #expect(result.ready.count == 3)
    }

    @Test func terminatingEndpointsServeOnlyWhenNothingBetterIsLeft() {
        let going = TestEndpoint(address: "10.42.0.5", ready: false, serving: true, terminating: true)
        let web = service("web", ["10.43.0.7"])
        let last = spec(web, slice("web", [going]))
        #expect(backends(last) == [["10.42.0.5 . 8080"]])
        #expect(last.ready.isEmpty)
        let two = spec(web, slice("web", [going, TestEndpoint(address: "10.42.0.6")]))
        #expect(backends(two) == [["10.42.0.6 . 8080"]])
    }

    @Test func headlessExternalAndForeignServicesAskNothing() {
        let endpoints = slice("web", endpoints(["10.42.0.5"]))
        #expect(spec(service("web", ["None"]), endpoints).frontends.isEmpty)
        #expect(spec(service("web", ["10.43.0.7"], ["type": "ExternalName"]), endpoints).frontends.isEmpty)
        var foreign = service("web", ["10.43.0.7"])
        foreign.set("metadata", "labels", to: ["service.kubernetes.io/service-proxy-name": "other"])
        #expect(spec(foreign, endpoints).frontends.isEmpty)
    }

    @Test func portsFamiliesAndPoliciesAreKeptApart() {
        let web = service(
            "web", ["10.43.0.7", "fd00:43::7"], ports: [("http", 80, "TCP"), ("dns", 53, "UDP")],
            ["internalTrafficPolicy": "Local"])
        let ports = [("http", 8080, "TCP"), ("dns", 5353, "UDP")]
        let result = spec(
            web,
            slice(
                "web", [TestEndpoint(address: "10.42.0.5"), TestEndpoint(address: "10.42.1.5", node: "that")],
                ports: ports),
            slice("web", endpoints(["fd00:42::5"]), suffix: "6", ports: ports, type: "IPv6"))
        #expect(result.frontends.count == 4)
        #expect(
            backends(result) == [
                ["10.42.0.5 . 5353"], ["fd00:42::5 . 5353"], ["10.42.0.5 . 8080"], ["fd00:42::5 . 8080"],
            ])
    }
}

/// The kernel's maps, changed by transactions, and the walk of a packet through them.
private struct Maps {
    var elements: ProxyTable.Contents = [:]

    mutating func commit(_ transaction: NftTransaction) {
        for command in transaction.commands {
            switch command {
            case .addElements(let set, let added):
                for element in added {
                    let map = Self.map(set)
                    // As the kernel: an element that is there with another value refuses the whole commit.
                    precondition(elements[map]?[element.key] == nil, "\(set) \(element.key) exists")
                    elements[map, default: [:]][element.key] = element.value
                }
            case .deleteElements(let set, let keys):
                for key in keys {
                    precondition(elements[Self.map(set)]?[key] != nil, "\(set) \(key) is missing")
                    elements[Self.map(set)]?[key] = nil
                }
            default: break
            }
        }
    }

    static func map(_ name: String) -> ProxyMap {
        if let fixed = ProxyMap.fixed.first(where: { $0.name == name }) { return fixed }
        let parts = name.dropFirst("endpoints".count).split(separator: "_")
        return .endpoints(Int(parts[1])!, isV6: parts[0] == "6")
    }

    var endpoints4: Int { elements.filter { $0.key.name.hasPrefix("endpoints4") }.reduce(0) { $0 + $1.value.count } }

    func mark(_ key: String) -> UInt32? { elements[.services4]?[key].flatMap { ProxyMark.parse($0) } }

    /// Where a flow with this mark ends, for every random number it may draw.
    func ends(_ mark: UInt32?) -> Set<String> {
        guard let mark, ProxyMark.count(mark) > 0 else { return ["rejected"] }
        guard elements[.picks4]?[ProxyMark.text(UInt32(ProxyMark.count(mark)))] == "goto pick4_\(ProxyMark.count(mark))"
        else {
            return ["no chain"]
        }
        return Set(
            (0..<ProxyMark.count(mark)).map {
                elements[.endpoints(ProxyMark.count(mark), isV6: false)]?["\(ProxyMark.text(mark)) . \($0)"]
                    ?? "dropped"
            })
    }
}

@Suite struct ProxyTableTests {
    private static let key = "10.43.0.7 . 6 . 80"

    private func web(_ addresses: [String], _ more: [String: JSON] = [:]) -> ProxyService {
        spec(service("web", ["10.43.0.7"], more), slice("web", endpoints(addresses)))
    }

    @Test func changesCostOnlyWhatDiffers() {
        var table = ProxyTable(contents: [:])
        let pods = (1...3).map { "10.42.0.\($0)" }
        let first = table.apply(["web": web(pods)])
        #expect(first.prepare.elementCount == 3 + 1 && first.change.elementCount == 1)
        #expect(table.apply(["web": web(pods)]).isEmpty)
        // One pod replaced: one element out, one in, under the same key; Services untouched.
        let replaced = table.apply(["web": web(["10.42.0.1", "10.42.0.9", "10.42.0.3"])])
        #expect(replaced.prepare.elementCount == 2 && replaced.change.isEmpty)
        // One more: N + 1 under the new N, then the switch, then the old ones.
        let grown = table.apply(["web": web(["10.42.0.1", "10.42.0.9", "10.42.0.3", "10.42.0.4"])])
        #expect(grown.prepare.elementCount == 4 + 1 && grown.change.elementCount == 2)
        #expect(table.collect().elementCount == 3)
        #expect(table.collect().isEmpty)
        let gone = table.apply(["web": nil])
        #expect(gone.prepare.isEmpty && gone.change.elementCount == 1)
        #expect(table.collect().elementCount == 4)
    }

    /// A packet may read its mark before a commit and its endpoint after it.
    @Test func noPacketUnderWayIsLost() {
        var generator = SystemRandomNumberGenerator()
        var table = ProxyTable(contents: [:])
        var maps = Maps()
        var current: Set<String> = []
        for round in 0..<400 {
            let old = current
            let count = Int.random(in: 0...6, using: &generator)
            current = Set((1...10).shuffled(using: &generator).prefix(count).map { "10.42.0.\($0) . 8080" })
            let plan = table.apply([
                "web": web(current.map { String($0.prefix { $0 != " " }) }), "other\(round % 7)": web([]).moved(round),
            ])
            var allowed = old.union(current)
            if old.isEmpty || current.isEmpty { allowed.insert("rejected") }
            var transactions = [plan.prepare, plan.change]
            if Bool.random(using: &generator) { transactions.append(table.collect()) }
            for (step, transaction) in transactions.enumerated() {
                let before = maps.mark(Self.key)
                maps.commit(transaction)
                // In flight over this commit; over the garbage's, 20 ms later, nothing is.
                if step < 2 { #expect(maps.ends(before).isSubset(of: allowed), "round \(round) step \(step)") }
                #expect(maps.ends(maps.mark(Self.key)).isSubset(of: allowed), "round \(round) step \(step)")
            }
            #expect(maps.ends(maps.mark(Self.key)) == (current.isEmpty ? ["rejected"] : current))
            #expect(maps.elements.filter { !$0.value.isEmpty } == table.contents.filter { !$0.value.isEmpty })
        }
        // Nothing piles up: elements of the current N, one mark per frontend.
        let end = table.apply(Dictionary(uniqueKeysWithValues: (0..<7).map { ("other\($0)", nil) }))
        [end.prepare, end.change, table.collect()].forEach { maps.commit($0) }
        #expect(maps.endpoints4 == current.count)
        #expect(maps.elements[.services4]?.count == 1)
    }

    @Test func aRestartAdoptsWhatIsThereAndSweepsTheRest() {
        var before = ProxyTable(contents: [:])
        _ = before.apply([
            "web": web(["10.42.0.1", "10.42.0.2"]),
            "old": spec(service("old", ["10.43.0.8"]), slice("old", endpoints(["10.42.0.3"]))),
        ])
        // Killed between the switch and the garbage.
        _ = before.apply(["web": web(["10.42.0.1", "10.42.0.2", "10.42.0.4"])])
        var maps = Maps(elements: before.contents)
        let ends = maps.ends(maps.mark(Self.key))

        var after = ProxyTable(contents: before.contents)
        let same = after.apply(["web": web(["10.42.0.1", "10.42.0.2", "10.42.0.4"])])
        #expect(same.isEmpty)
        let sweep = after.sweep()
        #expect(sweep.prepare.isEmpty && sweep.change.elementCount == 1)
        maps.commit(sweep.change)
        maps.commit(after.collect())
        #expect(maps.ends(maps.mark(Self.key)) == ends)
        #expect(maps.endpoints4 == 3)
        #expect(maps.mark("10.43.0.8 . 6 . 80") == nil)
        // A new target never gets an id that a packet under way may still carry.
        _ = after.apply(["new": spec(service("new", ["10.43.0.9"]), slice("new", endpoints(["10.42.0.5"])))])
        #expect(
            ProxyMark.id(ProxyMark.parse(after.contents[.services4]!["10.43.0.9 . 6 . 80"]!)!)
                != ProxyMark.id(maps.mark(Self.key)!))
    }

    @Test func anAddressThatMovesToAnotherServiceStaysServed() {
        var table = ProxyTable(contents: [:])
        _ = table.apply(["web": web(["10.42.0.1"])])
        let heir = spec(service("a-heir", ["10.43.0.7"]), slice("a-heir", endpoints(["10.42.0.2"])))
        _ = table.apply(["a-heir": heir, "web": nil])
        let maps = Maps(elements: table.contents)
        #expect(maps.ends(maps.mark(Self.key)) == ["10.42.0.2 . 8080"])
    }

    @Test func udpChangesNameTheFlowsToEnd() {
        func dns(_ addresses: [String]) -> ProxyService {
            spec(
                service("dns", ["10.43.0.7"], ports: [("dns", 53, "UDP")]),
                slice("dns", endpoints(addresses), ports: [("dns", 53, "UDP")]))
        }
        var table = ProxyTable(contents: [:])
        // A flow that began before its Service existed is bound to nobody.
        #expect(table.apply(["dns": dns(["10.42.0.1", "10.42.0.2"])]).staleUDP.count == 1)
        #expect(table.apply(["dns": dns(["10.42.0.1", "10.42.0.2"])]).staleUDP.isEmpty)
        let less = table.apply(["dns": dns(["10.42.0.1"])]).staleUDP
        #expect(less.count == 1 && less[0].departed.map(\.description) == ["10.42.0.2 . 53"])
        #expect(table.apply(["web": web(["10.42.0.1"])]).staleUDP.isEmpty)
    }

    @Test func aRestartKnowsTheFlowsOfPodsThatLeftMeanwhile() {
        func dns(_ addresses: [String], port: Int = 30053) -> ProxyService {
            var json = service("dns", ["10.43.0.7"], ports: [("dns", 53, "UDP")], ["type": "NodePort"])
            json["spec"]?["ports"]?[0]?["nodePort"] = .int(Int64(port))
            return spec(json, slice("dns", endpoints(addresses), ports: [("dns", 53, "UDP")]))
        }
        func departed(_ checks: [UDPCheck], port: UInt16) -> Set<String> {
            Set(
                checks.filter { $0.frontend == .nodePort(isV6: false, .udp, port: port) }.flatMap(\.departed).map(
                    \.description))
        }
        var before = ProxyTable(contents: [:])
        _ = before.apply(["dns": dns(["10.42.0.1", "10.42.0.2"])])
        var after = ProxyTable(contents: before.contents)
        #expect(departed(after.apply(["dns": dns(["10.42.0.1"])]).staleUDP, port: 30053) == ["10.42.0.2 . 53"])
        // Its node port is another one since, or it is gone.
        var moved = ProxyTable(contents: before.contents)
        _ = moved.apply(["dns": dns(["10.42.0.1"], port: 30054)])
        #expect(departed(moved.sweep().staleUDP, port: 30053) == ["10.42.0.1 . 53", "10.42.0.2 . 53"])
        var gone = ProxyTable(contents: before.contents)
        let checks = gone.sweep().staleUDP
        #expect(departed(checks, port: 30053) == ["10.42.0.1 . 53", "10.42.0.2 . 53"])
        #expect(
            checks.contains { $0.frontend == .address(IPAddress("10.43.0.7")!, .udp, port: 53) && $0.valid.isEmpty })
    }

    @Test func clientsAreRememberedOnlyWithBackendsThatTheyMayStayWith() throws {
        let affine: [String: JSON] = ["sessionAffinity": "ClientIP"]
        func id(_ table: ProxyTable) throws -> UInt32 {
            ProxyMark.id(try #require(table.contents[.services4]?[Self.key].flatMap { ProxyMark.parse($0) }))
        }
        let one = try #require(ProxyTable.backend("10.42.0.1 . 8080"))
        var table = ProxyTable(contents: [:])
        _ = table.apply(["web": web(["10.42.0.1", "10.42.0.2"], affine)])
        let web1 = try id(table)
        #expect(table.keeps(web1, one) && !table.keeps(web1 + 1, one))
        #expect(!table.apply(["web": web(["10.42.0.1", "10.42.0.2", "10.42.0.3"], affine)]).endsAffinity)
        #expect(table.apply(["web": web(["10.42.0.2"], affine)]).endsAffinity)
        #expect(!table.keeps(web1, one))
        // Off: whoever is remembered would be sent there when it is on again, whatever became of that pod.
        let off = table.apply(["web": web(["10.42.0.2"])])
        #expect(off.endsAffinity && table.contents[.sticks]?.isEmpty != false)
        #expect(table.contents[.affine4]?.isEmpty != false)
        _ = table.apply(["web": web(["10.42.0.2"], affine)])
        #expect(table.apply(["web": nil]).endsAffinity)
        #expect(table.contents[.sticks]?.isEmpty != false)

        // The next life: its ids are not those under which the kernel remembers somebody.
        var next = ProxyTable(contents: [:])
        next.adopt([:], remembered: [1, 2, web1])
        _ = next.apply(["web": web(["10.42.0.9"], affine)])
        #expect(try ![1, 2, web1].contains(id(next)))
    }

    @Test func slotsStay() {
        let all = (0..<10).map { Backend(address: .v4($0), port: 80) }
        #expect(
            ProxyTable.arrange([all[0], all[2], all[5]], before: [all[0], all[1], all[2]]) == [all[0], all[5], all[2]])
        #expect(ProxyTable.arrange([all[2]], before: [all[0], all[1], all[2]]) == [all[2]])
        #expect(ProxyTable.arrange([], before: all) == [])
    }
}

extension ProxyService {
    /// The same under another address, to keep the table busy with others.
    fileprivate func moved(_ round: Int) -> ProxyService {
        spec(
            service("other\(round % 7)", ["10.43.1.\(round % 7)"]),
            slice("other\(round % 7)", endpoints((0..<round % 4).map { "10.42.3.\($0)" })))
    }
}
