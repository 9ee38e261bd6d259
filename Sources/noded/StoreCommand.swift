// `noded store status`: what is in the store and how much room is left, with noded running or not.

import ArgumentParser
import Store
import System

struct StoreCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "store", abstract: "Look after the store of the control plane.", subcommands: [Status.self])

    struct Status: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "status", abstract: "Say what the store holds and how much room is left.",
            discussion: "Works beside a running noded. Exit code 1 when --check finds damage.")

        @Option(name: .customLong("data-dir"), help: "noded's data directory.")
        var dataDirectory = "/var/lib/noded"

        @Flag(help: "Also read every object and compare it with its checksum.")
        var check = false

        func run() {
            do {
                let path = StorePlace.file(dataDirectory)
                guard Files.exists(path) else { throw StartFailure("there is no store at \(path)") }
                print("store       \(path)")
                let findings = try StoreControl.ask("status", dataDirectory).map(online) ?? offline(path)
                guard check else {
                    print("integrity   not read now (--check reads everything)")
                    return
                }
                for finding in findings { print("damage      \(finding)") }
                if !findings.isEmpty {
                    throw StartFailure(
                        "\(path) is damaged: stop noded and run `noded restore FILE --force` with a backup")
                }
                print("integrity   ok, everything was read")
            } catch {
                fail(error)
            }
        }

        private func online(_ answer: StoreControl.Answer) throws -> [String] {
            print("noded       running")
            for line in try answer.lines() { print(line) }
            return check ? try StoreControl.ask("check", dataDirectory)?.lines() ?? [] : []
        }

        private func offline(_ path: String) throws -> [String] {
            print("noded       not running")
            let store = try OfflineStore(path: path)
            // Reading it has compared every checksum.
            for line in try store.statistics(store.snapshot()).lines { print(line) }
            return check ? try store.check() : []
        }
    }
}

/// Where the store is in a data directory.
enum StorePlace {
    static func folder(_ dataDirectory: String) -> String { "\(dataDirectory)/store" }
    static func file(_ dataDirectory: String) -> String { "\(folder(dataDirectory))/state.db" }
}
