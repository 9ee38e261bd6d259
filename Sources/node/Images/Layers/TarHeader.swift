// One block of a tar header (POSIX.1-1988 ustar, GNU's base-256 numbers) and the extensions that override it (pax
// records). Everything in it is an attacker's: numbers are checked against what they will be used for before they are
// narrowed, names must be UTF-8 without NUL, because the kernel would see another name after it.

import System

struct TarHeader {
    let bytes: [UInt8]

    var type: UInt8 { bytes[156] }

    /// The sum over the block with the checksum itself as spaces; old writers summed signed bytes.
    var checksumHolds: Bool {
        guard let stored = try? number(148, 8, "checksum") else { return false }
        var unsigned: Int64 = 0
        var signed: Int64 = 0
        for (index, byte) in bytes.enumerated() {
            let value = (148..<156).contains(index) ? UInt8(ascii: " ") : byte
            unsigned += Int64(value)
            signed += Int64(Int8(bitPattern: value))
        }
        return stored == unsigned || stored == signed
    }

    func size() throws -> Int { try Self.length(number(124, 12, "size")) }

    func entry(_ extensions: TarExtensions) throws -> TarEntry {
        if let sparse = extensions.records.keys.first(where: { $0.hasPrefix("GNU.sparse.") }) {
            throw ArchiveFault.unsupported(
                what: "a sparse file (\(sparse))", advice: "build the layer without tar --sparse")
        }
        let name = try text(extensions.longName ?? extensions.value("path") ?? plainName, "a file name")
        if name.isEmpty { throw ArchiveFault.malformed(what: "a tar header", why: "the name is empty") }
        let kind = try kind(name)
        var target = ""
        if kind == .symlink || kind == .hardLink {
            target = try text(
                extensions.longTarget ?? extensions.value("linkpath") ?? field(157, 100), "a link's target")
            if target.isEmpty {
                throw ArchiveFault.malformed(what: "link \(ArchiveFault.quote(name))", why: "no target")
            }
        }
        let isDevice = kind == .characterDevice || kind == .blockDevice
        return TarEntry(
            kind: kind, name: name, target: target,
            size: kind == .file ? try extensions.decimal("size").map(Self.length) ?? size() : 0,
            mode: UInt32(truncatingIfNeeded: try number(100, 8, "mode") & 0o7777),
            uid: try Self.owner(extensions.decimal("uid") ?? number(108, 8, "uid"), name),
            gid: try Self.owner(extensions.decimal("gid") ?? number(116, 8, "gid"), name),
            modified: try extensions.time("mtime") ?? Timestamp(seconds: Self.clamp(number(136, 12, "mtime"))),
            deviceMajor: isDevice ? UInt32(clamping: try number(329, 8, "device number")) : 0,
            deviceMinor: isDevice ? UInt32(clamping: try number(337, 8, "device number")) : 0,
            attributes: extensions.attributes)
    }

    private func kind(_ name: String) throws -> TarEntry.Kind {
        switch type {
        // Before ustar a directory was a file whose name ends in a slash.
        case 0, UInt8(ascii: "0"), UInt8(ascii: "7"): name.hasSuffix("/") ? .directory : .file
        case UInt8(ascii: "1"): .hardLink
        case UInt8(ascii: "2"): .symlink
        case UInt8(ascii: "3"): .characterDevice
        case UInt8(ascii: "4"): .blockDevice
        case UInt8(ascii: "5"): .directory
        case UInt8(ascii: "6"): .fifo
        case UInt8(ascii: "S"):
            throw ArchiveFault.unsupported(
                what: "sparse file \(ArchiveFault.quote(name))", advice: "build the layer without tar --sparse")
        default:
            throw ArchiveFault.unsupported(
                what: "tar entry type 0x\(String(type, radix: 16)) of \(ArchiveFault.quote(name))",
                advice: "layers hold files, directories, links, devices and fifos")
        }
    }

    // MARK: Fields

    /// Name and, in ustar but not in GNU's dialect (which keeps times there), its prefix.
    private var plainName: [UInt8] {
        let name = field(0, 100)
        guard bytes[257..<263].elementsEqual("ustar\0".utf8) else { return name }
        let isStar = bytes[508..<512].elementsEqual("tar\0".utf8)
        let prefix = field(345, isStar ? 131 : 155)
        return prefix.isEmpty ? name : prefix + [UInt8(ascii: "/")] + name
    }

    private func field(_ offset: Int, _ count: Int) -> [UInt8] {
        Array(bytes[offset..<offset + count].prefix { $0 != 0 })
    }

