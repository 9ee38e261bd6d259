// A backup: one file with everything that lasts in a store, and the files a cluster is nothing without (keys).
//
//      "noded backup 1\n"  then records:  type (1 byte)  length (8)  payload  CRC-64 of the three (8)
//
//      S  state    revision, time                                          first
//      O  object   id, revision, time, class, resource, namespace, name, prefix, suffix
//      F  file     mode, path below the data directory, content
//      E  end      number of records before it                             last: without it the file was cut short
//
// Numbers are 8 bytes, little-endian; texts and bytes are a number and so many bytes. The same stream without files is
// what a running noded sends over its control socket; so a backup holds nothing up and needs no room in noded.
//
// A backup holds Secrets and private keys in plain: mode 0600, and as precious as the cluster.

internal import System

/// Everything that lasts in a store, as it was at one revision.
public struct StoreSnapshot: Sendable {
    public let revision: UInt64
    /// Seconds since 1970.
    public let time: Int64
    let entries: [StoreKey: StoreState.Entry]

    /// The stream, in pieces of about 256 KiB, up to the first error of `write`.
    public func send(_ write: ([UInt8]) throws -> Void) rethrows {
        var writer = BackupWriter(revision: revision, time: time)
        for (key, entry) in entries where entry.durability != .volatile {
            writer.object(key, entry)
            if writer.bytes.count > 256 << 10 { try write(writer.take()) }
        }
        writer.end()
        try write(writer.take())
    }
}

/// Encodes records; the caller takes the bytes away.
public struct BackupWriter {
    static let magic = Array("noded backup 1\n".utf8)

    public private(set) var bytes = BackupWriter.magic
    private var records: UInt64 = 0

    public init(revision: UInt64, time: Int64) {
        record("S") { payload in
            payload.append(revision)
            payload.append(UInt64(bitPattern: time))
        }
    }

    public mutating func take() -> [UInt8] {
        defer { bytes = [] }
        return bytes
    }

    mutating func object(_ key: StoreKey, _ entry: StoreState.Entry) {
        record("O") { payload in
            let time = UInt64(bitPattern: entry.time)
            for number in [entry.id, entry.revision, time, UInt64(entry.durability.rawValue)] {
                payload.append(number)
            }
            for text in [key.resource, key.namespace, key.name] { payload.append(Array(text.utf8)) }
            payload.append(Array(entry.value.prefix))
            payload.append(Array(entry.value.suffix))
        }
    }

    public mutating func add(_ object: BackupRecord.Object) { self.object(object.key, object.entry) }

    /// `path`: below the data directory.
    public mutating func file(_ path: String, mode: UInt32, _ content: [UInt8]) {
        record("F") { payload in
            payload.append(UInt64(mode))
            payload.append(Array(path.utf8))
            payload.append(content)
        }
    }

    public mutating func end() {
        let count = records
        record("E") { $0.append(count) }
    }

    private mutating func record(_ type: Character, _ fill: (inout Payload) -> Void) {
        var payload = Payload()
        fill(&payload)
        let start = bytes.count
        bytes.append(type.asciiValue!)
        bytes += Payload.bytes(UInt64(payload.bytes.count))
        bytes += payload.bytes
        let sum = bytes[start...].withUnsafeBytes { Checksum.of($0) }
        bytes += Payload.bytes(sum)
        records += 1
    }

    private struct Payload {
        var bytes: [UInt8] = []

        static func bytes(_ number: UInt64) -> [UInt8] { withUnsafeBytes(of: number.littleEndian) { Array($0) } }
        mutating func append(_ number: UInt64) { bytes += Payload.bytes(number) }
        mutating func append(_ part: [UInt8]) {
            append(UInt64(part.count))
            bytes += part
        }
    }
}

/// One record of a backup.
public enum BackupRecord: Sendable {
    public struct Object: Sendable {
        public let key: StoreKey
        let entry: StoreState.Entry
        public var revision: UInt64 { entry.revision }
    }

    case state(revision: UInt64, time: Int64)
    case object(Object)
    case file(path: String, mode: UInt32, content: [UInt8])
    case end
}

