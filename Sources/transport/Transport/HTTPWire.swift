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

    /// Puts `handlers` where HTTP was.
    ///
    /// The decoder leaves last, and not before the loop's next turn: a client may have sent more with its request, and
    /// these bytes must find the new handlers. The encoder has passed on all it was given, so it may go at once.
    func replace(
        in pipeline: ChannelPipeline.SynchronousOperations, with handlers: [any ChannelHandler]
    ) throws {
        for handler: any RemovableChannelHandler in [errors, order, encoder] {
            pipeline.removeHandler(handler, promise: nil)
        }
        try pipeline.addHandlers(handlers, position: .after(decoder))
        pipeline.removeHandler(decoder, promise: nil)
    }
}
