// The command: `noded SUBCOMMAND`. Each subcommand has a file; what they share is in `Settings`.
//
// Exit codes: 0 done; 1 it could not be done, with one line on stderr that says what, where and what to do;
// 64 the command line is wrong (sysexits.h EX_USAGE).

import ArgumentParser
import Glibc

@main
struct Noded: AsyncParsableCommand {
    static let version = "v1.36.1+noded.1"

    static let configuration = CommandConfiguration(
        commandName: "noded",
        abstract: "A Kubernetes node, or a whole cluster, in one small program.",
        discussion: """
            noded runs containers itself, gives them a network, and serves the Kubernetes API to kubectl. `noded run` \
            starts a cluster of one; its admin kubeconfig is DATA-DIR/admin.kubeconfig.
            """,
        version: "noded \(version)",
        subcommands: [
            RunCommand.self, ImageCommand.self, CheckCommand.self, StoreCommand.self,
            BackupCommand.self, RestoreCommand.self, ResetCommand.self, VersionCommand.self,
            ResolverCommand.self, BenchContainerCommand.self,
        ])
}

struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "version", abstract: "Print the version and the API level it serves.")

    func run() {
        print("noded \(Noded.version)")
    }
}

/// What ends a command with one line and exit code 1.
struct StartFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// Prints `error: …` and ends the process with code 1.
func fail(_ error: any Error) -> Never {
    note("error: \(error)")
    exit(1)
}

/// One line for whoever sits there, beside what goes to standard output for programs.
func note(_ text: String) {
    let line = Array("\(text)\n".utf8)
    _ = write(2, line, line.count)
}
