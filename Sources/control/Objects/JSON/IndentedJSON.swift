// JSON for people: two spaces a level, a line an element, as kube-apiserver writes it when asked with `?pretty=true`.
//
// For answers only: nothing that is stored or compared is written so. Cannot fail.

extension JSON {
    /// The indented encoding.
    public func encodeIndented() -> [UInt8] {
        var bytes: [UInt8] = []
        indent(into: &bytes, level: 0)
        return bytes
    }

    private func indent(into bytes: inout [UInt8], level: Int) {
        switch self {
        case .array(let elements) where !elements.isEmpty:
            bytes.append(UInt8(ascii: "["))
            for (index, element) in elements.enumerated() {
                JSON.line(&bytes, level + 1, comma: index > 0)
                element.indent(into: &bytes, level: level + 1)
            }
            JSON.line(&bytes, level, comma: false)
            bytes.append(UInt8(ascii: "]"))
        case .object(let object) where !object.isEmpty:
            bytes.append(UInt8(ascii: "{"))
            for (index, (key, value)) in object.enumerated() {
                JSON.line(&bytes, level + 1, comma: index > 0)
                JSON.encode(key, into: &bytes)
                bytes.append(contentsOf: ": ".utf8)
                value.indent(into: &bytes, level: level + 1)
            }
            JSON.line(&bytes, level, comma: false)
            bytes.append(UInt8(ascii: "}"))
        default: encode(into: &bytes)
        }
    }

    private static func line(_ bytes: inout [UInt8], _ level: Int, comma: Bool) {
        if comma { bytes.append(UInt8(ascii: ",")) }
        bytes.append(UInt8(ascii: "\n"))
        bytes.append(contentsOf: repeatElement(UInt8(ascii: " "), count: 2 * level))
    }
}
