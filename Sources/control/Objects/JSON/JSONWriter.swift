// The JSON encoder: compact, straight to bytes, keys in the order the object holds them.
//
// Numbers are written as Go writes them (an exponent below 1e-6 and from 1e21), so that an object that came from a
// Kubernetes client goes back unchanged. HTML characters are not escaped: these bytes are served as JSON only.
// Cannot fail; a double that is not finite, which the parser never makes, is written as null.

extension JSON {
    /// The compact encoding.
    public func encode() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(256)
        encode(into: &bytes)
        return bytes
    }

    /// The compact encoding as text.
    public var text: String { String(decoding: encode(), as: UTF8.self) }

    /// Appends the compact encoding.
    public func encode(into bytes: inout [UInt8]) {
        switch self {
        case .null: bytes.append(contentsOf: [0x6E, 0x75, 0x6C, 0x6C])
        case .bool(true): bytes.append(contentsOf: [0x74, 0x72, 0x75, 0x65])
        case .bool(false): bytes.append(contentsOf: [0x66, 0x61, 0x6C, 0x73, 0x65])
        case .int(let value): JSONWriter.write(value, &bytes)
        case .double(let value): JSONWriter.write(value, &bytes)
        case .string(let value): JSONWriter.write(value, &bytes)
        case .array(let elements):
            bytes.append(UInt8(ascii: "["))
            for index in elements.indices {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                elements[index].encode(into: &bytes)
            }
            bytes.append(UInt8(ascii: "]"))
        case .object(let object): object.encode(into: &bytes)
        }
    }

    /// Appends a string with its quotes, escaped.
    public static func encode(_ text: String, into bytes: inout [UInt8]) { JSONWriter.write(text, &bytes) }

    /// The encoding without the content of the string at the path, and the place where it is missing: between the
    /// string's quotes. The API server stores objects this way, without their resourceVersion. A missing or different
    /// value is written as a string; a path through something else than objects gives nil.
    public func encodeCut(at path: [String]) -> (bytes: [UInt8], cut: Int)? {
        var cut = self
        cut.set(path, to: .string(""))
        guard cut.at(path) != nil else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(512)
        guard let middle = cut.encode(into: &bytes, noting: path[...]) else { return nil }
        // A copy of the right size: what is kept for long must not keep the room that writing took. (An Array of a
        // slice that is the whole array is that array.)
        let exact = [UInt8](unsafeUninitializedCapacity: bytes.count) { buffer, count in
            count = buffer.initialize(fromContentsOf: bytes)
        }
        return (exact, middle)
    }

    /// Appends the encoding and says behind which byte the opening quote of the string at the path is.
    private func encode(into bytes: inout [UInt8], noting path: ArraySlice<String>) -> Int? {
        guard let wanted = path.first, case .object(let object) = self else {
            encode(into: &bytes)
            return path.isEmpty ? bytes.count - 1 : nil
        }
        var place: Int?
        bytes.append(UInt8(ascii: "{"))
        for index in object.entries.indices {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            JSONWriter.write(object.entries[index].key, &bytes)
            bytes.append(UInt8(ascii: ":"))
            if object.entries[index].key == wanted {
                place = object.entries[index].value.encode(into: &bytes, noting: path.dropFirst())
            } else {
                object.entries[index].value.encode(into: &bytes)
            }
        }
        bytes.append(UInt8(ascii: "}"))
        return place
    }
}

extension JSONObject {
    /// Appends the compact encoding.
    public func encode(into bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "{"))
        for index in entries.indices {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            JSONWriter.write(entries[index].key, &bytes)
            bytes.append(UInt8(ascii: ":"))
            entries[index].value.encode(into: &bytes)
        }
        bytes.append(UInt8(ascii: "}"))
    }
}

