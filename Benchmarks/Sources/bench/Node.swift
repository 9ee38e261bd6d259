// One noded under test: its command line, its credentials, how to ask its API with curl, how to remove it.

import Glibc

final class Node {
    static let url = "https://127.0.0.1:6443"
    static let nodeName = "n1"
    static let image = "ghcr.io/company/web-app:v1.0.0"

    let bench: Bench
    let dataDirectory: String
    let cgroup: String
    /// NAME=VALUE for the next start.
    var environment: [String] = []
    private let log: String
    private(set) var process: Child?

    init(bench: Bench, number: Int) {
        self.bench = bench
        dataDirectory = "\(bench.directory)/node\(number)"
        cgroup = "\(bench.name)-\(number)"
        log = "\(bench.directory)/node\(number).log"
    }

    var kubeconfig: String { "\(dataDirectory)/admin.kubeconfig" }

    /// Returns at once; the moment before is when the start counts from.
    func start() throws {
        let arguments = ["run", "--data-dir", dataDirectory, "--cgroup", cgroup, "--node-name", Self.nodeName]
        let program = environment.isEmpty ? [bench.binary] : ["env"] + environment + [bench.binary]
        process = try Child(program + arguments, output: .file(log), errors: .file(log))
    }

    /// SIGTERM, as a service manager does; pods keep running. Returns the nanoseconds until it was gone.
    @discardableResult
    func stop() throws -> UInt64 {
        guard let process else { return 0 }
        let start = now()
        let willing = try process.stop()
        self.process = nil
        guard willing else { throw BenchError("noded did not end within 20 s of SIGTERM") }
        return now() - start
    }

    func checkAlive() throws {
        if let process, process.hasEnded { throw BenchError("noded ended by itself, exit \(try process.wait())") }
    }

    /// The end of the log, for errors.
    var lastWords: String {
        let lines = ((try? readText(log)) ?? "").split(separator: "\n").suffix(3)
        return lines.isEmpty ? "" : " -- noded said: " + lines.joined(separator: " | ")
    }

    /// Pods, network, cgroups, files. Works in any state.
    func remove() throws {
        let stopped = Result { try stop() }
        if exists(dataDirectory) {
            try succeed([bench.binary, "reset", "--data-dir", dataDirectory, "--cgroup", cgroup, "--yes"])
        }
        _ = try stopped.get()
    }

    /// Makes the demo's image and imports it; noded may run or not.
    func importImage() throws {
        let archive = "\(bench.directory)/image.tar"
        if !exists(archive) { try succeed(["\(Bench.repository)/scripts/demo/image", archive, "v1.0.0"]) }
        try succeed([bench.binary, "image", "import", archive, "--data-dir", dataDirectory])
    }

    var processes: NodedProcesses {
        NodedProcesses(main: process?.pid ?? 0, dataDirectory: dataDirectory, cgroup: cgroup)
    }

    // MARK: - The API

    /// curl with the admin's certificate. Call after the kubeconfig exists.
    func curl(_ arguments: [String]) throws -> [String] {
        let base = "\(bench.directory)/\(cgroup)"
        if !exists("\(base).key") {
            let text = try readText(kubeconfig)
            for (key, file) in [
                ("certificate-authority-data", "ca"), ("client-certificate-data", "crt"), ("client-key-data", "key"),
            ] {
                let line = text.split(separator: "\n").first { $0.contains("\(key): ") }
                guard let value = line?.split(separator: " ").last else {
                    throw BenchError("no \(key) in \(kubeconfig)")
                }
                let decoded = try succeed(["base64", "--decode"], input: String(value))
                try writeBytes("\(base).\(file)", Array(decoded.utf8))
            }
        }
        // The bare server beside noded speaks HTTP/1.1 only, and its answers are noded's, byte for byte.
        return ["curl", "-sS", "--http1.1", "--cacert", "\(base).ca", "--cert", "\(base).crt", "--key", "\(base).key"] + arguments
    }

    /// Starts and waits until the node is Ready.
    func startAndWait(seconds: UInt64 = 30) throws {
        try start()
        let end = now() + seconds * 1_000_000_000
        while true {
            try sleep(milliseconds: 50)
            try checkAlive()
            guard now() < end else { throw BenchError("the node was not Ready within \(seconds) s") }
            guard exists(kubeconfig) else { continue }
            let answer = try runToEnd(curl(["\(Self.url)/api/v1/nodes/\(Self.nodeName)"]))
            if answer.code == 0, Self.isReady(JSON(answer.output), since: "") { return }
        }
    }

    /// Whether a Node object says Ready by a heartbeat at or after `since` (RFC 3339 in UTC with whole seconds,
    /// which sorts as text; "": any).
    static func isReady(_ node: JSON?, since: String) -> Bool {
        let conditions = node?["status"]?["conditions"]?.array ?? []
        guard let ready = conditions.first(where: { $0["type"]?.string == "Ready" }) else { return false }
        return ready["status"]?.string == "True" && (ready["lastHeartbeatTime"]?.string ?? "") >= since
    }
}
