// What one must know of the machine to read the figures.

import Glibc

enum Machine {
    static var load: String {
        (try? readText("/proc/loadavg"))?.split(separator: " ").prefix(3).joined(separator: " ") ?? "unknown"
    }

    static func facts(binary: String, quick: Bool) -> String {
        var name = utsname()
        uname(&name)
        let kernel = withUnsafeBytes(of: &name.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        let model = field("model name", of: "/proc/cpuinfo") ?? "unknown CPU"
        let memory = field("MemTotal", of: "/proc/meminfo") ?? "?"
        let cores = sysconf(Int32(_SC_NPROCESSORS_ONLN))
        let hint = "\nquick:   short windows and few runs: a check that all works, no figures to quote"
        return """
            machine: \(cores) cores (\(model)), memory \(memory), Linux \(kernel), load \(load)
            binary:  \(binary)\(quick ? hint : "")
            """
    }

    private static func field(_ name: String, of path: String) -> String? {
        for line in (try? readText(path))?.split(separator: "\n") ?? [] where line.hasPrefix(name) {
            return line.split(separator: ":", maxSplits: 1).last.map { String($0.drop { $0 == " " }) }
        }
        return nil
    }
}

/// A whole small file; files of /proc too, whose size is 0.
func readText(_ path: String) throws -> String {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw BenchError.call("open", path) }
    defer { close(descriptor) }
    var (bytes, buffer) = ([UInt8](), [UInt8](repeating: 0, count: 65536))
    while true {
        let count = read(descriptor, &buffer, buffer.count)
        guard count >= 0 else { throw BenchError.call("read", path) }
        if count == 0 { return String(decoding: bytes, as: UTF8.self) }
        bytes += buffer[..<count]
    }
}

func writeBytes(_ path: String, _ bytes: [UInt8]) throws {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw BenchError.call("open", path) }
    defer { close(descriptor) }
    guard write(descriptor, bytes, bytes.count) == bytes.count else { throw BenchError.call("write", path) }
}

func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

/// Bytes; follows symbolic links, also those of /proc/PID/exe to files without a name.
func size(of path: String) throws -> UInt64 {
    var status = stat()
    guard stat(path, &status) == 0 else { throw BenchError.call("stat", path) }
    return UInt64(status.st_size)
}

func linkTarget(_ path: String) -> String? {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = buffer.withUnsafeMutableBytes {
        readlink(path, $0.baseAddress!.assumingMemoryBound(to: CChar.self), 4096)
    }
    return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
}
