// Which processes belong to the noded under test, and what the kernel counted for them (proc(5)).

import Glibc

struct ProcessFacts {
    let pid: pid_t

    private func file(_ name: String) -> String { (try? readText("/proc/\(pid)/\(name)")) ?? "" }

    var executable: String { linkTarget("/proc/\(pid)/exe") ?? "" }
    /// Arguments joined by NUL.
    var commandLine: String { file("cmdline") }
    var firstArgument: String { commandLine.split(separator: "\0").first.map(String.init) ?? "" }
    var name: String { String(file("comm").prefix { $0 != "\n" }) }
    var cgroups: String { file("cgroup") }

    /// /proc/PID/stat after the name in brackets: state is 0, ppid 1, utime 11, stime 12.
    private var statFields: [Substring] {
        let text = file("stat")
        guard let end = text.lastIndex(of: ")") else { return [] }
        return text[text.index(after: end)...].split(separator: " ")
    }

    var parent: pid_t { statFields.count > 1 ? pid_t(statFields[1]) ?? 0 : 0 }

    /// User and system time in clock ticks (10 ms), with that of threads that ended.
    var ticks: UInt64 {
        let fields = statFields
        return fields.count > 12 ? (UInt64(fields[11]) ?? 0) + (UInt64(fields[12]) ?? 0) : 0
    }

    /// `key: N kB` in bytes, summed over the given keys.
    private func kilobytes(_ keys: [String], in name: String) -> UInt64 {
        var sum: UInt64 = 0
        for line in file(name).split(separator: "\n") {
            let words = line.split(whereSeparator: \.isWhitespace)
            if words.count >= 2, keys.contains(where: { words[0] == "\($0):" }) {
                sum += (UInt64(words[1]) ?? 0) * 1024
            }
        }
        return sum
    }

    var residentBytes: UInt64 { kilobytes(["VmRSS"], in: "status") }
    var proportionalBytes: UInt64 { kilobytes(["Pss"], in: "smaps_rollup") }
    var privateBytes: UInt64 { kilobytes(["Private_Clean", "Private_Dirty"], in: "smaps_rollup") }

    /// Bytes this process caused to be sent to a block device; nil where the kernel does not count.
    var writtenBytes: UInt64? {
        for line in file("io").split(separator: "\n") where line.hasPrefix("write_bytes:") {
            return UInt64(line.split(separator: " ")[1])
        }
        return nil
    }

    static var all: [ProcessFacts] {
        guard let directory = opendir("/proc") else { return [] }
        defer { closedir(directory) }
        var found: [ProcessFacts] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if let pid = pid_t(name) { found.append(ProcessFacts(pid: pid)) }
        }
        return found
    }
}

/// noded's processes (the daemon, its resolver) and the pods' supervisors, told apart. Containers are in neither.
struct NodedProcesses {
    private(set) var noded: [ProcessFacts] = []
    private(set) var supervisors: [ProcessFacts] = []

    /// - Parameters:
    ///   - main: the daemon.
    ///   - dataDirectory: in the command line of helpers that an earlier daemon started.
    ///   - cgroup: name of the subtree in which supervisors live.
    init(main: pid_t, dataDirectory: String, cgroup: String) {
        let all = ProcessFacts.all
        let parents = Dictionary(all.map { ($0.pid, $0.parent) }, uniquingKeysWith: { first, _ in first })
        let executable = ProcessFacts(pid: main).executable
        func descends(_ pid: pid_t) -> Bool {
            var current = pid
            while current > 1, current != main { current = parents[current] ?? 0 }
            return current == main
        }
        for process in all where process.pid != getpid() {
            let commandLine = process.commandLine
            let cgroups = process.cgroups.split(separator: "\n")
            let inside = cgroups.contains { $0.hasSuffix(":/\(cgroup)") || $0.contains(":/\(cgroup)/") }
            guard descends(process.pid) || inside || commandLine.contains(dataDirectory) else { continue }
            let looks = [process.name, process.firstArgument, process.executable]
            if process.pid != main, looks.contains(where: { $0.contains("supervisor") }) {
                supervisors.append(process)
            } else if process.executable == executable {
                noded.append(process)
            }
        }
    }
}
