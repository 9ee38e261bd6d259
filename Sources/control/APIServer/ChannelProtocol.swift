// The subprotocols in which exec and attach put several channels on one WebSocket.
//
//   v5.channel.k8s.io          first byte of a message: the channel; 255 closes one
//   v4.channel.k8s.io          the same without closing: stdin ends with the connection
//   v4.base64.channel.k8s.io   text: the channel as a digit, then base64; for clients that can only send text
//   channel.k8s.io, base64.…   as v4, but the error channel carries a plain text, and nothing at success
//
// A client that asks for none gets the oldest, as from the kubelet. Pure.

internal import Objects
internal import System

enum ChannelProtocol: String, CaseIterable, Sendable {
    /// In order of preference.
    case v5 = "v5.channel.k8s.io"
    case v4 = "v4.channel.k8s.io"
    case v4Base64 = "v4.base64.channel.k8s.io"
    case v1 = "channel.k8s.io"
    case v1Base64 = "base64.channel.k8s.io"

    /// A peer may close one channel (stdin) and keep the others.
    var hasClose: Bool { self == .v5 }

    var isText: Bool { self == .v4Base64 || self == .v1Base64 }

    /// The best of those that a client offers; nil when none is known.
    static func choose(_ offered: [String]) -> ChannelProtocol? {
        offered.isEmpty ? .v1 : allCases.first { offered.contains($0.rawValue) }
    }

    func encode(_ channel: UInt8, _ bytes: some Collection<UInt8>) -> [UInt8] {
        isText ? [UInt8(ascii: "0") + channel] + Base64.encode(bytes).utf8 : [channel] + bytes
    }

    /// nil for an empty or malformed message.
    func decode(_ message: [UInt8]) -> (channel: UInt8, bytes: [UInt8])? {
        guard let first = message.first else { return nil }
        guard isText else { return (first, Array(message.dropFirst())) }
        guard first >= UInt8(ascii: "0"), first <= UInt8(ascii: "9"),
            let text = String(validating: message.dropFirst(), as: UTF8.self), let bytes = Base64.decode(text)
        else { return nil }
        return (first - UInt8(ascii: "0"), bytes)
    }

    /// What the error channel says at the end; nil for nothing.
    func verdict(_ status: JSON) -> [UInt8]? {
        switch self {
        case .v5, .v4, .v4Base64: status.encode()
        case .v1, .v1Base64: status["status"] == "Success" ? nil : Array((status["message"]?.string ?? "").utf8)
        }
    }
}
