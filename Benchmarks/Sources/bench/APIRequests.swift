// GET, LIST, durable creates and memory of one API server, beside a bare NIO TLS server of the same bytes in the same
// run. A create is acknowledged after its fsync; what a slower disk makes of it is shown with 2 ms added to each sync
// (LD_PRELOAD, the file system is not emulated).

extension Measurement {
    static let apiRequests = Measurement(
        name: "api", summary: "GET/s, a 6 MB LIST, durable creates/s beside bare NIO TLS; memory with 4,100 ConfigMaps"
    ) { bench in
        let seconds = bench.quick ? 1 : 4
        var rows: [Row] = []
        try bench.withNode { node in
            try node.startAndWait()
            let load = try APILoad(node)
            // 4,100 ConfigMaps of 1.46 kB: the 6 MB of the LIST.
            try load.create(APILoad.configMaps, APILoad.configMap("cm", bytes: 1460), from: 0, count: 4100)
            try sleep(milliseconds: 1000)
            let resident = load.resident
            rows.append(
                .judged(
                    "RSS with 4,100 ConfigMaps", megabytes(resident), "of 1.46 kB, 1 s after the last create",
                    mark: "70 MB", met: resident <= 70_000_000))
            rows += try gets(load, seconds)
            rows += try lists(load, rounds: bench.quick ? 4 : 20)
            rows.append(.fact("RSS after GET and LIST", megabytes(load.resident), "the same process"))
        }
        rows += try creates(bench, slow: false)
        rows += try creates(bench, slow: true)
        return rows
    }
}

private let gettingRounds = 4

private func gets(_ load: APILoad, _ seconds: Int) throws -> [Row] {
    let path = "\(APILoad.configMaps)/cm-77"
    var own: [Double] = []
    var bare: [Double] = []
    try load.withEcho(try load.get(path, ["-i"])) { echo in
        // Interleaved, so that what else the machine does falls on both.
        for _ in 0..<gettingRounds {
            own.append(try load.wrk("\(Node.url)\(path)", seconds: seconds))
            bare.append(try load.wrk("\(echo)\(path)", seconds: seconds))
        }
    }
    let (mine, its) = (own.reduce(0, +) / Double(own.count), bare.reduce(0, +) / Double(bare.count))
    return [
        .judged(
            "GET at 16 clients", rate(mine), "\(decimal(mine / its, 2)) of a bare echo's \(rate(its)); \(gettingRounds) x \(seconds) s each",
            mark: "0.6 of echo", met: mine >= 0.6 * its)
    ]
}

private func lists(_ load: APILoad, rounds: Int) throws -> [Row] {
    let answer = try load.get(APILoad.configMaps, ["-i"])
    var own: [UInt64] = []
    var bare: [UInt64] = []
    try load.withEcho(answer) { echo in
        _ = try load.transferTimes("\(Node.url)\(APILoad.configMaps)", count: 3)
        // Interleaved, and over many connections: on which loop, and so beside what, one lands makes half of the time.
        for _ in 0..<rounds {
            own += try load.transferTimes("\(Node.url)\(APILoad.configMaps)", count: 5).sorted
            bare += try load.transferTimes("\(echo)\(APILoad.configMaps)", count: 5).sorted
        }
    }
    let (mine, its) = (Samples(own), Samples(bare))
    let ratio = Double(mine.median) / Double(its.median)
    return [
        .judged(
            "LIST of \(megabytes(UInt64(answer.utf8.count)))", milliseconds(mine.median),
            "\(decimal(ratio, 2)) of a bare echo's \(milliseconds(its.median)); \(mine.spread)",
            mark: "1.4 of echo", met: ratio <= 1.4)
    ]
}

private func creates(_ bench: Bench, slow: Bool) throws -> [Row] {
    let count = (bench.quick ? 3000 : 20_000) / (slow ? 2 : 1)
    return try bench.withNode { node in
        if slow { node.environment = ["LD_PRELOAD=\(try APILoad.product("libWrkIdentity.so"))", "SLOW_SYNC_MS=2"] }
        try node.startAndWait()
        let load = try APILoad(node)
        let body = APILoad.configMap("cm", bytes: 1000)
        // Code and buffers warm.
        try load.create(APILoad.configMaps, body, from: 0, count: 500)
        let result = try load.create(APILoad.configMaps, body, from: 500, count: count)
        let managed = try load.get("\(APILoad.configMaps)/cm-600").contains("\"managedFields\"")
        let what = "\(count) ConfigMaps of 1 kB, " + (managed ? "managedFields kept" : "WITHOUT managedFields")
        if slow { return [.fact("creates, 2 ms more a sync", rate(result), what)] }
        let bare = try load.withEcho(try load.get("\(APILoad.configMaps)/cm-600", ["-i"])) { _ in
            try load.create(
                APILoad.configMaps, body, from: 0, count: count, options: ["port": String(APILoad.echoPort)])
        }
        return [
            .judged(
                "durable creates at 16 clients", rate(result), "\(what); a bare echo of the answers \(rate(bare))",
                mark: "4000/s", met: result >= 4000 && managed)
        ]
    }
}
