// A container's log in the CRI format (cri-api, ContainerConfig.log_path): every line is
//
//     2026-11-21T03:04:05.000000000Z stdout F the line
//
// with P instead of F when it is only a piece of a line that is longer than 16 KiB. A file that would grow past its
// limit is renamed to PATH.20261121-030405 and a new one is begun; so many files are kept. When the disk is full, lines
// are lost and counted: a container must not hang on its log.

import CSupervisor
import SupervisorProtocolE

/// Turns one output stream into log lines.
struct LineSplitter {
    /// containerd's limit for a line's piece.
    static let maximum = 16 << 10
    /// "stdout" or "stderr".
    let stream: StaticString
    /// The line that has not ended yet.
    private var pending: [UInt8] = []

    init(_ stream: StaticString) { self.stream = stream }

    /// Appends the lines that `bytes` ends to `out`.
    mutating func feed(_ bytes: UnsafeRawBufferPointer, at time: Timestamp, to out: inout [UInt8]) {
        var start = 0
        while start < bytes.count {
            let room = LineSplitter.maximum - pending.count
            let window = min(room, bytes.count - start)
            let from = bytes.baseAddress! + start
            if let newline = memchr(from, 10, window) {
                let length = UnsafeRawPointer(newline) - UnsafeRawPointer(from)
                line(UnsafeRawBufferPointer(start: from, count: length), partial: false, time, to: &out)
                start += length + 1
            } else if window == room {
                line(UnsafeRawBufferPointer(start: from, count: window), partial: true, time, to: &out)
                start += window
            } else {
                pending.append(contentsOf: UnsafeRawBufferPointer(start: from, count: window))
                start += window
            }
        }
    }

    /// The stream's end: what has no newline is a line, too.
    mutating func finish(at time: Timestamp, to out: inout [UInt8]) {
        if pending.isEmpty { return }
        line(UnsafeRawBufferPointer(start: nil, count: 0), partial: false, time, to: &out)
    }

    private mutating func line(
        _ rest: UnsafeRawBufferPointer, partial: Bool, _ time: Timestamp, to out: inout [UInt8]
    ) {
        out += time.text
        out.append(UInt8(ascii: " "))
        out.append(contentsOf: UnsafeBufferPointer(start: stream.utf8Start, count: stream.utf8CodeUnitCount))
        out.append(UInt8(ascii: " "))
        out.append(UInt8(ascii: partial ? "P" : "F"))
        out.append(UInt8(ascii: " "))
        out += pending
        out.append(contentsOf: rest)
        out.append(UInt8(ascii: "\n"))
        pending = []
    }
}

/// A moment, written once for all lines that were read together.
struct Timestamp {
    /// RFC 3339 with nine digits, UTC.
    let text: [UInt8]

    init(_ nanoseconds: Int64 = sup_now()) {
        let fields = Timestamp.civil(nanoseconds)
        var text: [UInt8] = []
        text.reserveCapacity(30)
        text.append(decimal: fields.0, width: 4)
        text.append(UInt8(ascii: "-"))
        text.append(decimal: fields.1, width: 2)
        text.append(UInt8(ascii: "-"))
        text.append(decimal: fields.2, width: 2)
        text.append(UInt8(ascii: "T"))
        text.append(decimal: fields.3, width: 2)
        text.append(UInt8(ascii: ":"))
        text.append(decimal: fields.4, width: 2)
        text.append(UInt8(ascii: ":"))
        text.append(decimal: fields.5, width: 2)
        text.append(UInt8(ascii: "."))
        text.append(decimal: Int(nanoseconds % 1_000_000_000), width: 9)
        text.append(UInt8(ascii: "Z"))
        self.text = text
    }

    /// For names of rotated files: 20261121-030405.
    static func compact(_ nanoseconds: Int64 = sup_now()) -> [UInt8] {
        let fields = civil(nanoseconds)
        var text: [UInt8] = []
        text.append(decimal: fields.0, width: 4)
        text.append(decimal: fields.1, width: 2)
        text.append(decimal: fields.2, width: 2)
        text.append(UInt8(ascii: "-"))
        text.append(decimal: fields.3, width: 2)
        text.append(decimal: fields.4, width: 2)
        text.append(decimal: fields.5, width: 2)
        return text
    }

