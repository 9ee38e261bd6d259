// Structured logs on stderr, one line an entry: text for people and journald, JSON for machines.

import Glibc
import Logging
import System

enum LogFormat: String, CaseIterable, Sendable {
    case text
    case json
}

/// Writes whole lines with one write(2) each, so that lines of several threads do not mix.
struct StandardErrorLog: LogHandler {
    let label: String
    let format: LogFormat
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let all = metadata.merging(event.metadata ?? [:]) { $1 }.sorted { $0.key < $1.key }
        let time = Timestamp.now().rfc3339Micro
        var line: String
        switch format {
        case .text:
            line = "\(time) \(event.level.rawValue.uppercased()) \(label): \(event.message)"
            for (key, value) in all { line += " \(key)=\(Self.word("\(value)"))" }
        case .json:
            line = "{\"time\":\"\(time)\",\"level\":\"\(event.level.rawValue)\",\"module\":\(Self.quoted(label)),"
                + "\"message\":\(Self.quoted("\(event.message)"))"
            for (key, value) in all { line += ",\(Self.quoted(key)):\(Self.quoted("\(value)"))" }
            line += "}"
        }
        line += "\n"
        var bytes = Array(line.utf8)
        _ = bytes.withUnsafeMutableBytes { write(2, $0.baseAddress, $0.count) }
    }

    private static func word(_ text: String) -> String {
        let isPlain = !text.isEmpty && text.utf8.allSatisfy { $0 > 0x20 && $0 != 0x22 && $0 != 0x3d && $0 < 0x7f }
        return isPlain ? text : quoted(text)
    }

    /// A JSON string (RFC 8259, section 7).
    private static func quoted(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\t": out += "\\t"
            case "\r": out += "\\r"
            default:
                if scalar.value < 0x20 {
                    let digits = String(scalar.value, radix: 16)
                    out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                } else {
                    out.unicodeScalars.append(scalar)
                }
            }
        }
        return out + "\""
    }
}

struct LogFactory: Sendable {
    let format: LogFormat
    let level: Logger.Level

    func callAsFunction(_ label: String) -> Logger {
        Logger(label: label) { StandardErrorLog(label: $0, format: format, logLevel: level) }
    }
}
