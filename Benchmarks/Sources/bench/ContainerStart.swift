// `true` in a container: from the request to its exit seen, beside crun and runc. Runs are interleaved (a few of
// each, round after round), so that a change of the machine's mood meets all alike; every run must exit 0.
//
// noded starts containers in its own process through the pod's supervisor; there is no program to call for one
// container. `noded bench-container --root DIR --runs N` makes a pod, runs `/bin/true` from the plain root DIR in it N
// times, and prints the nanoseconds of each. A peer is a program: its figure is from its spawning to its end, as its
// callers pay it.

import Glibc

extension Measurement {
    static let containerStart = Measurement(
        name: "container", summary: "`true` in a container, request to exit seen, beside crun and runc"
    ) { bench in
        let (rounds, each) = bench.quick ? (3, 3) : (10, 10)
        let bundle = try Bundle(directory: "\(bench.directory)/bundle")
        var noded = Contender(name: "container, noded")
        var peers: [(Contender, Peer)] = Peer.all.map { (Contender(name: "container, \($0.name)"), $0) }
        try PeerNamespace.run {
            let sandbox = try Sandbox()
            try bundle.write(sandbox)
            for round in 0...rounds {
                // Round 0 warms the caches and counts for nobody.
                let count = round == 0 ? 1 : each
                noded.add(count: round == 0 ? 0 : count) {
                    try nodedTimes(bench, root: bundle.root, runs: count)
                }
                for index in peers.indices {
                    let peer = peers[index].1
                    peers[index].0.add(count: round == 0 ? 0 : count) {
                        try (0..<count).map { try peer.time(bundle, "\(bench.name)-\(round)-\($0)") }
                    }
                }
                try Interrupt.check()
            }
        }
        return rows(noded, peers.map(\.0))
    }

    private static func rows(_ noded: Contender, _ peers: [Contender]) -> [Row] {
        let own = noded.samples
        var rows: [Row] = []
        if let own, let crun = peers[0].samples {
            let met = own.median < crun.median
            rows.append(.judged(noded.name, milliseconds(own.median), own.spread, mark: "below crun", met: met))
        } else if let own {
            rows.append(.fact(noded.name, milliseconds(own.median), own.spread))
        } else {
            rows.append(.notMeasured(noded.name, noded.failure ?? "no runs"))
        }
        for peer in peers {
            guard let samples = peer.samples else {
                rows.append(.notMeasured(peer.name, peer.failure ?? "no runs"))
                continue
            }
            let ratio = own.map { "; \(decimal(Double(samples.median) / Double($0.median), 1)) x noded's" } ?? ""
            rows.append(.fact(peer.name, milliseconds(samples.median), samples.spread + ratio))
        }
        return rows
    }

    private static func nodedTimes(_ bench: Bench, root: String, runs: Int) throws -> [UInt64] {
        let result = try runToEnd([bench.binary, "bench-container", "--root", root, "--runs", "\(runs)"])
        guard result.code == 0 else {
            let reason = result.errors.split(separator: "\n").first.map(String.init) ?? "no reason given"
            throw BenchError("noded bench-container: exit \(result.code): \(reason)")
        }
        let times = result.output.split(separator: "\n").compactMap { UInt64($0) }
        guard times.count == runs else {
            throw BenchError("noded bench-container printed \(times.count) times for \(runs) runs")
        }
        return times
    }
}

/// The times of one of those compared; its first failure ends its part in it, not that of the others.
private struct Contender {
    let name: String
    var times: [UInt64] = []
    var failure: String?

    var samples: Samples? { failure == nil && !times.isEmpty ? Samples(times) : nil }

    /// `count` 0: a warm-up, not counted, but its failure is.
    mutating func add(count: Int, _ measure: () throws -> [UInt64]) {
        guard failure == nil else { return }
        do {
            let measured = try measure()
            if count > 0 { times += measured }
        } catch {
            failure = "\(error)"
        }
    }
}
