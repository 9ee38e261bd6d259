// What noded writes into its supervisors' memory (and, for a sandbox, beside the socket) to know them again after a
// restart. Tagged fields like the protocol's own: unknown ones are skipped, missing ones have defaults.

import SupervisorProtocol
import System

/// The identity of a sandbox.
struct SandboxRecord {
    var uid = ""
    var name = ""
    var namespace = ""
    var hostname = ""
    var ownsNetwork = true
    var ownsIPC = true
    /// False with the machine's process namespace, and in records of an older noded, which do not say.
    var ownsProcesses = false
    /// Path in the v2 tree; empty without cgroups.
    var cgroup = ""
    var logDirectory = ""
    var labels: [String: String] = [:]
    var annotations: [String: String] = [:]
    var unenforced: [String] = []

    init() {}

    var fields: [UInt8] {
        var writer = FieldWriter()
        writer.put(1, Array(uid.utf8))
        writer.put(2, Array(name.utf8))
        writer.put(3, Array(namespace.utf8))
        writer.put(4, ownsNetwork)
        writer.put(5, Array(cgroup.utf8))
        writer.put(6, Array(logDirectory.utf8))
        writer.put(7, map: labels)
        writer.put(8, map: annotations)
        writer.put(9, list: unenforced.map { Array($0.utf8) })
        writer.put(10, Array(hostname.utf8))
        writer.put(11, ownsIPC)
        writer.put(12, ownsProcesses)
        return writer.fields
    }

    /// nil when the bytes are torn.
    init?(_ bytes: [UInt8]) {
        var reader = FieldReader(bytes)
        while let field = reader.next() {
            switch field.tag {
            case 1: uid = field.text
            case 2: name = field.text
            case 3: namespace = field.text
            case 4: ownsNetwork = field.flag
            case 5: cgroup = field.text
            case 6: logDirectory = field.text
            case 7: field.add(to: &labels)
            case 8: field.add(to: &annotations)
            case 9: unenforced.append(field.text)
            case 10: hostname = field.text
            case 11: ownsIPC = field.flag
            case 12: ownsProcesses = field.flag
            default: break
            }
        }
        if reader.malformed || uid.isEmpty { return nil }
    }
}

/// The identity of a container.
struct ContainerRecord {
    var name = ""
    var attempt = 0
    var image = ""
    var logPath: String?
    var stopSignal: Int32 = 15
    var terminal = false
    var terminationMessagePath: String?
    var labels: [String: String] = [:]
    var annotations: [String: String] = [:]
    var unenforced: [String] = []

    init() {}

    var fields: [UInt8] {
        var writer = FieldWriter()
        writer.put(1, Array(name.utf8))
        writer.put(2, Int64(attempt))
        writer.put(3, Array(image.utf8))
        if let logPath { writer.put(4, Array(logPath.utf8)) }
        writer.put(5, Int64(stopSignal))
        if let terminationMessagePath { writer.put(6, Array(terminationMessagePath.utf8)) }
        writer.put(7, map: labels)
        writer.put(8, map: annotations)
        writer.put(9, list: unenforced.map { Array($0.utf8) })
        writer.put(10, terminal)
        return writer.fields
    }

    init(_ bytes: [UInt8]) {
        var reader = FieldReader(bytes)
        while let field = reader.next() {
            switch field.tag {
            case 1: name = field.text
            case 2: attempt = Int(field.signed)
            case 3: image = field.text
            case 4: logPath = field.text
            case 5: stopSignal = field.int32
            case 6: terminationMessagePath = field.text
            case 7: field.add(to: &labels)
            case 8: field.add(to: &annotations)
            case 9: unenforced.append(field.text)
            case 10: terminal = field.flag
            default: break
            }
        }
    }
}

extension FieldWriter {
    fileprivate mutating func put(_ tag: UInt16, map: [String: String]) {
        for (key, value) in map.sorted(by: { $0.key < $1.key }) {
            var pair = FieldWriter()
            pair.put(1, Array(key.utf8))
            pair.put(2, Array(value.utf8))
            put(tag, group: pair)
        }
    }
}

extension Field {
    fileprivate var text: String { String(decoding: bytes, as: UTF8.self) }

    fileprivate func add(to map: inout [String: String]) {
        var pair = group
        var (key, value) = ("", "")
        while let field = pair.next() {
            if field.tag == 1 { key = field.text } else if field.tag == 2 { value = field.text }
        }
        map[key] = value
    }
}
