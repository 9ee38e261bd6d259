// --clients TLS connections that each send GET --path and then read frames: lines of JSON inside HTTP chunks. Of each
// line the resourceVersion that follows `--mark` is read; with --ordered 1 it must grow from line to line. Prints
// `ready` when all heads have come, and at the end (each has --count lines, or --seconds are over) one line of results.

import Glibc
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

enum Watch {
    static func run(_ arguments: Arguments) throws {
        let clients = arguments.number("clients")
        let count = arguments.number("count")
        let ordered = arguments.number("ordered", or: 1) == 1
        let seconds = arguments.number("seconds", or: 60)
        let tls = try arguments.tls(server: false)
        let path = arguments.text("path")
        let port = arguments.number("port")
        let group = MultiThreadedEventLoopGroup(numberOfThreads: arguments.number("threads", or: 1))
        let tally = Tally(clients: clients, count: count)
        let request = ByteBuffer(
            string: "GET \(path) HTTP/1.1\r\nHost: 127.0.0.1:\(port)\r\nAccept: application/json\r\n\r\n")
        let bootstrap = ClientBootstrap(group: group)
            .connectTimeout(.seconds(30))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers(
                        try NIOSSLClientHandler(context: tls, serverHostname: nil),
                        LineReader(request, tally, ordered: ordered))
                }
            }
        // A few at a time: a thousand handshakes at once would only measure the accept queue.
        var waiting: [EventLoopFuture<any Channel>] = []
        for _ in 0..<clients {
            waiting.append(bootstrap.connect(host: "127.0.0.1", port: port))
            if waiting.count == 32 {
                for future in waiting { _ = try future.wait() }
                waiting = []
            }
        }
        for future in waiting { _ = try future.wait() }
        let limit = now() + UInt64(seconds) * 1_000_000_000
        while !tally.allReady {
            guard now() < limit else { Arguments.end(1, "only \(tally.ready) of \(clients) watches began") }
            usleep(2000)
        }
        print("ready")
        flushOutput()
        while !tally.isComplete, now() < limit { usleep(2000) }
        print(tally.summary)
        flushOutput()
    }
}

final class Tally: Sendable {
    private struct State {
        var ready = 0
        var done = 0
        var lines = 0
        var disordered = 0
        var ended = 0
        var first: UInt64 = 0
        var last: UInt64 = 0
    }

    private let state = Mutex(State())
    private let clients: Int
    let count: Int

    init(clients: Int, count: Int) { (self.clients, self.count) = (clients, count) }

    var ready: Int { state.withLock { $0.ready } }
    var allReady: Bool { state.withLock { $0.ready + $0.ended >= clients } }
    var isComplete: Bool { state.withLock { $0.done + $0.ended >= clients } }

    func began() { state.withLock { $0.ready += 1 } }
    func ended() { state.withLock { $0.ended += 1 } }

    func saw(_ lines: Int, disordered: Int, done: Bool) {
        let time = now()
        state.withLock { state in
            if state.first == 0 { state.first = time }
            state.last = time
            state.lines += lines
            state.disordered += disordered
            if done { state.done += 1 }
        }
    }

    var summary: String {
        state.withLock {
            "clients=\(clients) expected=\(clients * count) lines=\($0.lines) disordered=\($0.disordered) "
                + "ended=\($0.ended) nanoseconds=\($0.last - $0.first)"
        }
    }
}

/// Counts lines without keeping them: of a line only the digits after the mark matter.
private final class LineReader: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private static let mark = Array("\"resourceVersion\":\"".utf8)

    private let request: ByteBuffer
    private let tally: Tally
    private let ordered: Bool
    private var inBody = false
    private var newlines = 0
    private var head: [UInt8] = []
    private var matched = 0
    private var reading = false
    private var found = false
    private var value: UInt64 = 0
    private var last: UInt64 = 0
    private var lines = 0

    init(_ request: ByteBuffer, _ tally: Tally, ordered: Bool) {
        self.request = request
        self.tally = tally
        self.ordered = ordered
    }

    func channelActive(context: ChannelHandlerContext) {
        context.writeAndFlush(wrapOutboundOut(request), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var disordered = 0
        let before = lines
        unwrapInboundIn(data).withUnsafeReadableBytes { bytes in
            for byte in bytes {
                if !inBody {
                    head.append(byte)
                    if head.suffix(4).elementsEqual([13, 10, 13, 10]) { begin() }
                    continue
                }
                scan(byte, &disordered)
            }
        }
        if lines > before {
            tally.saw(lines - before, disordered: disordered, done: before < tally.count && lines >= tally.count)
        }
    }

    private func begin() {
        let status = String(decoding: head.prefix(12), as: UTF8.self)
        guard status == "HTTP/1.1 200" else { Arguments.end(1, "the watch was answered \(status)") }
        inBody = true
        tally.began()
    }

    private func scan(_ byte: UInt8, _ disordered: inout Int) {
        if reading {
            if byte >= 48, byte <= 57 {
                value = value &* 10 &+ UInt64(byte - 48)
                return
            }
            reading = false
            found = true
        }
        // A line of JSON ends with a newline; a chunk's size line does too, but has no mark in it.
        if byte == 10 {
            if found {
                lines += 1
                if ordered, value <= last { disordered += 1 }
                last = value
            }
            (matched, found) = (0, false)
            return
        }
        guard !found else { return }
        if byte == Self.mark[matched] {
            matched += 1
            if matched == Self.mark.count { (matched, reading, value) = (0, true, 0) }
        } else {
            matched = byte == Self.mark[0] ? 1 : 0
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        if !inBody || lines < tally.count { tally.ended() }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
