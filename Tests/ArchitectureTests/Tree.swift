// The source tree as these tests see it: files, the module each belongs to, and what it imports.

import Glibc
import Testing

struct SourceFile {
    /// Path below the package's root, e.g. `Sources/kernel/Netlink/Link.swift`.
    let path: String
    let text: String

    /// `kernel` of `Sources/kernel/Netlink/Link.swift`; `noded` of `Sources/noded/main.swift`.
    var layer: String { String(path.split(separator: "/")[1]) }

    /// `Netlink` of `Sources/kernel/Netlink/Link.swift`; `noded` for the command.
    var module: String {
        let parts = path.split(separator: "/")
        return layer == "noded" ? "noded" : String(parts[2])
    }

    var imports: [String] {
        text.split(separator: "\n").compactMap { line in
            var words = line.split(separator: " ").map(String.init)
            while let first = words.first, ["public", "internal", "package", "private", "fileprivate", "@testable",
                "@preconcurrency", "@_exported"].contains(first) { words.removeFirst() }
            guard words.first == "import", words.count >= 2 else { return nil }
            let name = ["struct", "class", "enum", "func", "protocol"].contains(words[1]) ? words.last ?? "" : words[1]
            return name.split(separator: ".").first.map(String.init)
        }
    }
}

enum Tree {
    /// The package's root, from this file's own path.
    static let root: String = {
        var parts = #filePath.split(separator: "/").map(String.init)
        parts.removeLast(3)
        return "/" + parts.joined(separator: "/")
    }()

    static func swiftFiles(below folder: String) -> [SourceFile] {
        paths(below: "\(root)/\(folder)").filter { $0.hasSuffix(".swift") }.map { path in
            SourceFile(path: String(path.dropFirst(root.utf8.count + 1)), text: read(path))
        }
    }

    static func read(_ path: String) -> String {
        guard let file = fopen(path, "r") else { return "" }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while case let n = fread(&buffer, 1, buffer.count, file), n > 0 { bytes += buffer[0..<n] }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Every regular file below `folder`; links are not followed, so a file is seen under its own name only.
    private static func paths(below folder: String) -> [String] {
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var found: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.hasPrefix(".") { continue }
            let path = "\(folder)/\(name)"
            var status = stat()
            guard lstat(path, &status) == 0 else { continue }
            switch status.st_mode & S_IFMT {
            case S_IFDIR: found += paths(below: path)
            case S_IFREG: found.append(path)
            default: break
            }
        }
        return found.sorted()
    }
}
