// One line of a container's log file in CRI format: `2026-11-21T03:04:05.123456789Z stdout F text`.
// P marks a piece of a longer line: no newline follows it.

import System

struct LogLine {
    var time: ArraySlice<UInt8>
    var stream: ArraySlice<UInt8>
    var isPartial: Bool
    var text: ArraySlice<UInt8>

    /// nil when `line` (without its newline) is not in CRI format.
    init?(_ line: ArraySlice<UInt8>) {
        let space = UInt8(ascii: " ")
        guard let first = line.firstIndex(of: space),
            let second = line[line.index(after: first)...].firstIndex(of: space)
        else { return nil }
        let tag = line.index(after: second)
        guard tag < line.endIndex else { return nil }
        time = line[..<first]
        stream = line[line.index(after: first)..<second]
        let third = line[tag...].firstIndex(of: space) ?? line.endIndex
        isPartial = line[tag] == UInt8(ascii: "P")
        text = third < line.endIndex ? line[line.index(after: third)...] : []
    }

    var timestamp: Timestamp? { Timestamp(rfc3339: String(decoding: time, as: UTF8.self)) }
}