    private func text(_ bytes: [UInt8], _ what: String) throws -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ArchiveFault.unsupported(
                what: "\(what) that is not UTF-8 (\(ArchiveFault.quote(String(decoding: bytes, as: UTF8.self))))",
                advice: "rename it")
        }
        if bytes.contains(0) { throw ArchiveFault.unsafe(entry: text, why: "\(what) with a NUL in it") }
        return text
    }

    /// Octal digits between spaces and NULs, or, with the top bit set, a big-endian two's complement number.
    private func number(_ offset: Int, _ count: Int, _ what: String) throws -> Int64 {
        let field = bytes[offset..<offset + count]
        func bad() -> ArchiveFault { .malformed(what: "a tar header", why: "its \(what) is not a number") }
        if field[offset] & 0x80 != 0 {
            let negative = field[offset] & 0x40 != 0
            var value: Int64 = negative ? -1 : 0
            for (index, byte) in field.enumerated() {
                let byte = index == 0 ? (negative ? byte | 0x80 : byte & 0x7f) : byte
                let (shifted, overflow) = value.multipliedReportingOverflow(by: 256)
                if overflow { throw bad() }
                value = shifted | Int64(byte)
            }
            return value
        }
        let isBlank: (UInt8) -> Bool = { $0 == 0 || $0 == UInt8(ascii: " ") }
        let digits = field.drop(while: isBlank).prefix { !isBlank($0) }
        var value: Int64 = 0
        for byte in digits {
            guard (UInt8(ascii: "0")...UInt8(ascii: "7")).contains(byte) else { throw bad() }
            let (shifted, overflow) = value.multipliedReportingOverflow(by: 8)
            if overflow { throw bad() }
            value = shifted | Int64(byte - UInt8(ascii: "0"))
        }
        return value
    }

    private static func length(_ value: Int64) throws -> Int {
        guard (0...1 << 50).contains(value) else {
            throw ArchiveFault.malformed(what: "a tar header", why: "a size of \(value) bytes")
        }
        return Int(value)
    }

    /// 4294967295 means "leave it" to chown(2), and more would wrap to somebody else (CVE-2024-40635).
    private static func owner(_ value: Int64, _ name: String) throws -> UInt32 {
        guard let id = UInt32(exactly: value), id != .max else {
            throw ArchiveFault.unsafe(entry: name, why: "owner \(value) is outside 0 to 4294967294")
        }
        return id
    }

    /// Years -32,000 to 36,000: the kernel clamps to what the file system can hold.
    static func clamp(_ seconds: Int64) -> Int64 { min(max(seconds, -(1 << 40)), 1 << 40) }
}

/// What stands before an entry and overrides its header. Of several blocks of one kind the last counts alone, so that
/// what is held is bounded by the size of a block; GNU's names go before those of pax.
struct TarExtensions {
    /// Not empty: an empty one says nothing.
    var longName: [UInt8]? { didSet { if longName == [] { longName = nil } } }
    var longTarget: [UInt8]? { didSet { if longTarget == [] { longTarget = nil } } }
    /// pax records; an empty value leaves the header's own.
    private(set) var records: [String: [UInt8]] = [:]

    var isEmpty: Bool { longName == nil && longTarget == nil && records.isEmpty }

    /// "LENGTH KEY=VALUE\n", the length counting all of it. Replaces the records of a header before.
    mutating func setPax(_ bytes: [UInt8]) throws {
        records = [:]
        func bad(_ why: String) -> ArchiveFault { .malformed(what: "a pax header", why: why) }
        var rest = bytes[...]
        while !rest.isEmpty {
            let digits = rest.prefix { $0 != UInt8(ascii: " ") }
            guard digits.count <= 7, let length = Int(String(decoding: digits, as: UTF8.self)),
                length > digits.count + 2, length <= rest.count
            else { throw bad("a record of a wrong length") }
            let record = rest.prefix(length).dropFirst(digits.count + 1)
            rest = rest.dropFirst(length)
            guard record.last == UInt8(ascii: "\n"), let equals = record.firstIndex(of: UInt8(ascii: "=")) else {
                throw bad("a record without = or line end")
            }
            let key = record[..<equals]
            guard !key.isEmpty, !key.contains(0), let name = String(validating: key, as: UTF8.self) else {
                throw bad("a record with a bad name")
            }
            records[name] = Array(record[record.index(after: equals)...].dropLast())
        }
    }

    func value(_ key: String) -> [UInt8]? {
        guard let value = records[key], !value.isEmpty else { return nil }
        return value
    }

    func decimal(_ key: String) throws -> Int64? {
        guard let value = value(key) else { return nil }
        guard let number = Int64(String(decoding: value, as: UTF8.self)) else {
            throw ArchiveFault.malformed(what: "a pax header", why: "its \(key) is not a number")
        }
        return number
    }

    /// Seconds with a fraction of any length, also negative.
    func time(_ key: String) throws -> Timestamp? {
        guard let value = value(key) else { return nil }
        let parts = String(decoding: value, as: UTF8.self).split(
            separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        let fraction = parts.count == 2 ? String(parts[1].prefix(9)) : ""
        let isDigits = fraction.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        guard let seconds = Int64(parts[0]), isDigits,
            let nanoseconds = Int32(fraction + String(repeating: "0", count: 9 - fraction.utf8.count))
        else { throw ArchiveFault.malformed(what: "a pax header", why: "its \(key) is not a time") }
        let whole = TarHeader.clamp(seconds)
        if parts[0].hasPrefix("-"), nanoseconds > 0 {
            return Timestamp(seconds: whole - 1, nanoseconds: 1_000_000_000 - nanoseconds)
        }
        return Timestamp(seconds: whole, nanoseconds: nanoseconds)
    }

    /// Extended attributes, sorted by name.
    var attributes: [(name: String, value: [UInt8])] {
        let prefix = "SCHILY.xattr."
        return records.filter { $0.key.hasPrefix(prefix) }
            .map { (name: String($0.key.dropFirst(prefix.count)), value: $0.value) }
            .sorted { $0.name < $1.name }
    }
}