    private static func civil(_ nanoseconds: Int64) -> (Int, Int, Int, Int, Int, Int) {
        var fields: (Int32, Int32, Int32, Int32, Int32, Int32) = (0, 0, 0, 0, 0, 0)
        withUnsafeMutableBytes(of: &fields) {
            sup_civil(nanoseconds / 1_000_000_000, $0.baseAddress!.assumingMemoryBound(to: Int32.self))
        }
        return (Int(fields.0), Int(fields.1), Int(fields.2), Int(fields.3), Int(fields.4), Int(fields.5))
    }
}

/// The file that lines go to.
struct LogFile {
    private var fd: Int32 = -1
    private let path: [UInt8]
    private let maximumSize: UInt64
    private let maximumFiles: Int
    private var size: UInt64 = 0
    /// Names of rotated files, oldest first.
    private var rotated: [[UInt8]] = []
    /// Bytes that could not be written.
    private(set) var lost: UInt64 = 0

    /// No path: everything is thrown away.
    init(_ path: [UInt8], maximumSize: UInt64, maximumFiles: UInt64) throws(Failure) {
        self.path = path
        self.maximumSize = maximumSize
        self.maximumFiles = Int(max(1, min(maximumFiles, 1000)))
        if !path.isEmpty { fd = try check(.openLog, path, path.withPath { sup_open_log($0) }) }
        if fd >= 0 { size = LogFile.length(fd) }
    }

    private static func length(_ fd: Int32) -> UInt64 {
        var status = stat()
        return fstat(fd, &status) == 0 ? UInt64(status.st_size) : 0
    }

    /// Whole lines only, so that a file never ends in the middle of one.
    mutating func write(_ lines: [UInt8]) {
        if fd < 0 { return }
        var start = 0
        while start < lines.count {
            let rest = lines.count - start
            let room = maximumSize == 0 ? rest : Int(clamping: maximumSize) - Int(clamping: size)
            var end = rest <= room ? lines.count : (lines.lastNewline(from: start, to: start + max(0, room)) ?? start)
            if end == start {
                if size > 0 {
                    rotate()
                    if size == 0 { continue }
                }
                // Longer than a whole file may be, or the old file cannot be moved: it is written all the same.
                end = lines.firstNewline(from: start)
            }
            let written = lines.withUnsafeBytes { writeAll(fd, UnsafeRawBufferPointer(rebasing: $0[start..<end])) }
            size += UInt64(written)
            lost += UInt64(end - start - written)
            start = end
        }
    }

    private mutating func rotate() {
        var name = path + [UInt8(ascii: ".")] + Timestamp.compact()
        // Two rotations in a second must not lose the first one's file.
        if let last = rotated.last, last.count >= name.count, last.prefix(name.count).elementsEqual(name) {
            name = last + bytes(".1")
        }
        let result = path.withPath { from in name.withPath { sup_rename(from, $0) } }
        if result < 0 && result != -SUP_ENOENT { return }
        rotated.append(name)
        while rotated.count > maximumFiles - 1 {
            _ = rotated.removeFirst().withPath { sup_unlink($0) }
        }
        reopen()
    }

    /// Begins a new file at the path (the old one was moved away). When it cannot be made, the old one goes on.
    mutating func reopen() {
        if path.isEmpty { return }
        let new = path.withPath { sup_open_log($0) }
        if new < 0 { return }
        closeDescriptor(&fd)
        fd = new
        size = LogFile.length(new)
    }

    mutating func close() { closeDescriptor(&fd) }
}

extension Array where Element == UInt8 {
    /// The index after the last newline in the range.
    fileprivate func lastNewline(from start: Int, to end: Int) -> Int? {
        var index = end
        while index > start {
            if self[index - 1] == 10 { return index }
            index -= 1
        }
        return nil
    }

    /// The index after the first newline, or the end.
    fileprivate func firstNewline(from start: Int) -> Int {
        var index = start
        while index < count {
            if self[index] == 10 { return index + 1 }
            index += 1
        }
        return count
    }
}
