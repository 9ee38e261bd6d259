// The resolver's loop: one thread, one poll over its listening sockets, its clients' TCP connections, its questions to
// upstreams and noded's control connection. It performs what ResolverCore decides.
//
// Until noded has fed a whole snapshot the listening sockets are not read: queries wait in the kernel, because an empty
// zone would deny names that exist. After that it answers from what it has, with noded or without.
//
// Fails only when its control socket cannot be made or poll fails; what goes wrong with one client, one upstream or
// noded's connection ends that alone.

import Kernel
import System

final class ResolverLoop {
    private struct Connection {
        let descriptor: SharedDescriptor
        var input: [UInt8] = []
        var output: [UInt8] = []
        var active: Int64
    }

    private struct Ask {
        let descriptor: SharedDescriptor
        let tcp: Bool
        var output: [UInt8]
        var input: [UInt8] = []
    }

    private enum Source {
        case listener(Int), connection(Int), ask(Int), control, feeder
    }

    private enum Limits {
        static let connections = 128
        static let idle: Int64 = 10_000
        static let datagramsPerTurn = 128
        static let output = 256 << 10
    }

    private let sockets: [SharedDescriptor]
    private let kinds: [InternetSocket.Kind]
    private let control: SharedDescriptor
    private let say: (String) -> Void
    private let began = ContinuousClock.now
    private var core = ResolverCore(zone: ClusterZone(ZoneConfig(domain: "invalid")))
    private var config: ResolverConfig?
    private var staged: ClusterZone?
    private var isFed = false
    private var isStopped = false
    private var connections: [Int: Connection] = [:]
    private var asks: [Int: Ask] = [:]
    private var feeder: (descriptor: SharedDescriptor, reader: ControlReader, output: [UInt8])?
    private var nextConnection = 0
    private var buffer = [UInt8](repeating: 0, count: 4096)
    private var resolvConfSeen: (modified: Timestamp, size: Int)?
    private var resolvConfChecked = Int64.min / 2

    /// - Parameter sockets: bound and listening; the resolver sends copies of them to whoever feeds it.
    init(control path: String, sockets: [SharedDescriptor], say: @escaping (String) -> Void) throws {
        self.sockets = sockets
        self.say = say
        kinds = try sockets.map { try InternetSocket.kind($0.raw) }
        for socket in sockets { try socket.setNonBlocking() }
        let listener = try UnixSocket.listen(path)
        try listener.setNonBlocking()
        control = SharedDescriptor(listener)
    }

    private var now: Int64 {
        let (seconds, attoseconds) = (ContinuousClock.now - began).components
        return seconds * 1000 + attoseconds / 1_000_000_000_000_000
    }

    /// Serves until it is told to stop.
    func run() throws {
        while !isStopped {
            var (sources, entries) = watched()
            try Poll.wait(&entries, milliseconds: timeout())
            if isFed { refreshUpstreams() }
            for (source, entry) in zip(sources, entries) where entry.isReadable || entry.isWritable {
                handle(source, entry)
            }
            sources.removeAll()
            perform(core.tick(now: now))
            let limit = now - Limits.idle
            for (id, connection) in connections where connection.active < limit { connections[id] = nil }
        }
    }

    private func watched() -> ([Source], [Poll.Entry]) {
        var sources: [Source] = [.control]
        var entries = [Poll.Entry(control.raw, reading: true)]
        if let feeder {
            sources.append(.feeder)
            entries.append(Poll.Entry(feeder.descriptor.raw, reading: true, writing: !feeder.output.isEmpty))
        }
        if isFed {
            for (index, socket) in sockets.enumerated() {
                sources.append(.listener(index))
                entries.append(Poll.Entry(socket.raw, reading: true))
            }
        }
        for (id, connection) in connections {
            sources.append(.connection(id))
            // A client that does not read its answers is not read either.
            let full = connection.output.count > Limits.output
            entries.append(
                Poll.Entry(connection.descriptor.raw, reading: !full, writing: !connection.output.isEmpty))
        }
        for (id, ask) in asks {
            sources.append(.ask(id))
            entries.append(Poll.Entry(ask.descriptor.raw, reading: true, writing: !ask.output.isEmpty))
        }
        return (sources, entries)
    }

    private func timeout() -> Int32 {
        var next = core.deadline
        if let oldest = connections.values.map(\.active).min() { next = min(next ?? .max, oldest + Limits.idle + 1) }
        guard let next else { return -1 }
        return Int32(clamping: max(0, next - now))
    }

    private func handle(_ source: Source, _ entry: Poll.Entry) {
        switch source {
        case .listener(let index): kinds[index] == .udp ? receiveDatagrams(index) : acceptConnections(index)
        case .connection(let id): serve(id, entry)
        case .ask(let id): continueAsk(id, entry)
        case .control: acceptFeeder()
        case .feeder: serveFeeder(entry)
        }
    }

    // MARK: Clients

