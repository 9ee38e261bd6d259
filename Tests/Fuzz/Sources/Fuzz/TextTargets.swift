// Texts: JSON, YAML, selectors, continue tokens, paths, and the small grammars inside of objects.

import HTTP
import Objects
import System

@testable import APIServer
@testable import Objects

extension Targets {
    /// What parses is written so that it parses to the same value, and is written the same then.
    static func json(_ bytes: [UInt8]) {
        var duplicates: [String] = []
        guard let value = try? JSON.parse(bytes, limits: .body, duplicates: &duplicates) else { return }
        hold(duplicates.count <= 100, "\(duplicates.count) duplicates are kept")
        let text = value.encode()
        guard let again = try? JSON.parse(text) else { fatalError("broken: what was written as JSON does not parse") }
        hold(again.isSame(as: value), "JSON written and read again differs")
        // -0.0 is written as -0, which reads as 0: settled after one more reading.
        let settled = again.encode()
        hold((try? JSON.parse(settled))?.encode() == settled, "JSON is never written the same twice")
        // As the store keeps it: everything but the version's text.
        if value.object != nil, let (bytes, cut) = value.encodeCut(at: ["metadata", "resourceVersion"]) {
            guard let joined = try? JSON.parse(Array(bytes[..<cut]) + Array("7".utf8) + bytes[cut...]) else {
                fatalError("broken: an object cut at its version does not parse")
            }
            hold(joined.at("metadata", "resourceVersion") == "7", "the version is elsewhere")
        }
    }

    static func yaml(_ bytes: [UInt8]) {
        var duplicates: [String] = []
        guard let documents = try? YAML.parse(bytes, limits: .body, duplicates: &duplicates) else { return }
        for document in documents {
            guard let again = try? JSON.parse(document.encode(), limits: .body) else {
                fatalError("broken: YAML is no JSON within the same limits")
            }
            hold(again.isSame(as: document), "YAML written as JSON differs")
            guard document.encode().count < 1 << 20, let other = try? YAML.parse(document.encodeYAML()) else {
                hold(document.encode().count >= 1 << 20, "what was written as YAML does not parse")
                continue
            }
            hold(other.count == 1 && other[0].isSame(as: document), "YAML written and read again differs")
        }
    }

    static func selector(_ bytes: [UInt8]) {
        let text = String(decoding: bytes, as: UTF8.self)
        if let selector = try? LabelSelector(parsing: text) {
            guard let again = try? LabelSelector(parsing: selector.description) else {
                fatalError("broken: a label selector's own text does not parse: \(selector)")
            }
            hold(again.description == selector.description, "a label selector's text changes when parsed: \(selector)")
            for labels in [[:], ["a": "b"], ["app": "web", "tier": "front"]] {
                hold(selector.matches(labels) == again.matches(labels), "a label selector's text selects otherwise")
            }
        }
        if let selector = try? FieldSelector(parsing: text) {
            let again = try? FieldSelector(parsing: selector.description)
            hold(again == selector, "a field selector's text means something else: \(selector)")
            _ = selector.matches { _ in "x" }
        }
    }

    static func token(_ bytes: [UInt8]) {
        let text = String(decoding: bytes, as: UTF8.self)
        if let token = ContinueToken(text) { hold(ContinueToken(token.text) == token, "a token comes back changed") }
        let made = ContinueToken(revision: UInt64(bytes.count), after: text)
        hold(ContinueToken(made.text) == made, "a token is not what it was made of")
        if let plain = Base64.decode(text) { hold(Base64.decode(Base64.encode(plain)) == plain, "base64 changes bytes") }
        _ = JSONWebToken(text)
        for wire in ChannelProtocol.allCases {
            if let message = wire.decode(bytes) {
                let again = wire.decode(wire.encode(message.channel, message.bytes))
                hold(again?.channel == message.channel && again?.bytes == message.bytes, "a channel's message changes")
            }
        }
    }

    /// A request target, and header fields by which the API decides.
    static func path(_ bytes: [UInt8]) {
        let text = String(decoding: bytes, as: UTF8.self)
        let target = HTTPTarget.parse(text)
        hold(!target.path.isEmpty, "a path is empty")
        if let path = RequestInfo.path(target.path) {
            for method in ["GET", "POST", "DELETE", "BREW"] { _ = RequestInfo.verb(method: method, path: path, watch: false) }
            if let declaration = Registry.standard.find(group: path.group, version: path.version, resource: path.resource) {
                let query = Query(target.query)
                _ = try? query.listOptions()
                _ = try? query.writeOptions("CreateOptions", user: UserInfo(name: "fuzz", groups: []))
                _ = try? query.deleteOptions(nil)
                _ = try? WatchOptions(query)
                _ = try? query.filter(path, declaration, SelectableFields(declaration.strategy))
            }
        }
        let headers: HTTPHeaders = ["Accept": text, "Content-Type": text]
        _ = try? Negotiation.negotiate(headers, allowTable: true)
        _ = try? Negotiation.bodyEncoding(headers)
        _ = Negotiation.wantsAggregatedDiscovery(headers)
        _ = FieldOwner.manager(userAgent: text)
    }

    /// A letter for the grammar, then the text: fields of objects that are languages of their own.
    static func grammar(_ bytes: [UInt8]) {
        guard let first = bytes.first else { return }
        let text = String(decoding: bytes.dropFirst(), as: UTF8.self)
        switch first {
        case UInt8(ascii: "c"):
            if let schedule = try? CronSchedule(parsing: text) { hold(schedule.minutes >> 60 == 0, "there is no minute 60") }
        case UInt8(ascii: "j"):
            if let path = try? JSONPath(text) {
                _ = path.values(in: ["a": ["b": [1, 2, 3]], "items": [["type": "Ready", "n": 1], ["type": "x", "n": 2.5]]])
            }
        case UInt8(ascii: "p"):
            if let pattern = try? Pattern(text) { _ = pattern.matches("aaaaaaaa bbb-1.example.com\nÄ") }
        case UInt8(ascii: "q"):
            if let quantity = Quantity(text) {
                let again = Quantity("\(quantity)")
                hold(again?.nanos == quantity.nanos, "\(quantity) is written so that it means another amount")
            }
        case UInt8(ascii: "t"):
            if let time = Timestamp(rfc3339: text) {
                hold(Timestamp(rfc3339: time.rfc3339) != nil, "a time is written so that it is none: \(time.rfc3339)")
                _ = time.rfc3339Micro
            }
        case UInt8(ascii: "a"):
            if let address = IPAddress(text) { hold(IPAddress("\(address)") == address, "\(address) comes back changed") }
            if let range = CIDR(text) { hold(CIDR("\(range)") == range, "\(range) comes back changed") }
        default:
            if let element = try? FieldElement(text) { _ = element }
        }
    }
}
