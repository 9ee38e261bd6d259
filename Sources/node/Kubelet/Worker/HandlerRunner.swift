// Carries out one handler of a probe or a hook: a command in the container, an HTTP GET, a TCP connection, a sleep.
// The time-out covers all of it. A command may not even start in time: a supervisor that is stopped or waits for a disk
// answers nothing and says nothing (docs/decisions/0011-patience.md), but must not silence the probe.

import Containers
import HTTP
import Kernel
import Objects
import System

/// Why a handler did not succeed.
struct HandlerFailure: Sendable, Hashable, ExpressibleByStringLiteral {
    /// For the event.
    var text: String
    /// False when the question never reached the container: that says nothing about its health.
    var wasAsked = true

    init(_ text: String, wasAsked: Bool = true) {
        self.text = text
        self.wasAsked = wasAsked
    }

    init(stringLiteral text: String) { self.init(text) }
}

struct HandlerRunner: Sendable {
    /// What is kept of a handler's output, bytes (the kubelet's limit).
    static let outputLimit = 10 << 10

    let runtime: any ContainerRuntime
    let prober: any Prober
    let podUID: String
    /// The pod's first address, or the node's with hostNetwork.
    let address: String?

    /// nil on success.
    func run(_ handler: HandlerPlan, container: JSON, id: String, timeout: Duration) async -> HandlerFailure? {
        switch handler {
        case .exec(let command): return await exec(command, id, timeout)
        case .sleep(let seconds):
            try? await Task.sleep(for: min(.seconds(seconds), timeout))
            return nil
        case .tcp(let host, let port):
            guard let (host, port) = target(host, port, container) else { return noTarget(port) }
            return await prober.tcp(host: host, port: port, timeout: timeout).map { HandlerFailure($0) }
        case .httpGet(let scheme, let host, let port, let path, let extra):
            guard let (host, port) = target(host, port, container) else { return noTarget(port) }
            var headers: HTTPHeaders = ["User-Agent": "kube-probe/1.36", "Accept": "*/*", "Connection": "close"]
            for header in extra { headers[header.name] = nil }
            for header in extra where !header.value.isEmpty || header.name.lowercased() != "user-agent" {
                headers.add(header.name, header.value)
            }
            let result = await prober.httpGet(
                scheme: scheme, host: host, port: port, path: path.hasPrefix("/") ? path : "/" + path, headers: headers,
                timeout: timeout)
            switch result {
            case .failure(let text): return HandlerFailure(text)
            case .response(let status, _):
                return (200..<400).contains(status)
                    ? nil : HandlerFailure("HTTP probe failed with statuscode: \(status)")
            }
        case .grpc: return "gRPC handlers are not supported yet by this node"
        }
    }

    private func target(_ host: String?, _ port: PortReference, _ container: JSON) -> (String, Int)? {
        guard let number = port.number(in: container), (1...65535).contains(number) else { return nil }
        guard let host = host.flatMap({ $0.isEmpty ? nil : $0 }) ?? address else { return nil }
        return (host, number)
    }

    private func noTarget(_ port: PortReference) -> HandlerFailure {
        if case .name(let name) = port { return HandlerFailure("couldn't find port: \(name)") }
        return HandlerFailure("the pod has no address yet", wasAsked: false)
    }

    private func exec(_ command: [String], _ id: String, _ timeout: Duration) async -> HandlerFailure? {
        let output = Output()
        let (runtime, podUID) = (runtime, podUID)
        let config = ExecConfig(arguments: command, waitsForAbandoned: true)
        let (result, started) = await withTaskGroup(of: Step.self) { group in
            group.addTask {
                do {
                    return .started(try await runtime.exec(sandbox: podUID, container: id, config))
                } catch {
                    return .over(.failed("\(error)"))
                }
            }
            group.addTask {
                do { try await Task.sleep(for: timeout) } catch { return .over(.failed("\(error)")) }
                return .over(.late)
            }
            var session: ExecSession?
            var result: Result?
            var streams = 0
            for await step in group {
                switch step {
                case .started(let new):
                    session = new
                    streams = 2
                    Self.follow(new, output, &group)
                case .streamEnded: streams -= 1
                case .over(let item): result = result ?? item
                }
                // A failure's output is its explanation: waited for, as long as the time-out lasts.
                guard let first = result else { continue }
                if case .ended(let code) = first, code != 0, streams > 0, !step.isLate { continue }
                break
            }
            // The command and all it started are gone before the next probe begins.
            if case .late = result ?? .late { session?.cancel() }
            group.cancelAll()
            // It may have started just when nobody waited for it any more.
            for await step in group { if case .started(let late) = step { late.cancel() } }
            return (result ?? .late, session != nil)
        }
        switch result {
        case .ended(0): return nil
        case .ended(let code):
            let text = await output.text
            return HandlerFailure(text.isEmpty ? "command \(command) exited with \(code)" : text)
        case .failed(let text): return HandlerFailure(text)
        case .late:
            let text = "command timed out: \(command) timed out after \(timeout.components.seconds)s"
            return started
                ? HandlerFailure(text) : HandlerFailure("\(text), before the node had started it", wasAsked: false)
        }
    }

    private static func follow(_ session: ExecSession, _ output: Output, _ group: inout TaskGroup<Step>) {
        for stream in [session.stdout, session.stderr] {
            group.addTask {
                for await piece in stream { await output.add(piece) }
                return .streamEnded
            }
        }
        group.addTask {
            do { return .over(.ended(try await session.wait())) } catch { return .over(.failed("\(error)")) }
        }
    }

    private enum Result: Sendable { case ended(Int32), failed(String), late }

    private enum Step: Sendable {
        case started(ExecSession)
        case streamEnded
        case over(Result)

        var isLate: Bool { if case .over(.late) = self { true } else { false } }
    }

    private actor Output {
        private var bytes: [UInt8] = []

        func add(_ piece: [UInt8]) { bytes.append(contentsOf: piece.prefix(HandlerRunner.outputLimit - bytes.count)) }

        var text: String { String(decoding: bytes, as: UTF8.self) }
    }
}
