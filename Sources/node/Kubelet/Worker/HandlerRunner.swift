// Carries out one handler of a probe or a hook: a command in the container, an HTTP GET, a TCP connection, a sleep.

import Containers
import HTTP
import Kernel
import Objects
import System

struct HandlerRunner: Sendable {
    /// What is kept of a handler's output, bytes (the kubelet's limit).
    static let outputLimit = 10 << 10

    let runtime: any ContainerRuntime
    let prober: any Prober
    let podUID: String
    /// The pod's first address, or the node's with hostNetwork.
    let address: String?

    /// nil on success, else the text for the event.
    func run(_ handler: HandlerPlan, container: JSON, id: String, timeout: Duration) async -> String? {
        switch handler {
        case .exec(let command): return await exec(command, id, timeout)
        case .sleep(let seconds):
            try? await Task.sleep(for: min(.seconds(seconds), timeout))
            return nil
        case .tcp(let host, let port):
            guard let (host, port) = target(host, port, container) else { return noTarget(port) }
            return await prober.tcp(host: host, port: port, timeout: timeout)
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
            case .failure(let text): return text
            case .response(let status, _):
                return (200..<400).contains(status) ? nil : "HTTP probe failed with statuscode: \(status)"
            }
        case .grpc: return "gRPC handlers are not supported yet by this node"
        }
    }

    private func target(_ host: String?, _ port: PortReference, _ container: JSON) -> (String, Int)? {
        guard let number = port.number(in: container), (1...65535).contains(number) else { return nil }
        guard let host = host.flatMap({ $0.isEmpty ? nil : $0 }) ?? address else { return nil }
        return (host, number)
    }

    private func noTarget(_ port: PortReference) -> String {
        if case .name(let name) = port { return "couldn't find port: \(name)" }
        return "the pod has no address yet"
    }

    private func exec(_ command: [String], _ id: String, _ timeout: Duration) async -> String? {
        let session: ExecSession
        do {
            session = try await runtime.exec(sandbox: podUID, container: id, ExecConfig(arguments: command))
        } catch {
            return "\(error)"
        }
        let output = Output()
        let result = await withTaskGroup(of: Result?.self) { group in
            for stream in [session.stdout, session.stderr] {
                group.addTask {
                    for await piece in stream { await output.add(piece) }
                    return nil
                }
            }
            group.addTask {
                do { return .ended(try await session.wait()) } catch { return .failed("\(error)") }
            }
            group.addTask {
                do { try await Task.sleep(for: timeout) } catch { return nil }
                return .late
            }
            var result: Result?
            var streams = 2
            for await item in group {
                if let item { result = result ?? item } else { streams -= 1 }
                // A failure's output is its explanation: waited for, as long as the time-out lasts.
                guard let first = result else { continue }
                if case .ended(let code) = first, code != 0, streams > 0, item.map(Self.isLate) != true { continue }
                break
            }
            // The command and all it started are gone before the next probe begins.
            if case .late = result ?? .late { session.cancel() }
            group.cancelAll()
            return result ?? .late
        }
        switch result {
        case .ended(0): return nil
        case .ended(let code):
            let text = await output.text
            return text.isEmpty ? "command \(command) exited with \(code)" : text
        case .failed(let text): return text
        case .late: return "command timed out: \(command) timed out after \(timeout.components.seconds)s"
        }
    }

    private enum Result: Sendable { case ended(Int32), failed(String), late }

    private static func isLate(_ result: Result) -> Bool {
        if case .late = result { true } else { false }
    }

    private actor Output {
        private var bytes: [UInt8] = []

        func add(_ piece: [UInt8]) { bytes.append(contentsOf: piece.prefix(HandlerRunner.outputLimit - bytes.count)) }

        var text: String { String(decoding: bytes, as: UTF8.self) }
    }
}
