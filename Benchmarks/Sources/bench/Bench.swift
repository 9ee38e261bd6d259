// The place where measurements run: a network namespace with an address of its own, and a temporary directory. Both go
// when the benchmark ends, also after an error or Ctrl-C. (After kill -9: `ip netns delete noded-bench-PID`.)
//
// This thread enters the namespace by setns(2) and everything it spawns is born there. `ip netns exec` would not do: it
// mounts a fresh /sys, which hides the cgroup tree.

internal import CBench
import Glibc

final class Bench {
    let binary: String
    let quick: Bool
    let directory: String
    let name = "noded-bench-\(getpid())"
    private let home: Int32
    private var nodes = 0

    /// The repository, known from where this file was compiled.
    static let repository = #filePath.split(separator: "/").dropLast(4).reduce("") { "\($0)/\($1)" }

    init(binary: String, quick: Bool) throws {
        guard let path = realpath(binary, nil) else { throw BenchError.call("find", binary) }
        defer { free(path) }
        self.binary = String(cString: path)
        self.quick = quick
        guard access(self.binary, X_OK) == 0 else { throw BenchError.call("execute", self.binary) }
        directory = "/var/tmp/\(name)"
        home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
        guard mkdir(directory, 0o700) == 0 else { throw BenchError.call("mkdir", directory) }
        do {
            try enterNetwork()
        } catch {
            close()
            throw error
        }
    }

    /// Two ends of a veth pair, so that the address lies on a link that is up.
    private func enterNetwork() throws {
        try succeed(["ip", "netns", "add", name])
        let namespace = open("/run/netns/\(name)", O_RDONLY | O_CLOEXEC)
        guard namespace >= 0, bench_enter_network(namespace) == 0 else { throw BenchError.call("enter", name) }
        Glibc.close(namespace)
        try succeed(["ip", "link", "set", "lo", "up"])
        try succeed(["ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1"])
        try succeed(["ip", "address", "add", "192.168.88.2/24", "dev", "up0"])
        try succeed(["ip", "link", "set", "up0", "up"])
        try succeed(["ip", "link", "set", "up1", "up"])
    }

    func close() {
        if home >= 0 {
            _ = bench_enter_network(home)
            Glibc.close(home)
        }
        if exists("/run/netns/\(name)") { _ = try? runToEnd(["ip", "netns", "delete", name]) }
        _ = try? runToEnd(["rm", "-rf", "--one-file-system", directory])
    }

    /// Gives `body` a noded that was never started; whatever it did, nothing of it is left afterwards.
    func withNode<Result>(_ body: (Node) throws -> Result) throws -> Result {
        nodes += 1
        let node = Node(bench: self, number: nodes)
        let result: Result
        do {
            result = try body(node)
        } catch {
            let said = node.lastWords
            try? node.remove()
            throw BenchError("\(error)\(said)")
        }
        try node.remove()
        return result
    }
}