    private func receiveDatagrams(_ index: Int) {
        // Bounded, so that one flooded address does not starve the rest.
        for _ in 0..<Limits.datagramsPerTurn {
            // An error on an unconnected socket is an ICMP message about an answer to somebody who has gone.
            guard let received = try? InternetSocket.receive(sockets[index].raw, into: &buffer) else { return }
            let message = Array(buffer[..<received.count])
            perform(core.receive(message, from: .udp(socket: index, received.from), now: now))
        }
    }

    private func acceptConnections(_ index: Int) {
        while let accepted = try? InternetSocket.accept(sockets[index].raw) {
            if connections.count >= Limits.connections,
                let oldest = connections.min(by: { $0.value.active < $1.value.active })?.key {
                connections[oldest] = nil
            }
            nextConnection += 1
            connections[nextConnection] = Connection(descriptor: SharedDescriptor(accepted), active: now)
        }
    }

    private func serve(_ id: Int, _ entry: Poll.Entry) {
        if entry.isWritable, connections[id]?.output.isEmpty == false { flush(id) }
        guard entry.isReadable, let descriptor = connections[id]?.descriptor else { return }
        do {
            guard let bytes = try InternetSocket.receive(descriptor.raw, upTo: 16384) else { return }
            if bytes.isEmpty {
                connections[id] = nil
                return
            }
            connections[id]!.input += bytes
            connections[id]!.active = now
        } catch {
            connections[id] = nil
            return
        }
        while let message = Self.takeMessage(&connections[id]!.input) {
            perform(core.receive(message, from: .tcp(connection: id), now: now))
            if connections[id] == nil { return }
        }
    }

    /// A message behind its 2-byte length (RFC 1035, 4.2.2).
    private static func takeMessage(_ input: inout [UInt8]) -> [UInt8]? {
        guard input.count >= 2 else { return nil }
        let length = Int(input[0]) << 8 | Int(input[1])
        guard input.count >= 2 + length else { return nil }
        defer { input.removeFirst(2 + length) }
        return Array(input[2..<(2 + length)])
    }

    private static func framed(_ message: [UInt8]) -> [UInt8] {
        [UInt8(message.count >> 8 & 0xff), UInt8(message.count & 0xff)] + message
    }

    private func flush(_ id: Int) {
        guard let connection = connections[id] else { return }
        do {
            let sent = try InternetSocket.send(connection.descriptor.raw, connection.output[...])
            connections[id]!.output.removeFirst(sent)
        } catch {
            connections[id] = nil
        }
    }

    // MARK: Actions

    private func perform(_ actions: [ResolverCore.Action]) {
        for action in actions {
            switch action {
            case .reply(.udp(let socket, let peer), let message):
                // Full buffers and vanished clients lose datagrams, as UDP does; the client asks again.
                _ = try? InternetSocket.send(sockets[socket].raw, message, to: peer)
            case .reply(.tcp(let id), let message):
                guard connections[id] != nil else { continue }
                connections[id]!.output += Self.framed(message)
                flush(id)
            case .ask(let id, let server, let message, let tcp): begin(id, server, message, tcp: tcp)
            case .close(let id): asks[id] = nil
            case .notice(let text): notice(text)
            }
        }
    }

    private func begin(_ id: Int, _ server: InternetEndpoint, _ message: [UInt8], tcp: Bool) {
        do {
            let socket = SharedDescriptor(try InternetSocket.connected(tcp ? .tcp : .udp, to: server))
            asks[id] = Ask(descriptor: socket, tcp: tcp, output: tcp ? Self.framed(message) : [])
            if !tcp { _ = try InternetSocket.send(socket.raw, message[...]) }
        } catch {
            asks[id] = nil
            perform(core.upstreamFailed(id, now: now))
        }
    }

    private func continueAsk(_ id: Int, _ entry: Poll.Entry) {
        guard let ask = asks[id] else { return }
        do {
            if !ask.output.isEmpty {
                guard entry.isWritable else { return }
                asks[id]!.output.removeFirst(try InternetSocket.send(ask.descriptor.raw, ask.output[...]))
            }
            guard entry.isReadable, let bytes = try InternetSocket.receive(ask.descriptor.raw, upTo: 65537) else {
                return
            }
            guard ask.tcp else {
                perform(core.upstreamReplied(id, bytes, now: now))
                return
            }
            asks[id]!.input += bytes
            if let message = Self.takeMessage(&asks[id]!.input) {
                perform(core.upstreamReplied(id, message, now: now))
            } else if bytes.isEmpty {
                throw SystemError("recv", "upstream", .EPIPE)
            }
        } catch {
            asks[id] = nil
            perform(core.upstreamFailed(id, now: now))
        }
    }

    // MARK: noded

