// What …/nodes/NAME/proxy/PATH answers: the pages that a kubelet's own port would show.

public struct NodePage: Sendable, Hashable {
    public var contentType: String
    public var body: [UInt8]

    public init(contentType: String, body: [UInt8]) {
        self.contentType = contentType
        self.body = body
    }
}
