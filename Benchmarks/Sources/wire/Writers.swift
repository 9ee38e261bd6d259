// --clients TLS connections that send requests one after another: --method, --path and the body of --body, in all of
// which `@@` stands for a number that counts up from --from, --count of them in all. With --rate they are begun that
// often a second, all together. An answer that is not 2xx ends the program, except codes in --accept.

import Glibc
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

enum Writers {
    static func run(_ arguments: Arguments) throws {
        let work = Work(arguments)
        let tls = try arguments.tls(server: false)
        let port = arguments.number("port")
        let clients = arguments.number("clients", or: 1)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let bootstrap = ClientBootstrap(group: group)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers(
                        try NIOSSLClientHandler(context: tls, serverHostname: nil), Requester(work))
                }
            }
        var channels: [any Channel] = []
        for _ in 0..<clients { channels.append(try bootstrap.connect(host: "127.0.0.1", port: port).wait()) }
        let start = now()
        work.start = start
        for channel in channels { channel.pipeline.fireUserInboundEventTriggered(Requester.Go()) }
        for channel in channels { try channel.closeFuture.wait() }
        let took = now() - start
        guard work.answered == work.count else { Arguments.end(1, "\(work.answered) of \(work.count) were answered") }
        print("count=\(work.count) nanoseconds=\(took) sent=\(work.sentBytes)")
        flushOutput()
    }
}

// Invariant: only the group's one event loop touches it, but for `start`, which is set before anything runs there,
// and the sums, which are read when all is over.
private final class Work: @unchecked Sendable {
    let count: Int
    private let from: Int
    private let rate: Int
    private let head: [[UInt8]]
    private let body: [[UInt8]]
    private let accept: Set<Int>
    var start: UInt64 = 0
    private var next = 0
    var answered = 0
    var sentBytes = 0

    init(_ arguments: Arguments) {
        count = arguments.number("count")
        from = arguments.number("from", or: 0)
        rate = arguments.number("rate", or: 0)
        let type = arguments.text("type", or: "application/json")
        let path = arguments.text("path")
        let method = arguments.text("method", or: "POST")
        head = Work.split(
            Array("\(method) \(path) HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: \(type)\r\n".utf8))
        body = Work.split(arguments.bytes("body"))
        accept = Set(arguments.text("accept", or: "").split(separator: ",").compactMap { Int($0) })
    }

    private static func split(_ bytes: [UInt8]) -> [[UInt8]] {
        var parts: [[UInt8]] = [[]]
        var index = 0
        while index < bytes.count {
            if bytes[index] == 64, index + 1 < bytes.count, bytes[index + 1] == 64 {
                parts.append([])
                index += 2
            } else {
                parts[parts.count - 1].append(bytes[index])
                index += 1
            }
        }
        return parts
    }

    /// The next request and the nanoseconds until it is due; nil when there is none.
    func take() -> (ByteBuffer, UInt64)? {
        guard next < count else { return nil }
        let digits = Array(String(from + next).utf8)
        let due = rate > 0 ? start + UInt64(next) * 1_000_000_000 / UInt64(rate) : 0
        next += 1
        let content = Array(body.joined(separator: digits))
        var buffer = ByteBuffer(bytes: head.joined(separator: digits))
        buffer.writeString("Content-Length: \(content.count)\r\n\r\n")
        buffer.writeBytes(content)
        sentBytes += buffer.readableBytes
        let time = now()
        return (buffer, due > time ? due - time : 0)
    }

    func check(_ answer: ByteBufferView) {
        answered += 1
        let line = String(decoding: answer.prefix(64).prefix { $0 != 13 }, as: UTF8.self)
        let status = Int(line.split(separator: " ").dropFirst().first ?? "") ?? 0
        guard (200..<300).contains(status) || accept.contains(status) else {
            Arguments.end(1, "request \(from + answered - 1) was answered \(String(decoding: answer, as: UTF8.self))")
        }
    }
}

private final class Requester: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    struct Go: Sendable {}

    private let work: Work
    private var pending = ByteBuffer()

    init(_ work: Work) { self.work = work }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is Go { send(context) } else { context.fireUserInboundEventTriggered(event) }
    }

    private func send(_ context: ChannelHandlerContext) {
        guard let (request, delay) = work.take() else {
            context.close(promise: nil)
            return
        }
        guard delay > 0 else {
            context.writeAndFlush(wrapOutboundOut(request), promise: nil)
            return
        }
        let channel = context.channel
        context.eventLoop.scheduleTask(in: .nanoseconds(Int64(delay))) { channel.writeAndFlush(request, promise: nil) }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var part = unwrapInboundIn(data)
        pending.writeBuffer(&part)
        while let length = RequestScan.length(pending.readableBytesView) {
            work.check(pending.readableBytesView.prefix(length))
            pending.moveReaderIndex(forwardBy: length)
            if pending.readableBytes == 0 { pending.clear() }
            send(context)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        Arguments.end(1, "a connection failed: \(error)")
    }
}
