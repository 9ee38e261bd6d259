// The yardstick of watches: waits for --clients connections with a request each, answers their heads, then writes the
// frame of --frame (a chunk of HTTP, whole) --count times to each, one write a frame as a watch does. When a client has
// more than a MiB unsent, all wait for it.

import NIOCore
import NIOPosix
import NIOSSL

enum Broadcast {
    static func run(_ arguments: Arguments) throws {
        let frame = ByteBuffer(bytes: arguments.bytes("frame"))
        let tls = try arguments.tls(server: true)
        let clients = arguments.number("clients")
        let count = arguments.number("count")
        let group = MultiThreadedEventLoopGroup(numberOfThreads: arguments.number("threads", or: System.coreCount))
        let (joined, join) = AsyncStream<any Channel>.makeStream()
        let server = try ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 4096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers(
                        NIOSSLServerHandler(context: tls), Greeter { join.yield($0) })
                }
            }
            .bind(host: "127.0.0.1", port: arguments.number("port")).wait()
        print("listening")
        flushOutput()
        wait {
            var channels: [any Channel] = []
            for await channel in joined {
                channels.append(channel)
                if channels.count == clients { break }
            }
            // The clients say by their own clocks when the first and the last frame came.
            for number in 0..<count {
                var last: [EventLoopFuture<Void>] = []
                for channel in channels {
                    let written = channel.eventLoop.makePromise(of: Void.self)
                    channel.writeAndFlush(frame, promise: written)
                    if number % 64 == 63 || number == count - 1 { last.append(written.futureResult) }
                }
                for future in last { try? await future.get() }
            }
            try? await server.close()
        }
    }
}

private final class Greeter: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let ready: @Sendable (any Channel) -> Void
    private var greeted = false

    init(_ ready: @escaping @Sendable (any Channel) -> Void) { self.ready = ready }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !greeted else { return }
        greeted = true
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: head)), promise: nil)
        ready(context.channel)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
