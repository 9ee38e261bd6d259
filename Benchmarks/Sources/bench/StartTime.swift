// From `noded run` to /readyz 200 and to node Ready: fresh (empty data directory) and again on the same data.
//
// One curl asks again and again over one connection (--rate 500/s: every 2 ms), so no process start falls into the
// time. The one for /readyz runs before noded does and is refused until noded listens. The one for the Node object
// needs the admin's certificate: in a fresh start it is spawned when the kubeconfig appears, so a node that is Ready
// within the 10 to 20 ms that curl needs is seen that much late. Ready counts by a heartbeat of this start: a restart
// would otherwise see what the last one left.

import Glibc

extension Measurement {
    static let startTime = Measurement(
        name: "start", summary: "noded run to /readyz and to node Ready, fresh and restarted"
    ) { bench in
        let runs = bench.quick ? 2 : 5
        var fresh: [StartTimes] = []
        var again: [StartTimes] = []
        var stops: [UInt64] = []
        for _ in 0..<runs {
            try bench.withNode { node in
                fresh.append(try StartTimes(of: node))
                stops.append(try node.stop())
                // Heartbeats have whole seconds: the last one must lie before the second in which the next start falls.
                try sleep(milliseconds: 1100)
                again.append(try StartTimes(of: node))
            }
        }
        var rows: [Row] = []
        for (name, times) in [("fresh", fresh), ("restart", again)] {
            let (readyz, ready) = (Samples(times.map(\.readyz)), Samples(times.map(\.ready)))
            rows.append(
                .judged(
                    "run to /readyz, \(name)", milliseconds(readyz.median), "\(readyz.spread); polled every 2 ms",
                    mark: "0.5 s", met: readyz.median <= 500_000_000))
            rows.append(
                .judged(
                    "run to node Ready, \(name)", milliseconds(ready.median), "\(ready.spread); polled every 2 ms",
                    mark: "2 s", met: ready.median <= 2_000_000_000))
        }
        let stop = Samples(stops)
        rows.append(.fact("SIGTERM to gone", milliseconds(stop.median), stop.spread))
        return rows
    }
}

private struct StartTimes {
    var readyz: UInt64 = 0
    var ready: UInt64 = 0

    init(of node: Node) throws {
        // Without a certificate: /readyz answers everybody. The status goes to standard error, which is not buffered.
        // A request that hangs is given up after a second, so that it is seen as a start of a second, not as none.
        let rate = ["--rate", "500/s", "--max-time", "1"]
        let probe = try Child(
            ["curl", "-s", "-k", "-o", "/dev/null", "-w", "%{stderr}%{http_code}\\n"] + rate
                + ["\(Node.url)/readyz?[1-100000]"], errors: .pipe)
        try sleep(milliseconds: 100)
        var health = Pipe(probe.errors)
        var body = Pipe(-1)
        var last = "none"
        var reader: Child?
        let wall = wallTime()
        let start = now()
        try node.start()
        while readyz == 0 || ready == 0 {
            try Interrupt.check()
            try node.checkAlive()
            guard now() - start < 60_000_000_000 else {
                let missing = readyz == 0 ? "/readyz was not 200" : "no Ready with a heartbeat since \(wall) was seen"
                throw BenchError("60 s after the start: \(missing); the last answer about the node: \(last)")
            }
            if reader == nil, exists(node.kubeconfig) {
                let arguments = ["-w", "\\n"] + rate + ["\(Node.url)/api/v1/nodes/\(Node.nodeName)?[1-100000]"]
                // Unbuffered, so that the line end after a body comes with it.
                let child = try Child(["stdbuf", "-o0"] + node.curl(arguments), output: .pipe)
                (body, reader) = (Pipe(child.output), child)
            }
            if readyz == 0, Pipe.wait(&health, milliseconds: 1) {
                let seen = now()
                while let line = health.line() { if line == "200", readyz == 0 { readyz = seen - start } }
            }
            guard reader != nil, Pipe.wait(&body, milliseconds: 1) else { continue }
            let seen = now()
            while let line = body.line() {
                last = line
                if ready == 0, Node.isReady(JSON(line), since: wall) { ready = seen - start }
            }
        }
    }
}
