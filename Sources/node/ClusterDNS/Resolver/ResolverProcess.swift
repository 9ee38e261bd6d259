// The resolver as a process of its own: `noded dns-resolver --control PATH --sockets N`, with N listening sockets as
// descriptors 3, 4, …. It is started and fed by noded and outlives it; ResolverLoop.swift is what it does.

import Kernel
import System

public enum ResolverProcess {
    /// The name of noded's hidden subcommand for it.
    public static let subcommand = "dns-resolver"

    /// Serves until it is told to stop. The exit code: 0 after a stop, 2 for wrong arguments, 1 for what stands in the
    /// log.
    /// - Parameter arguments: what follows the subcommand.
    public static func run(_ arguments: [String]) -> Int32 {
        guard arguments.count == 4, arguments[0] == "--control", arguments[2] == "--sockets",
            let count = Int32(arguments[3]), (1...32).contains(count)
        else {
            say("usage: \(subcommand) --control PATH --sockets COUNT (started by noded, not by hand)")
            return 2
        }
        let sockets = (3..<(3 + count)).map { SharedDescriptor(FileDescriptor(owning: $0)) }
        do {
            let loop = try ResolverLoop(control: arguments[1], sockets: sockets, say: say)
            try loop.run()
            return 0
        } catch {
            say("\(error)")
            return 1
        }
    }

    /// Whose process this is: a socket pair's peer is ourselves.
    static let user: UInt32 = {
        guard let pair = try? UnixSocket.pair() else { return 0 }
        return withExtendedLifetime(pair) { (try? UnixSocket.peer(pair.0.raw).uid) ?? 0 }
    }()

    private static func say(_ text: String) {
        // Nobody could be told that the log cannot be written.
        let output = try? FileDescriptor.open("/proc/self/fd/2", [.write, .append])
        try? output?.write(all: Array("\(Timestamp.now().rfc3339) dns-resolver: \(text)\n".utf8))
    }
}
