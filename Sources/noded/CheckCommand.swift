// `noded check`: what this machine has of what noded needs, one line a fact, with the fix where one is missing.

import ArgumentParser
import Cgroups
import Glibc
import Kernel
import System

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Say what this machine has of what noded needs; changes nothing.")

    func run() throws {
        let features = KernelFeatures.probe()
        print("kernel     \(features.release) \(features.machine)")
        print("cgroup v2  \(features.cgroup2 ?? "not mounted")")
        let problems = features.problems
        for problem in problems { print("missing    \(problem)") }
        if let tree = try? CgroupTree.find() {
            for missing in tree.missing() { print("limited    \(missing)") }
        }
        guard problems.isEmpty else {
            print("noded cannot run pods here until the above is mended")
            throw ExitCode(1)
        }
        print("ok         noded can run pods here")
    }
}

enum Preflight {
    /// Throws one line about the first thing that keeps the node role from working.
    static func require() throws {
        guard getuid() == 0 else {
            throw StartFailure("noded needs root: it makes namespaces, mounts and nftables rules (try: sudo noded run)")
        }
        if let problem = KernelFeatures.probe().problems.first { throw StartFailure("\(problem)") }
    }
}
