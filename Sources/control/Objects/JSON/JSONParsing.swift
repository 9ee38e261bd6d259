// How a JSON text is parsed: what a caller asks for, the bounds it sets, and the error it gets. The parser itself is
// JSONParser.
//
// Fails with a JSONError that says what is wrong and where; its line and column are counted only then. Nothing is
// returned of a text that is wrong anywhere.

/// What a parser accepts.
public struct JSONLimits: Sendable {
    /// Nesting of arrays and objects.
    public var depth: Int
    /// Bytes of the whole text.
    public var bytes: Int

    public init(depth: Int = 1024, bytes: Int = 64 << 20) {
        self.depth = depth
        self.bytes = bytes
    }

    /// For what noded wrote itself. An object is nested a little deeper in the store than it came: its owners' fields
    /// (metadata.managedFields) mirror it some levels further down.
    public static let standard = JSONLimits()
    /// For what comes in a request.
    public static let body = JSONLimits(depth: 512)
}

/// Why a text is not the JSON (or YAML) that was expected, and where.
public struct JSONError: Error, Hashable, Sendable, CustomStringConvertible {
    /// In the words of Go's decoder where it has them, since Kubernetes' users know these.
    public let reason: String
    /// Counted from 1.
    public let line: Int
    /// Bytes from the start of the line, counted from 1.
    public let column: Int
    /// Bytes from the start of the text, counted from 0.
    public let offset: Int

    public init(reason: String, line: Int, column: Int, offset: Int) {
        self.reason = reason
        self.line = line
        self.column = column
        self.offset = offset
    }

    public var description: String { "line \(line), column \(column): \(reason)" }
}

extension JSON {
    /// Parses one JSON text. A duplicate key is an error.
    public static func parse(_ bytes: [UInt8], limits: JSONLimits = .standard) throws(JSONError) -> JSON {
        var ignored: [String] = []
        return try run(bytes, limits, refuseDuplicates: true, &ignored)
    }

    /// Parses one JSON text. Of duplicate keys the last one wins, and their paths are added to `duplicates`, written
    /// like `spec.containers[0].name` (at most 100 of them).
    public static func parse(
        _ bytes: [UInt8], limits: JSONLimits = .standard, duplicates: inout [String]
    ) throws(JSONError) -> JSON {
        try run(bytes, limits, refuseDuplicates: false, &duplicates)
    }

    public static func parse(_ bytes: ArraySlice<UInt8>, limits: JSONLimits = .standard) throws(JSONError) -> JSON {
        try parse(Array(bytes), limits: limits)
    }

    public static func parse(_ text: String, limits: JSONLimits = .standard) throws(JSONError) -> JSON {
        try parse(Array(text.utf8), limits: limits)
    }

    private static func run(
        _ bytes: [UInt8], _ limits: JSONLimits, refuseDuplicates: Bool, _ duplicates: inout [String]
    ) throws(JSONError) -> JSON {
        guard bytes.count <= limits.bytes else {
            throw JSONError(reason: "larger than \(limits.bytes) bytes", line: 1, column: 1, offset: limits.bytes)
        }
        var parser = JSONParser(depth: limits.depth, refuseDuplicates: refuseDuplicates)
        let result: Result<JSON, JSONParser.Failure> = bytes.withUnsafeBufferPointer { buffer in
            parser.bytes = buffer
            do throws(JSONParser.Failure) {
                return .success(try parser.parseText())
            } catch {
                return .failure(error)
            }
        }
        parser.bytes = UnsafeBufferPointer(start: nil, count: 0)
        duplicates += parser.duplicates
        switch result {
        case .success(let value): return value
        case .failure(let failure): throw failure.located(in: bytes)
        }
    }
}
