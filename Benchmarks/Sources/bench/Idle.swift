// What an idle noded costs: a Ready node without pods. Memory and CPU of the daemon and its resolver together, over the
// first 60 s after 20 s of settling; bytes that they sent to the disk, and the growth of the data directory, over
// 5 minutes. Supervisors are not in it (there are no pods).
//
// CPU is counted in ticks of 10 ms: over 60 s that resolves 0.02 % of a core.

import Glibc

extension Measurement {
    static let idle = Measurement(
        name: "idle", summary: "RSS and CPU of an idle node over 60 s, bytes written over 5 minutes"
    ) { bench in
        let (settle, short, long): (UInt64, UInt64, UInt64) = bench.quick ? (3, 10, 30) : (20, 60, 300)
        return try bench.withNode { node in
            try node.startAndWait()
            try sleep(milliseconds: settle * 1000)
            let start = now()
            let before = try IdleCounters(node)
            var resident: [UInt64] = []
            while now() - start < short * 1_000_000_000 {
                try sleep(milliseconds: 1000)
                resident.append(node.processes.noded.reduce(0) { $0 + $1.residentBytes })
            }
            let middle = try IdleCounters(node)
            let busy = Double(middle.ticks - before.ticks) * 1000 / Double(sysconf(Int32(_SC_CLK_TCK)))
            let percent = busy / (Double(middle.time - before.time) / 1e6) * 100
            let memory = Samples(resident)
            guard memory.least > 0 else { throw BenchError("noded's memory could not be read") }
            var rows: [Row] = [
                .judged(
                    "idle RSS", megabytes(memory.median),
                    "\(middle.names); greatest \(megabytes(memory.greatest)), "
                        + "proportional (Pss) \(megabytes(middle.proportional))",
                    mark: "80 MB", met: memory.median <= 80_000_000),
                .judged(
                    "idle CPU", decimal(percent, 2) + " %", "\(decimal(busy, 0)) ms in \(short) s, ticks of 10 ms",
                    mark: "1 %", met: percent <= 1),
            ]
            while now() - start < long * 1_000_000_000 { try sleep(milliseconds: 500) }
            let after = try IdleCounters(node)
            if let first = before.written, let last = after.written {
                rows.append(
                    .fact("written while idle", kilobytes(last - first), "in \(long) s, write_bytes of /proc/PID/io"))
            } else {
                rows.append(.notMeasured("written while idle", "this kernel has no /proc/PID/io"))
            }
            let growth = Double(after.stored) - Double(before.stored)
            rows.append(
                .fact(
                    "growth of the data", decimal(growth / 1000, 0) + " kB",
                    "in \(long) s, to \(kilobytes(after.stored))"))
            return rows
        }
    }
}

private struct IdleCounters {
    let time = now()
    var ticks: UInt64 = 0
    var written: UInt64? = 0
    var proportional: UInt64 = 0
    var stored: UInt64 = 0
    var names = ""

    init(_ node: Node) throws {
        try node.checkAlive()
        let processes = node.processes.noded
        guard !processes.isEmpty else { throw BenchError("no process of noded was found") }
        for process in processes {
            ticks += process.ticks
            written = process.writtenBytes.flatMap { bytes in written.map { $0 + bytes } }
            proportional += process.proportionalBytes
        }
        names =
            "\(processes.count) processes: "
            + processes.map { "\($0.name) \(megabytes($0.residentBytes))" }.joined(separator: ", ")
        // Blocks, not lengths: a log file that is written in place has its length from the start.
        stored = UInt64(try succeed(["du", "-s", "-B1", node.dataDirectory]).prefix { $0.isNumber }) ?? 0
    }
}
