// Numbers (RFC 8259, section 6): exact in Int64 where they are written as integers, else doubles.
//
// An integer beyond Int64 becomes the nearest double, as in Kubernetes. What is beyond a double is refused, and so is a
// number of more than 4096 bytes that is no such integer.

extension JSONParser {
    mutating func parseNumber() throws(Failure) -> JSON {
        let start = position
        let negative = bytes[position] == UInt8(ascii: "-")
        if negative { position += 1 }
        var value: UInt64 = 0
        var exact = true
        let firstDigit = position
        while let digit = digit() {
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(UInt64(digit))
            if overflow || carry { exact = false }
            value = sum
            position += 1
        }
        guard position > firstDigit else { throw unexpected("in numeric literal") }
        if bytes[firstDigit] == UInt8(ascii: "0"), position > firstDigit + 1 {
            position = firstDigit + 1
            throw unexpected("after top-level value")
        }
        if peek() == UInt8(ascii: ".") {
            exact = false
            position += 1
            guard digit() != nil else { throw unexpected("after decimal point in numeric literal") }
            while digit() != nil { position += 1 }
        }
        if peek() == UInt8(ascii: "e") || peek() == UInt8(ascii: "E") {
            exact = false
            position += 1
            if peek() == UInt8(ascii: "+") || peek() == UInt8(ascii: "-") { position += 1 }
            guard digit() != nil else { throw unexpected("in exponent of numeric literal") }
            while digit() != nil { position += 1 }
        }
        if exact {
            if !negative, value <= UInt64(Int64.max) { return .int(Int64(value)) }
            if negative, value <= UInt64(Int64.max) + 1 { return .int(Int64(truncatingIfNeeded: 0 &- value)) }
        }
        guard position - start <= 4096 else { throw Failure(reason: "number is too long", offset: start) }
        let text = String(decoding: UnsafeBufferPointer(rebasing: bytes[start..<position]), as: UTF8.self)
        guard let double = Double(text), double.isFinite else {
            throw Failure(reason: "number \(text.prefix(40)) is out of range", offset: start)
        }
        return .double(double)
    }

    @inline(__always)
    private func digit() -> UInt8? {
        guard position < bytes.count else { return nil }
        let digit = bytes[position] &- UInt8(ascii: "0")
        return digit < 10 ? digit : nil
    }
}
