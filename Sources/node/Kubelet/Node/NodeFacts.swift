// What the machine is, read from the kernel's files: capacity, names and versions for the Node object.

import Cgroups
import Kernel
import Objects
import System

struct NodeFacts: Sendable, Hashable {
    var cpus: Int
    /// Bytes.
    var memory: Int64
    var availableMemory: Int64
    var storage: Int64
    var availableStorage: Int64
    var machineID: String
    var systemUUID: String
    var bootID: String
    var kernelVersion: String
    var osImage: String
    var architecture: String

    /// The same without holding up a thread that others need: the data directory's disk may not answer.
    static func now(dataDirectory: String) async -> NodeFacts {
        await withCheckedContinuation { continuation in
            BlockingPool.shared.submit { continuation.resume(returning: read(dataDirectory: dataDirectory)) }
        }
    }

    static func read(dataDirectory: String) -> NodeFacts {
        func line(_ path: String) -> String {
            let text = (try? Files.readText(path)) ?? ""
            return String(text.split(separator: "\n").first ?? "")
        }
        let memory = (try? Files.readText("/proc/meminfo")) ?? ""
        func kilobytes(_ field: String) -> Int64 {
            for line in memory.split(separator: "\n") where line.hasPrefix(field + ":") {
                return line.split(separator: " ").dropFirst().first.flatMap { Int64($0) } ?? 0
            }
            return 0
        }
        let processors = ((try? Files.readText("/proc/cpuinfo")) ?? "").split(separator: "\n")
            .count { $0.hasPrefix("processor") }
        let space = try? Files.space(dataDirectory)
        let machine = KernelFeatures.machineName
        return NodeFacts(
            cpus: max(1, processors), memory: kilobytes("MemTotal") * 1024,
            availableMemory: kilobytes("MemAvailable") * 1024, storage: Int64(clamping: space?.total ?? 0),
            availableStorage: Int64(clamping: space?.available ?? 0), machineID: line("/etc/machine-id"),
            systemUUID: line("/sys/class/dmi/id/product_uuid"), bootID: line("/proc/sys/kernel/random/boot_id"),
            kernelVersion: line("/proc/sys/kernel/osrelease"), osImage: osImage(),
            architecture: machine == "aarch64" ? "arm64" : machine == "x86_64" ? "amd64" : machine)
    }

    private static func osImage() -> String {
        for line in ((try? Files.readText("/etc/os-release")) ?? "").split(separator: "\n")
        where line.hasPrefix("PRETTY_NAME=") {
            return String(line.dropFirst("PRETTY_NAME=".count)).replacing("\"", with: "")
        }
        return "Linux"
    }
}

extension KernelFeatures {
    /// uname's machine.
    fileprivate static var machineName: String {
        #if arch(x86_64)
        "x86_64"
        #elseif arch(arm64)
        "aarch64"
        #else
        "unknown"
        #endif
    }
}
