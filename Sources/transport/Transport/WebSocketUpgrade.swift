// HTTP/1.1's way to a WebSocket (RFC 6455, section 4): the handshake, and the pipeline changed behind it.

import HTTP
import Logging
import NIOCore
import NIOHTTP1
import NIOWebSocket
import System

extension HTTPConnection {
    func upgrade(
        _ subprotocol: String, _ start: @escaping @Sendable (any WebSocketConnection) async -> Void,
        _ context: ChannelHandlerContext
    ) {
        guard wire != nil, let head, head.method == .GET, Self.asksToUpgrade(head),
            head.headers[canonicalForm: "upgrade"].contains(where: { $0.lowercased() == "websocket" })
        else {
            refuseUpgrade("Upgrade: websocket and Connection: Upgrade are missing", context)
            return
        }
        guard Base64.decode(head.headers["sec-websocket-key"].first ?? "")?.count == 16 else {
            refuseUpgrade("Sec-WebSocket-Key is not 16 bytes in base64", context)
            return
        }
        let upgrader = NIOWebSocketServerUpgrader(
            maxFrameSize: WebSocketHandler.messageLimit,
            shouldUpgrade: { channel, _ in
                channel.eventLoop.makeSucceededFuture(NIOHTTP1.HTTPHeaders())
            },
            upgradePipelineHandler: { channel, _ in channel.eventLoop.makeSucceededVoidFuture() })
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        upgrader.buildUpgradeResponse(
            channel: context.channel, upgradeRequest: head,
            initialResponseHeaders: ["Upgrade": "websocket", "Connection": "Upgrade"]
        ).whenComplete { result in
            let (connection, context) = bound.value
            switch result {
            case .success(var headers):
                if !subprotocol.isEmpty { headers.replaceOrAdd(name: "Sec-WebSocket-Protocol", value: subprotocol) }
                connection.switchProtocols(headers, subprotocol, start, context)
            case .failure(let error):
                connection.refuseUpgrade("\(error)", context)
            }
        }
    }

    private func refuseUpgrade(_ reason: String, _ context: ChannelHandlerContext) {
        let text = "the request is no WebSocket upgrade (RFC 6455): \(reason)\n"
        write(
            HTTPResponse(status: 400, headers: ["Content-Type": "text/plain"], bytes: Array(text.utf8)),
            keepAlive: false, context)
    }

    private func switchProtocols(
        _ headers: NIOHTTP1.HTTPHeaders, _ subprotocol: String,
        _ start: @escaping @Sendable (any WebSocketConnection) async -> Void, _ context: ChannelHandlerContext
    ) {
        state = .upgraded
        deadline?.clear()
        wire?.begin(AnswerHead(101, HTTPHeaders(headers), framing: .given))
        wire?.endAndFlush()
        do {
            let webSocket = WebSocketHandler(context.channel)
            try wire?.replace(in: context.pipeline.syncOperations, with: [
                WebSocketFrameEncoder(),
                ByteToMessageHandler(WebSocketFrameDecoder(maxFrameSize: WebSocketHandler.messageLimit)),
                ClientFrames(),
                NIOWebSocketFrameAggregator(
                    minNonFinalFragmentSize: 0, maxAccumulatedFrameCount: 1024,
                    maxAccumulatedFrameSize: WebSocketHandler.messageLimit),
                webSocket,
            ])
            context.pipeline.syncOperations.removeHandler(self, promise: nil)
            webSocket.run(start)
        } catch {
            logger.warning("cannot switch to WebSocket", metadata: ["error": "\(error)"])
            context.close(promise: nil)
        }
    }
}
