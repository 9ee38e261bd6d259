// A thousand watchers: at 50 changes a second each must get every one in order; and as fast as it goes, beside a bare
// NIO TLS server that writes the same frames to as many clients, one write a frame. The clients read on one thread of
// the same machine.

extension Measurement {
    static let apiWatch = Measurement(
        name: "watch", summary: "1,000 watchers: 50 changes a second to each, and as many as go, beside a bare broadcaster"
    ) { bench in
        let clients = bench.quick ? 200 : 1000
        return try bench.withNode { node in
            try node.startAndWait()
            let load = try APILoad(node)
            let body = APILoad.configMap("w", bytes: 1000)
            try load.create(APILoad.configMaps, body, from: 0, count: 1)
            let paced = try watched(load, clients, bench.quick ? 150 : 500, from: 1, rate: 50)
            let fast = try watched(load, clients, bench.quick ? 300 : 1000, from: 2000, rate: 0)
            let bare = try broadcast(load, clients, bench.quick ? 300 : 1000)
            let ratio = fast.rate / bare.rate
            return [
                .judged(
                    "\(clients) watchers at 50/s", "\(decimal(paced.rate / Double(clients), 1))/s each",
                    "\(paced.lost) lost, \(paced.disordered) out of order, of \(paced.expected)",
                    mark: "none lost", met: paced.isExact && paced.rate / Double(clients) >= 49),
                .judged(
                    "\(clients) watchers, flat out", rate(fast.rate),
                    "\(decimal(ratio, 2)) of a bare broadcaster's \(rate(bare.rate)); \(fast.lost) lost, "
                        + "\(fast.disordered) out of order; RSS \(megabytes(load.resident))",
                    mark: "0.5 of bare", met: ratio >= 0.5 && fast.isExact),
            ]
        }
    }
}

private struct Watched {
    let expected: UInt64
    let lines: UInt64
    let disordered: UInt64
    let nanoseconds: UInt64

    init(_ facts: APILoad.Facts) throws {
        expected = try facts.value("expected")
        lines = try facts.value("lines")
        disordered = try facts.value("disordered")
        nanoseconds = try facts.value("nanoseconds")
    }

    var lost: UInt64 { expected > lines ? expected - lines : 0 }
    var isExact: Bool { lines == expected && disordered == 0 }
    /// Frames a second, all watchers together.
    var rate: Double { Double(lines) / (Double(max(nanoseconds, 1)) / 1e9) }
}

private func watched(_ load: APILoad, _ clients: Int, _ count: Int, from: Int, rate: Int) throws -> Watched {
    let list = JSON(try load.get("\(APILoad.configMaps)?limit=1"))
    guard let version = list?["metadata"]?["resourceVersion"]?.string else { throw BenchError("a list without version") }
    let options = [
        "path": "\(APILoad.configMaps)?watch=1&resourceVersion=\(version)", "clients": String(clients),
        "count": String(count), "seconds": "90",
    ]
    let watch = try Child(try load.wire("watch", options), output: .pipe, errors: .null)
    var output = Pipe(watch.output)
    try APILoad.waitForLine("ready", &output, seconds: 60)
    let writers = rate > 0 ? ["rate": String(rate)] : [:]
    try load.create(
        APILoad.configMaps, APILoad.configMap("w", bytes: 1000), from: from, count: count, clients: rate > 0 ? 4 : 16,
        options: writers)
    return try result(&output, watch)
}

private func broadcast(_ load: APILoad, _ clients: Int, _ count: Int) throws -> Watched {
    let object = try load.get("\(APILoad.configMaps)/w-0")
    let line = "{\"type\":\"ADDED\",\"object\":\(object)}\n"
    let file = "\(load.bench.directory)/frame"
    try writeBytes(file, Array("\(String(line.utf8.count, radix: 16))\r\n\(line)\r\n".utf8))
    let server = try Child(
        try load.wire(
            "broadcast", ["frame": file, "clients": String(clients), "count": String(count)], port: APILoad.echoPort),
        output: .pipe)
    defer { _ = try? server.stop() }
    var listening = Pipe(server.output)
    try APILoad.waitForLine("listening", &listening, seconds: 10)
    let options = [
        "path": "/", "clients": String(clients), "count": String(count), "seconds": "90", "ordered": "0",
    ]
    let watch = try Child(try load.wire("watch", options, port: APILoad.echoPort), output: .pipe)
    var output = Pipe(watch.output)
    return try result(&output, watch)
}

private func result(_ output: inout Pipe, _ watch: Child) throws -> Watched {
    var last = ""
    while output.open {
        try Interrupt.check()
        _ = Pipe.wait(&output, milliseconds: 200)
        while let line = output.line() { last = line }
    }
    guard try watch.wait() == 0 else { throw BenchError("the watchers ended: \(last)") }
    return try Watched(APILoad.Facts(line: last))
}
