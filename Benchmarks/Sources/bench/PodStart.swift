// From the sending of a pod to its Running on a watch; the image is there; 50 pods one after another, all of which keep
// running. What curl needs to start, connect and shake hands is not in it, and is shown beside it.

extension Measurement {
    static let podStart = Measurement(
        name: "pods", summary: "pod create to Running, 50 pods one after another, image present"
    ) { bench in
        try bench.withNode { node in
            try node.startAndWait()
            try node.importImage()
            let pods = try Pods(node)
            var times: [UInt64] = []
            for number in 1...(bench.quick ? 5 : 50) { times.append(try pods.create("bench-\(number)")) }
            var curls: [UInt64] = []
            for _ in 0..<(bench.quick ? 3 : 20) {
                let start = now()
                try succeed(node.curl(["-o", "/dev/null", "\(Node.url)/version"]))
                curls.append(now() - start)
            }
            try pods.deleteAll()
            let (run, curl) = (Samples(times), Samples(curls))
            return [
                .judged(
                    "pod create to Running, p50", milliseconds(run.median), run.spread,
                    mark: "150 ms", met: run.median <= 150_000_000),
                .fact("pod create to Running, p99", milliseconds(run.percentile(99)), "nearest rank of \(run.count)"),
                .fact("a whole curl", milliseconds(curl.median), "\(curl.spread); not in the figures above"),
            ]
        }
    }
}