/// Decodes a stream of records from bytes as they come; finds every byte that is not as it was written.
public struct BackupReader {
    /// No object or key file is greater; protects the memory from a damaged length.
    private static let lengthLimit = 64 << 20

    private let path: String
    private let source: (Int) throws -> [UInt8]
    private var buffer: [UInt8] = []
    private var position = 0
    private var records: UInt64 = 0
    private var ended = false

    /// - Parameters:
    ///   - path: for errors.
    ///   - source: up to so many bytes; empty at the end.
    public init(path: String, source: @escaping (Int) throws -> [UInt8]) throws {
        self.path = path
        self.source = source
        guard try fetch(BackupWriter.magic.count) == BackupWriter.magic[...] else {
            throw damaged("it does not begin like one")
        }
    }

    /// The next record, `.end` being the last; nil after it. Throws StoreError.badBackup, or what the source throws.
    public mutating func next() throws -> BackupRecord? {
        if ended { return nil }
        let head = try fetch(9)
        let length = BackupReader.number(head.dropFirst())
        guard length <= UInt64(BackupReader.lengthLimit) else {
            throw damaged("record \(records) has length \(length)")
        }
        let payload = Array(try fetch(Int(length)))
        let stored = BackupReader.number(try fetch(8))
        let sum = (Array(head) + payload).withUnsafeBytes { Checksum.of($0) }
        guard stored == sum else { throw damaged("record \(records) does not have its checksum") }
        var fields = Fields(bytes: payload)
        guard let record = decode(head[head.startIndex], &fields), fields.isAtEnd else {
            throw damaged("record \(records) makes no sense")
        }
        if case .end = record { ended = true }
        records += 1
        return record
    }

    private func decode(_ type: UInt8, _ fields: inout Fields) -> BackupRecord? {
        switch Character(UnicodeScalar(type)) {
        case "S":
            guard records == 0, let revision = fields.number(), let time = fields.number() else { return nil }
            return .state(revision: revision, time: Int64(bitPattern: time))
        case "O":
            guard let id = fields.number(), let revision = fields.number(), let time = fields.number(),
                let number = fields.number(), let durability = UInt8(exactly: number).flatMap(Durability.init),
                let resource = fields.text(), let namespace = fields.text(), let name = fields.text(),
                let prefix = fields.part(), let suffix = fields.part()
            else { return nil }
            return .object(
                BackupRecord.Object(
                    key: StoreKey(resource: resource, namespace: namespace, name: name),
                    entry: StoreState.Entry(
                        id: id, revision: revision,
                        value: EncodedObject(prefix: prefix, suffix: suffix, revision: revision),
                        durability: durability, time: Int64(bitPattern: time))))
        case "F":
            guard let mode = fields.number(), mode <= 0o777, let path = fields.text(), let content = fields.part()
            else { return nil }
            return .file(path: path, mode: UInt32(mode), content: content)
        case "E":
            return fields.number() == records ? .end : nil
        default: return nil
        }
    }

    private mutating func fetch(_ count: Int) throws -> ArraySlice<UInt8> {
        while buffer.count - position < count {
            let more = try source(max(count - (buffer.count - position), 256 << 10))
            guard !more.isEmpty else { throw damaged("it ends after \(records) records, before its end was written") }
            buffer.removeFirst(position)
            position = 0
            buffer += more
        }
        defer { position += count }
        return buffer[position..<(position + count)]
    }

    private func damaged(_ detail: String) -> StoreError { .badBackup(path: path, detail: detail) }

    fileprivate static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    private struct Fields {
        let bytes: [UInt8]
        var position = 0

        var isAtEnd: Bool { position == bytes.count }

        mutating func number() -> UInt64? {
            guard bytes.count - position >= 8 else { return nil }
            defer { position += 8 }
            return BackupReader.number(bytes[position..<(position + 8)])
        }

        mutating func part() -> [UInt8]? {
            guard let count = number(), count <= UInt64(bytes.count - position) else { return nil }
            defer { position += Int(count) }
            return Array(bytes[position..<(position + Int(count))])
        }

        mutating func text() -> String? { part().flatMap { String(validating: $0, as: UTF8.self) } }
    }
}
