// What the API's measurements share: programs that load a noded over TLS (wrk, curl, and `wire` of this package), and
// bare NIO servers of the same bytes beside it. All with the admin's client certificate, over TLS 1.3, on one machine:
// load and server share its cores, as in the figures of the issue.

import Glibc

struct APILoad {
    let bench: Bench
    let node: Node
    private let base: String

    static let port = 6443
    static let echoPort = 7443

    init(_ node: Node) throws {
        self.node = node
        bench = node.bench
        base = "\(node.bench.directory)/\(node.cgroup)"
        // Makes the PEM files.
        _ = try node.curl([])
    }

    // MARK: - Programs

    /// A product of this package, beside the running one.
    static func product(_ name: String) throws -> String {
        let folder = CommandLine.arguments[0].split(separator: "/", omittingEmptySubsequences: false).dropLast()
        let own = linkTarget("/proc/self/exe") ?? ""
        let path = own.isEmpty ? folder.joined(separator: "/") : String(own[..<(own.lastIndex(of: "/") ?? own.endIndex)])
        guard exists("\(path)/\(name)") else { throw BenchError("\(path)/\(name) is missing: build the whole package") }
        return "\(path)/\(name)"
    }

    private var identity: [String] { ["--cert", "\(base).crt", "--key", "\(base).key"] }

    func wire(_ verb: String, _ options: [String: String], port: Int = APILoad.port) throws -> [String] {
        [try Self.product("wire"), verb, "--port", String(port)] + identity
            + options.flatMap { ["--\($0.key)", $0.value] }
    }

    /// Requests a second by wrk: 2 threads, 16 connections.
    func wrk(_ url: String, seconds: Int) throws -> Double {
        let output = try succeed([
            "env", "LD_PRELOAD=\(try Self.product("libWrkIdentity.so"))", "WRK_CERT=\(base).crt", "WRK_KEY=\(base).key",
            "wrk", "-t2", "-c16", "-d\(seconds)", url,
        ])
        guard !output.contains("Non-2xx"), !output.contains("Socket errors") else {
            throw BenchError("wrk \(url): \(output.split(separator: "\n").suffix(4).joined(separator: " | "))")
        }
        for line in output.split(separator: "\n") where line.hasPrefix("Requests/sec:") {
            if let rate = line.split(separator: " ").last.flatMap({ Double($0) }) { return rate }
        }
        throw BenchError("wrk said nothing of requests a second: \(output)")
    }

    /// Nanoseconds of each of so many transfers over one connection; the first, which connects, is left out.
    func transferTimes(_ url: String, count: Int) throws -> Samples {
        let joint = url.contains("?") ? "&" : "?"
        let output = try succeed(
            node.curl(["-k", "-f", "-o", "/dev/null", "-w", "%{time_total}\\n", "\(url)\(joint)nth=[0-\(count)]"]))
        let times = output.split(separator: "\n").compactMap { Double($0) }.map { UInt64($0 * 1e9) }
        guard times.count == count + 1 else { throw BenchError("curl \(url): \(times.count) of \(count + 1) transfers") }
        return Samples(Array(times.dropFirst()))
    }

    func get(_ path: String, _ options: [String] = []) throws -> String {
        try succeed(node.curl(["-f"] + options + ["\(Node.url)\(path)"]))
    }

    /// POSTs so many numbered bodies by so many clients. Returns requests a second.
    @discardableResult
    func create(
        _ path: String, _ body: String, from: Int, count: Int, clients: Int = 16, options: [String: String] = [:]
    ) throws -> Double {
        let file = "\(base).body"
        try writeBytes(file, Array(body.utf8))
        var all = ["path": path, "body": file, "from": String(from), "count": String(count), "clients": String(clients)]
        all.merge(options) { $1 }
        let port = Int(all.removeValue(forKey: "port") ?? "") ?? APILoad.port
        let facts = try Self.facts(try succeed(wire("write", all, port: port)))
        return Double(count) / (Double(try facts.value("nanoseconds")) / 1e9)
    }

    /// Runs `body` beside a bare server of these bytes, a whole HTTP answer.
    func withEcho<T>(_ answer: String, _ body: (String) throws -> T) throws -> T {
        let file = "\(base).answer"
        try writeBytes(file, Array(answer.utf8))
        let echo = try Child(try wire("echo", ["answer": file], port: APILoad.echoPort), output: .pipe)
        defer { _ = try? echo.stop() }
        var output = Pipe(echo.output)
        try Self.waitForLine("listening", &output, seconds: 10)
        return try body("https://127.0.0.1:\(APILoad.echoPort)")
    }

    // MARK: - Text

    static func waitForLine(_ wanted: String, _ pipe: inout Pipe, seconds: UInt64) throws {
        let end = now() + seconds * 1_000_000_000
        while now() < end, pipe.open {
            try Interrupt.check()
            _ = Pipe.wait(&pipe, milliseconds: 100)
            while let line = pipe.line() { if line == wanted { return } }
        }
        throw BenchError("no line \"\(wanted)\" within \(seconds) s")
    }

    struct Facts {
        let line: String
        func value(_ name: String) throws -> UInt64 {
            for word in line.split(separator: " ") where word.hasPrefix("\(name)=") {
                if let value = UInt64(word.dropFirst(name.count + 1)) { return value }
            }
            throw BenchError("no \(name) in \"\(line)\"")
        }
    }

    /// The last line of `wire`.
    static func facts(_ output: String) throws -> Facts {
        guard let line = output.split(separator: "\n").last else { throw BenchError("wire said nothing") }
        return Facts(line: String(line))
    }

    var resident: UInt64 { ProcessFacts(pid: node.process?.pid ?? 0).residentBytes }

    // MARK: - Objects

    static let configMaps = "/api/v1/namespaces/default/configmaps"

    /// A numbered ConfigMap whose JSON has about so many bytes when it is served.
    static func configMap(_ name: String, bytes: Int) -> String {
        let filler = String(repeating: "v", count: max(0, bytes - 470))
        return """
            {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"\(name)-@@","namespace":"default",\
            "labels":{"app":"bench"}},"data":{"key":"\(filler)"}}
            """
    }
}

func rate(_ value: Double) -> String { decimal(value, value < 100 ? 1 : 0) + "/s" }
