// The HTTP part of a connection's pipeline, kept together so that it can be taken out when a connection turns into a
// WebSocket.

import NIOCore
import NIOHTTP1

/// Decoder, encoder and their order of answers.
final class HTTPWire {
    private let encoder = HTTPResponseEncoder()
    private let decoder = ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes))
    private let order = HTTPServerPipelineHandler()
    private let errors = HTTPServerProtocolErrorHandler()

    func add(to pipeline: ChannelPipeline.SynchronousOperations) throws {
        try pipeline.addHandlers([encoder, decoder, order, errors])
    }

    /// Takes all of it out. The encoder goes last: the answer that ends HTTP still passes it.
    func remove(from pipeline: ChannelPipeline.SynchronousOperations) -> EventLoopFuture<Void> {
        let removals = [
            pipeline.removeHandler(errors), pipeline.removeHandler(order), pipeline.removeHandler(decoder),
            pipeline.removeHandler(encoder),
        ]
        return EventLoopFuture.andAllComplete(removals, on: pipeline.eventLoop)
    }
}