enum JSONWriter {
    static func write(_ value: Int64, _ bytes: inout [UInt8]) {
        if value < 0 { bytes.append(UInt8(ascii: "-")) }
        var rest = value.magnitude
        let start = bytes.count
        repeat {
            bytes.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10))
            rest /= 10
        } while rest > 0
        bytes[start...].reverse()
    }

    static func write(_ text: String, _ bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\""))
        Bytes.with(text) { content in
            var plain = 0
            var index = 0
            while index < content.count {
                let byte = content[index]
                if byte >= 0x20, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\") {
                    index += 1
                    continue
                }
                bytes.append(contentsOf: UnsafeBufferPointer(rebasing: content[plain..<index]))
                escape(byte, &bytes)
                index += 1
                plain = index
            }
            bytes.append(contentsOf: UnsafeBufferPointer(rebasing: content[plain...]))
        }
        bytes.append(UInt8(ascii: "\""))
    }

    private static func escape(_ byte: UInt8, _ bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\\"))
        switch byte {
        case 0x0A: bytes.append(UInt8(ascii: "n"))
        case 0x0D: bytes.append(UInt8(ascii: "r"))
        case 0x09: bytes.append(UInt8(ascii: "t"))
        case 0x08: bytes.append(UInt8(ascii: "b"))
        case 0x0C: bytes.append(UInt8(ascii: "f"))
        case 0..<0x20:
            let digits = Array("0123456789abcdef".utf8)
            bytes.append(contentsOf: Array("u00".utf8))
            bytes.append(digits[Int(byte >> 4)])
            bytes.append(digits[Int(byte & 15)])
        default: bytes.append(byte)
        }
    }

    /// The shortest digits that give the same double again, laid out as Go's encoder does.
    static func write(_ value: Double, _ bytes: inout [UInt8]) {
        guard value.isFinite else {
            bytes.append(contentsOf: Array("null".utf8))
            return
        }
        // Swift's description has the shortest digits; only its layout differs.
        var digits: [UInt8] = []
        var point: Int?
        var exponent = 0
        let text = Array(value.magnitude.description.utf8)
        for (index, byte) in text.enumerated() {
            if byte == UInt8(ascii: ".") {
                point = digits.count
            } else if byte == UInt8(ascii: "e") {
                exponent = Int(String(decoding: text[(index + 1)...], as: UTF8.self)) ?? 0
                break
            } else {
                digits.append(byte)
            }
        }
        var scale = (point ?? digits.count) + exponent
        while digits.count > 1, digits[0] == UInt8(ascii: "0") {
            digits.removeFirst()
            scale -= 1
        }
        while digits.count > 1, digits[digits.count - 1] == UInt8(ascii: "0") { digits.removeLast() }
        if value.sign == .minus { bytes.append(UInt8(ascii: "-")) }
        if value == 0 { return bytes.append(UInt8(ascii: "0")) }
        layOut(digits, scale: scale, exponential: value.magnitude < 1e-6 || value.magnitude >= 1e21, &bytes)
    }

    /// Digits whose decimal point is behind the `scale`-th of them.
    private static func layOut(_ digits: [UInt8], scale: Int, exponential: Bool, _ bytes: inout [UInt8]) {
        let zero = UInt8(ascii: "0")
        let point = UInt8(ascii: ".")
        if exponential {
            bytes.append(digits[0])
            if digits.count > 1 {
                bytes.append(point)
                bytes.append(contentsOf: digits[1...])
            }
            bytes.append(UInt8(ascii: "e"))
            bytes.append(UInt8(ascii: scale > 0 ? "+" : "-"))
            write(Int64(abs(scale - 1)), &bytes)
        } else if scale <= 0 {
            bytes.append(zero)
            bytes.append(point)
            bytes.append(contentsOf: repeatElement(zero, count: -scale))
            bytes.append(contentsOf: digits)
        } else if digits.count <= scale {
            bytes.append(contentsOf: digits)
            bytes.append(contentsOf: repeatElement(zero, count: scale - digits.count))
        } else {
            bytes.append(contentsOf: digits[..<scale])
            bytes.append(point)
            bytes.append(contentsOf: digits[scale...])
        }
    }
}
