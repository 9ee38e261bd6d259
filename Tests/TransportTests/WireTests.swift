// The HTTP/1.1 pipeline by itself: what passes it, and when.

import HTTP
import NIOCore
import NIOEmbedded
import NIOHTTP1
import Testing

@testable import Transport

extension TransportTests {
    @Suite struct WireTests {
        /// As TLS does: keeps what is written until it is flushed.
        private final class Keeper: ChannelOutboundHandler {
            typealias OutboundIn = ByteBuffer

            private(set) var kept = 0
            private(set) var most = 0

            func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
                kept += unwrapOutboundIn(data).readableBytes
                most = max(most, kept)
                context.write(data, promise: promise)
            }

            func flush(context: ChannelHandlerContext) {
                kept = 0
                context.flush()
            }
        }

        /// Answers that nobody flushes: the socket must hear of them before they are much.
        @Test(arguments: [1000, 15_000, 100_000])
        func littleWaitsForAFlush(bytes: Int) throws {
            let channel = EmbeddedChannel()
            let (keeper, gate) = (Keeper(), RecordGate())
            try channel.pipeline.syncOperations.addHandlers([keeper, gate])
            let buffer = ByteBuffer(repeating: 0x61, count: bytes)
            let count = 4 * RecordGate.unflushedLimit / bytes
            for _ in 0..<count { gate.write(buffer) }
            #expect(keeper.most < RecordGate.unflushedLimit + bytes + 16 << 10)
            gate.flush()
            var passed = 0
            while let part = try channel.readOutbound(as: ByteBuffer.self) { passed += part.readableBytes }
            #expect(passed == count * bytes)
            _ = try channel.finish()
        }

        private static func encoded(_ head: AnswerHead, _ body: String = "") -> String {
            var writer = BodyWriter([Array(body.utf8)[...]], count: body.utf8.count)
            return String(buffer: head.encoded(with: &writer, date: "now"))
        }

        @Test func headsFrameTheirBodies() {
            let fields: HTTP.HTTPHeaders = ["A": "b", "content-length": "7", "Connection": "x"]
            #expect(
                Self.encoded(AnswerHead(200, fields, framing: .length(2)), "hi")
                    == "HTTP/1.1 200 OK\r\nA: b\r\nConnection: x\r\nContent-Length: 2\r\nDate: now\r\n\r\nhi")
            #expect(
                Self.encoded(AnswerHead(299, fields, framing: .chunked, connection: "close"))
                    == "HTTP/1.1 299 \r\nA: b\r\nTransfer-Encoding: chunked\r\nDate: now\r\nConnection: close\r\n\r\n")
            #expect(
                Self.encoded(AnswerHead(404, fields, framing: .given, connection: "keep-alive", version: .http1_0))
                    == "HTTP/1.0 404 Not Found\r\nA: b\r\ncontent-length: 7\r\nDate: now\r\nConnection: keep-alive\r\n\r\n")
            for status in [100, 101, 204, 304] {
                for framing in [AnswerHead.Framing.length(2), .chunked, .given] {
                    let head = AnswerHead(status, fields, framing: framing)
                    let date = status == 100 ? "" : "Date: now\r\n"
                    #expect(Self.encoded(head).hasSuffix("\r\nA: b\r\nConnection: x\r\n\(date)\r\n"))
                    #expect(!head.isChunked)
                }
            }
        }

        @Test func datesAreThoseOfHTTP() {
            #expect(DateField.text(of: 784_111_777) == "Sun, 06 Nov 1994 08:49:37 GMT")
            #expect(DateField.text(of: 0) == "Thu, 01 Jan 1970 00:00:00 GMT")
            #expect(DateField.text(of: 253_402_300_799) == "Fri, 31 Dec 9999 23:59:59 GMT")
            let given = AnswerHead(200, ["date": "yesterday"], framing: .length(0))
            #expect(Self.encoded(given) == "HTTP/1.1 200 OK\r\ndate: yesterday\r\nContent-Length: 0\r\n\r\n")
        }

        /// Tells what reaches it.
        private final class Sink: ChannelInboundHandler {
            typealias InboundIn = HTTPServerRequestPart

            private(set) var heads: [String] = []

            func channelRead(context: ChannelHandlerContext, data: NIOAny) {
                if case .head(let head) = unwrapInboundIn(data) { heads.append(head.uri) }
            }
        }

        @Test func requestsWaitForAnswersAndGoWithTheConnection() throws {
            let channel = EmbeddedChannel()
            let (order, sink) = (RequestOrder { _ in }, Sink())
            try channel.pipeline.syncOperations.addHandlers([order, sink])
            try channel.connect(to: SocketAddress(ipAddress: "192.0.2.1", port: 1)).wait()
            for uri in ["/1", "/2", "/3"] {
                try channel.writeInbound(HTTPServerRequestPart.head(.init(version: .http1_1, method: .GET, uri: uri)))
                try channel.writeInbound(HTTPServerRequestPart.end(nil))
            }
            #expect(sink.heads == ["/1"])
            order.answerBegan()
            order.answerEnded()
            #expect(sink.heads == ["/1", "/2"])
            _ = try channel.finish()
            #expect(sink.heads == ["/1", "/2"])
        }
    }
}