    private func acceptFeeder() {
        guard let accepted = try? InternetSocket.accept(control.raw), let peer = try? UnixSocket.peer(accepted.raw)
        else { return }
        // The socket's mode (0600) keeps others out already; this holds also when somebody loosens it.
        guard peer.uid == 0 || peer.uid == ResolverProcess.user else {
            say("refused uid \(peer.uid) (pid \(peer.pid)) on the control socket")
            return
        }
        staged = nil
        let hello = ControlMessage.hello(version: ControlMessage.version, pid: ownPID).encoded()
        guard (try? UnixSocket.send(accepted.raw, hello, descriptors: sockets.map(\.raw))) == hello.count else {
            return
        }
        feeder = (SharedDescriptor(accepted), ControlReader(), [])
    }

    private lazy var ownPID: Int32 = Files.symlinkTarget("/proc/self").flatMap { Int32($0) } ?? 0

    private func serveFeeder(_ entry: Poll.Entry) {
        guard feeder != nil else { return }
        flushFeeder()
        guard entry.isReadable, let descriptor = feeder?.descriptor else { return }
        do {
            for _ in 0..<64 {
                guard let bytes = try InternetSocket.receive(descriptor.raw, upTo: 65536) else { return }
                guard !bytes.isEmpty else { throw ControlError(what: "closed") }
                feeder!.reader.append(bytes)
                for message in try feeder!.reader.messages() { try apply(message) }
                if feeder == nil { return }
            }
        } catch let error as ControlError where error.what == "closed" {
            (feeder, staged) = (nil, nil)
        } catch {
            say("\(error): noded has to connect anew")
            (feeder, staged) = (nil, nil)
        }
    }

    private func apply(_ message: ControlMessage) throws(ControlError) {
        switch message {
        case .hello(let version, _):
            guard version == ControlMessage.version else { throw ControlError(what: "noded speaks version \(version)") }
        case .configure(let config):
            if config != self.config {
                self.config = config
                resolvConfSeen = nil
                resolvConfChecked = .min / 2
            }
        case .begin:
            guard let config else { throw ControlError(what: "a snapshot before the configuration") }
            staged = ClusterZone(config.zone)
        case .put(let service):
            if staged != nil { staged!.put(service) } else { core.zone.put(service) }
        case .remove(let namespace, let name):
            if staged != nil {
                staged!.remove(namespace: namespace, name: name)
            } else {
                core.zone.remove(namespace: namespace, name: name)
            }
        case .commit(let sequence):
            if let zone = staged {
                core.zone = zone
                staged = nil
                isFed = true
                refreshUpstreams()
            }
            tell(.applied(sequence))
        case .stop: isStopped = true
        case .applied, .notice: throw ControlError(what: "a resolver's message from noded")
        }
    }

    private func tell(_ message: ControlMessage) {
        guard feeder != nil, feeder!.output.count < Limits.output else { return }
        feeder!.output += message.encoded()
        flushFeeder()
    }

    private func flushFeeder() {
        guard let (descriptor, _, output) = feeder, !output.isEmpty else { return }
        // A failed send is seen by the next read, which ends the connection.
        if let sent = try? InternetSocket.send(descriptor.raw, output[...]) { feeder!.output.removeFirst(sent) }
    }

    private func notice(_ text: String) {
        say(text)
        tell(.notice(text))
    }

    // MARK: resolv.conf

    /// The stub's file first, then the one in which systemd-resolved names the servers behind it.
    private static let realServers = "/run/systemd/resolve/resolv.conf"

    /// Looked at no more than every two seconds, and only when somebody asks something: idle costs nothing.
    private func refreshUpstreams() {
        guard let config, now - resolvConfChecked >= 2000 else { return }
        let isFirst = resolvConfChecked < 0 && resolvConfSeen == nil
        resolvConfChecked = now
        guard config.upstreams.isEmpty else {
            if isFirst { perform(core.use(config.upstreams, otherwise: "", now: now)) }
            return
        }
        let seen = try? Files.attributes(config.resolvConf)
        if let seen, let old = resolvConfSeen, old == (seen.modified, seen.size) { return }
        if seen == nil, !isFirst, resolvConfSeen == nil { return }
        resolvConfSeen = seen.map { ($0.modified, $0.size) }
        let text = (try? Files.readText(config.resolvConf, limit: 1 << 20)) ?? ""
        let own = config.zone.addresses
        var (servers, dropped) = Upstreams.parse(text, own: own)
        if servers.isEmpty, let text = try? Files.readText(Self.realServers, limit: 1 << 20) {
            servers = Upstreams.parse(text, own: own).servers
        }
        let reason = seen == nil ? "\(config.resolvConf) cannot be read"
            : dropped.isEmpty ? "\(config.resolvConf) names no server"
            : "\(config.resolvConf) names only loopback servers (\(dropped.map(\.description).joined(separator: ", ")))"
        // A file that is just being rewritten may be empty for a moment: what worked is kept.
        if servers.isEmpty, !core.upstreams.isEmpty {
            notice("\(reason): keeping the upstreams known before")
            return
        }
        let list = servers.isEmpty ? "none" : servers.map(\.description).joined(separator: ", ")
        notice("upstreams: \(list)" + (servers.isEmpty ? " (\(reason))" : ""))
        perform(core.use(servers, otherwise: reason, now: now))
    }
}
