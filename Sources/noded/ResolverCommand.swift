// `noded dns-resolver`: the process that answers cluster names, started by noded itself (Sources/node/ClusterDNS).

import ArgumentParser
import ClusterDNS
import Glibc

struct ResolverCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: ResolverProcess.subcommand, abstract: "Answer cluster names; started by noded.",
        shouldDisplay: false)

    @Argument(parsing: .captureForPassthrough)
    var arguments: [String] = []

    func run() {
        Glibc.exit(ResolverProcess.run(arguments))
    }
}
