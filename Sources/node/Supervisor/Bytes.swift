// Bytes where other programs have strings: paths and names are what the kernel says they are.

import CSupervisor
import SupervisorProtocolE

func bytes(_ text: StaticString) -> [UInt8] {
    [UInt8](UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
}

extension Array where Element == UInt8 {
    /// As a C string. What follows a NUL inside is cut off: plans are checked for that by noded.
    func withPath<R>(_ body: (UnsafePointer<CChar>) -> R) -> R {
        var copy = self
        copy.append(0)
        return copy.withUnsafeBufferPointer {
            body(UnsafeRawPointer($0.baseAddress!).assumingMemoryBound(to: CChar.self))
        }
    }

    func equals(_ text: StaticString) -> Bool {
        count == text.utf8CodeUnitCount
            && (isEmpty || withUnsafeBytes { memcmp($0.baseAddress!, text.utf8Start, count) == 0 })
    }

    func has(prefix: StaticString) -> Bool {
        count >= prefix.utf8CodeUnitCount
            && (isEmpty || withUnsafeBytes { memcmp($0.baseAddress!, prefix.utf8Start, prefix.utf8CodeUnitCount) == 0 })
    }

    /// The parts between slashes, without empty ones and ".".
    var components: [[UInt8]] {
        var parts: [[UInt8]] = []
        var part: [UInt8] = []
        for byte in self {
            if byte == UInt8(ascii: "/") {
                if !part.isEmpty && !part.equals(".") { parts.append(part) }
                part = []
            } else {
                part.append(byte)
            }
        }
        if !part.isEmpty && !part.equals(".") { parts.append(part) }
        return parts
    }

    mutating func append(decimal value: Int, width: Int = 1) {
        var digits: [UInt8] = []
        var rest = value
        repeat {
            digits.append(UInt8(ascii: "0") + UInt8(rest % 10))
            rest /= 10
        } while rest > 0
        while digits.count < width { digits.append(UInt8(ascii: "0")) }
        for digit in digits.reversed() { append(digit) }
    }
}

/// -errno of the C layer becomes a Failure.
@discardableResult
func check(_ step: Step, _ target: [UInt8] = [], _ result: Int32) throws(Failure) -> Int32 {
    if result < 0 { throw Failure(step, -result, target) }
    return result
}

/// Closes and forgets.
func closeDescriptor(_ fd: inout Int32) {
    if fd >= 0 { _ = sup_close(fd) }
    fd = -1
}

/// Writes all to a descriptor that blocks, or as much as one that does not will take; returns what was written.
@discardableResult
func writeAll(_ fd: Int32, _ bytes: [UInt8]) -> Int { bytes.withUnsafeBytes { writeAll(fd, $0) } }

@discardableResult
func writeAll(_ fd: Int32, _ buffer: UnsafeRawBufferPointer) -> Int {
    var done = 0
    while done < buffer.count {
        let count = sup_write(fd, buffer.baseAddress! + done, buffer.count - done)
        if count <= 0 { break }
        done += count
    }
    return done
}
