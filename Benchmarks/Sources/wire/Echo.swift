// The yardstick of requests: TLS and sockets by NIO, and no work. It looks for the end of each request's head (and
// steps over a body of the length the head names) and writes the bytes of --answer, a whole HTTP response.

import NIOCore
import NIOPosix
import NIOSSL

enum Echo {
    static func run(_ arguments: Arguments) throws {
        let answer = ByteBuffer(bytes: arguments.bytes("answer"))
        let tls = try arguments.tls(server: true)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: arguments.number("threads", or: System.coreCount))
        let server = try ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 4096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers(NIOSSLServerHandler(context: tls), Answerer(answer))
                }
            }
            .bind(host: "127.0.0.1", port: arguments.number("port")).wait()
        print("listening")
        flushOutput()
        try server.closeFuture.wait()
    }
}

private final class Answerer: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let answer: ByteBuffer
    private var pending = ByteBuffer()

    init(_ answer: ByteBuffer) { self.answer = answer }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var part = unwrapInboundIn(data)
        if pending.readableBytes == 0 { pending = part } else { pending.writeBuffer(&part) }
        while let length = RequestScan.length(pending.readableBytesView) {
            pending.moveReaderIndex(forwardBy: length)
            context.write(wrapOutboundOut(answer), promise: nil)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) { context.flush() }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

enum RequestScan {
    /// Bytes of the first whole message, head and body; nil when it is not all there.
    static func length(_ bytes: ByteBufferView) -> Int? {
        bytes.withUnsafeBytes { bytes in
            guard bytes.count >= 4 else { return nil }
            var index = 3
            while index < bytes.count {
                if bytes[index] == 10, bytes[index - 1] == 13, bytes[index - 2] == 10, bytes[index - 3] == 13 {
                    let whole = index + 1 + contentLength(UnsafeRawBufferPointer(rebasing: bytes[..<index]))
                    return whole <= bytes.count ? whole : nil
                }
                index += 1
            }
            return nil
        }
    }

    private static func contentLength(_ head: UnsafeRawBufferPointer) -> Int {
        let name = Array("\ncontent-length:".utf8)
        var index = 0
        while index + name.count < head.count {
            var matched = 0
            while matched < name.count, head[index + matched] | (matched > 0 ? 0x20 : 0) == name[matched] | (matched > 0 ? 0x20 : 0) {
                matched += 1
            }
            if matched == name.count {
                var value = 0
                for byte in head[(index + matched)...] {
                    if byte == 32 { continue }
                    guard byte >= 48, byte <= 57 else { break }
                    value = value * 10 + Int(byte - 48)
                }
                return value
            }
            index += 1
        }
        return 0
    }
}
