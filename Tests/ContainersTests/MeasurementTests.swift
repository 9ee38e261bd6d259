// What things cost here, printed for people; nothing is asserted but that it works.

import Containers
import System
import Testing

@Suite(.serialized) struct MeasurementTests {
    @Test(.enabled(if: CommandLine.arguments.contains("MeasurementTests"), "asked for by name only"))
    func startToExit() async throws {
        try await withNode { node in
            func milliseconds(_ body: () async throws -> Void) async throws -> Double {
                let start = ContinuousClock.now
                try await body()
                let duration = ContinuousClock.now - start
                return Double(duration.components.seconds) * 1e3 + Double(duration.components.attoseconds) / 1e15
            }
            func median(_ count: Int, _ body: () async throws -> Void) async throws -> Double {
                var times: [Double] = []
                for _ in 0..<count { times.append(try await milliseconds(body)) }
                return times.sorted()[count / 2]
            }
            let sandbox = try await node.sandbox()
            var events = node.runtime.events.makeAsyncIterator()
            var configs = (0..<60).map { _ in node.config("") { $0.arguments = ["/bin/true"] } }
            let container = try await median(50) {
                let config = configs.removeLast()
                _ = try await node.runtime.startContainer(sandbox: sandbox.uid, config)
                while let event = await events.next() {
                    if case .containerExited(_, config.id, _) = event { break }
                }
            }
            var pods: [String] = []
            let pod = try await median(15) { pods.append(try await node.sandbox().uid) }
            let remove = try await median(15) { try await node.runtime.removeSandbox(pods.removeLast()) }
            let sleeper = node.config("while true; do sleep 1; done")
            _ = try await node.runtime.startContainer(sandbox: sandbox.uid, sleeper)
            let exec = try await median(50) {
                let session = try await node.runtime.exec(
                    sandbox: sandbox.uid, container: sleeper.id, ExecConfig(arguments: ["true"]))
                _ = try await session.wait()
            }
            print("measured: true in a container, request to exit seen: \(container) ms")
            print("measured: sandbox \(pod) ms, its removal \(remove) ms, exec of true \(exec) ms")
        }
    }
}
