// Logs in the CRI format: lines, pieces of long lines, rotation.

import Containers
import System
import Testing

@Suite(.serialized) struct LogTests {
    @Test func longLinesComeInPieces() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let config = node.config("head -c 40000 /dev/zero | tr '\\0' x; echo; echo; echo -n end")
            _ = try await node.runtime.startContainer(sandbox: sandbox.uid, config)
            _ = try await node.end(of: config.id, in: sandbox.uid)
            let lines = try node.logLines(config)
            #expect(lines.map(\.tag) == ["P", "P", "F", "F", "F"])
            #expect(lines.map(\.text.utf8.count) == [16384, 16384, 7232, 0, 3])
        }
    }

    @Test func logsRotateBySizeAndLoseNothing() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let config = node.config("for i in $(seq 1 400); do echo line $i is here to fill the file; done") {
                $0.logMaximumSize = 4096
                $0.logMaximumFiles = 100
            }
            _ = try await node.runtime.startContainer(sandbox: sandbox.uid, config)
            _ = try await node.end(of: config.id, in: sandbox.uid)
            let folder = Files.parent(of: config.logPath!)
            let names = try Files.list(folder)
            #expect(names.count > 2)
            var lines: [TestNode.LogLine] = []
            for name in names {
                let path = "\(folder)/\(name)"
                #expect(try Files.attributes(path).size <= 64 << 10)
                lines += try TestNode.lines(path)
            }
            let numbers = lines.map { Int($0.text.split(separator: " ")[1])! }
            #expect(numbers.sorted() == Array(1...400))
        }
    }

    @Test func onlySoManyFilesAreKept() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let config = node.config(
                "for i in $(seq 1 40); do head -c 3000 /dev/zero | tr '\\0' x; echo; sleep 0.005; done"
            ) {
                $0.logMaximumSize = 4096
                $0.logMaximumFiles = 3
            }
            _ = try await node.runtime.startContainer(sandbox: sandbox.uid, config)
            _ = try await node.end(of: config.id, in: sandbox.uid)
            #expect(try Files.list(Files.parent(of: config.logPath!)).count == 3)
        }
    }

    @Test func reopening() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let config = node.config("echo before; while [ ! -e /tmp/go ]; do sleep 0.02; done; echo after")
            _ = try await node.runtime.startContainer(sandbox: sandbox.uid, config)
            try await eventually("the first line") { try node.log(config).contains("before") }
            try Files.rename(config.logPath!, to: config.logPath! + ".moved")
            try await node.runtime.reopenLog(sandbox: sandbox.uid, id: config.id)
            let session = try await node.runtime.exec(
                sandbox: sandbox.uid, container: config.id, ExecConfig(arguments: ["touch", "/tmp/go"]))
            #expect(try await session.wait() == 0)
            _ = try await node.end(of: config.id, in: sandbox.uid)
            #expect(try node.log(config) == "after")
        }
    }
}
