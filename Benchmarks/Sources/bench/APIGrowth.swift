// How the cost of a request grows with what is stored: creates/s, GET/s and the time of a page of 500 at 1,000, 10,000
// and 100,000 ConfigMaps of 1 kB; and what 100,000 pods of 6 kB, written as a scheduler and a kubelet would leave them,
// take of memory.

extension Measurement {
    static let apiGrowth = Measurement(
        name: "growth", summary: "creates/s, GET/s, page of 500 and memory at 1,000, 10,000 and 100,000 objects"
    ) { bench in
        let sizes = bench.quick ? [1000, 5000] : [1000, 10_000, 100_000]
        // What a machine does in other seconds is as large as what is looked for: several runs, each with its own ratio.
        let runs = try (0..<(bench.quick ? 1 : 3)).map { _ in
            try bench.withNode { node in
                try node.startAndWait()
                let load = try APILoad(node)
                var points: [Point] = []
                var stored = 0
                for size in sizes {
                    try load.create(
                        APILoad.configMaps, APILoad.configMap("cm", bytes: 1000), from: stored, count: size - stored)
                    stored = size
                    points.append(try Point(load, size, quick: bench.quick))
                    stored += points[points.count - 1].created
                }
                return points
            }
        }
        return runs.flatMap { $0.map(\.row) } + judge(runs)
    }

    static let apiPods = Measurement(
        name: "podstore", summary: "memory with 100,000 stored pods of 6 kB, status and managedFields included"
    ) { bench in
        let count = bench.quick ? 2000 : 100_000
        return try bench.withNode { node in
            try node.startAndWait()
            let load = try APILoad(node)
            let before = load.resident
            let pods = "/api/v1/namespaces/default/pods"
            try load.create(pods, PodBody.spec, from: 0, count: count, clients: 32)
            try load.create(
                "\(pods)/p-@@/status", PodBody.status, from: 0, count: count, clients: 32,
                options: ["method": "PATCH", "type": "application/merge-patch+json"])
            try sleep(milliseconds: 2000)
            let pod = try load.get("\(pods)/p-77")
            let resident = load.resident
            let managed = pod.contains("\"managedFields\"") ? "managedFields kept" : "WITHOUT managedFields"
            let perObject = Double(resident - min(before, resident)) / Double(count)
            return [
                .judged(
                    "RSS with \(count) pods", megabytes(resident),
                    "of \(pod.utf8.count) bytes, \(managed); \(decimal(perObject, 0)) bytes a pod over \(megabytes(before))",
                    mark: "900 MB", met: count == 100_000 && resident <= 900_000_000 && managed.hasPrefix("m")),
            ]
        }
    }
}

private struct Point {
    let size: Int
    let creates: Double
    let gets: Double
    let page: UInt64
    let resident: UInt64
    let created: Int

    init(_ load: APILoad, _ size: Int, quick: Bool) throws {
        self.size = size
        let batch = quick ? 500 : 1500
        var rates: [Double] = []
        for round in 0..<3 {
            // Names of their own in the midst of the others.
            rates.append(
                try load.create(
                    APILoad.configMaps, APILoad.configMap("cn-\(size)", bytes: 1000), from: round * batch, count: batch))
        }
        created = 3 * batch
        creates = rates.sorted()[1]
        gets = try load.wrk("\(Node.url)\(APILoad.configMaps)/cm-500", seconds: quick ? 2 : 6)
        page = try load.transferTimes("\(Node.url)\(APILoad.configMaps)?limit=500", count: quick ? 20 : 100).median
        resident = load.resident
    }

    var row: Row {
        .fact(
            "at \(size) objects", "\(rate(creates)) creates",
            "\(rate(gets)) GET, page of 500 in \(milliseconds(page)) p50, RSS \(megabytes(resident))")
    }
}

/// By the medians over the runs.
private func judge(_ runs: [[Point]]) -> [Row] {
    let ends = runs.compactMap { points in points.first.flatMap { first in points.last.map { (first, $0) } } }
    guard let size = ends.first?.1.size else { return [] }
    func median(_ value: ((Point, Point)) -> Double) -> Double { ends.map(value).sorted()[ends.count / 2] }
    let page = UInt64(median { Double($0.1.page) })
    let parts = [
        ("creates", median { $0.1.creates / $0.0.creates }), ("GET", median { $0.1.gets / $0.0.gets }),
        ("page", median { Double($0.0.page) / Double($0.1.page) }),
    ]
    let worst = parts.map(\.1).min() ?? 0
    return [
        .judged(
            "page of 500 out of \(size)", milliseconds(page), "objects of 1 kB, p50", mark: "5 ms",
            met: page <= 5_000_000),
        .judged(
            "growth to \(size)", decimal(worst, 2) + " of the speed",
            "speed at \(size) in parts of that at \(runs[0][0].size), medians of \(runs.count) runs: "
                + parts.map { "\($0.0) \(decimal($0.1, 2))" }.joined(separator: ", "),
            mark: "0.85", met: worst >= 0.85),
    ]
}

private enum PodBody {
    /// No scheduler and no kubelet takes it: the name of its scheduler is nobody's.
    static let spec: String = {
        let variables = (0..<8).map {
            "{\"name\":\"SETTING_\($0)\",\"value\":\"\(String(repeating: "v", count: 60))\"}"
        }.joined(separator: ",")
        return """
            {"apiVersion":"v1","kind":"Pod","metadata":{"name":"p-@@","namespace":"default","labels":{"app":"bench",\
            "tier":"backend","pod-template-hash":"5d9c7b6f4"},"annotations":{"example.com/checksum":\
            "\(String(repeating: "c", count: 64))"}},"spec":{"schedulerName":"nobody","containers":[{"name":"app",\
            "image":"registry.example.com/team/app:v1.2.3","ports":[{"containerPort":8080}],"env":[\(variables)],\
            "resources":{"requests":{"cpu":"100m","memory":"128Mi"},"limits":{"memory":"256Mi"}},\
            "readinessProbe":{"httpGet":{"path":"/healthz","port":8080}}}]}}
            """
    }()

    static let status = """
        {"status":{"phase":"Running","hostIP":"192.168.88.2","podIP":"10.42.0.9","podIPs":[{"ip":"10.42.0.9"}],\
        "startTime":"2026-01-01T00:00:00Z","conditions":[\
        {"type":"Initialized","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z"},\
        {"type":"Ready","status":"True","lastTransitionTime":"2026-01-01T00:00:01Z"},\
        {"type":"ContainersReady","status":"True","lastTransitionTime":"2026-01-01T00:00:01Z"},\
        {"type":"PodScheduled","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z"}],\
        "containerStatuses":[{"name":"app","ready":true,"restartCount":0,"started":true,\
        "image":"registry.example.com/team/app:v1.2.3","imageID":"sha256:\(String(repeating: "a", count: 64))",\
        "containerID":"noded://\(String(repeating: "b", count: 64))","state":{"running":{"startedAt":"2026-01-01T00:00:01Z"}}}]}}
        """
}
