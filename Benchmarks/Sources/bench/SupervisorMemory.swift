// The memory that a pod's supervisor has for itself alone: Private_Clean + Private_Dirty of its smaps_rollup, with one
// container running. Read of several, after they came to rest.

extension Measurement {
    static let supervisor = Measurement(
        name: "supervisor", summary: "private memory of a pod's supervisor"
    ) { bench in
        let count = bench.quick ? 2 : 5
        return try withSupervisors(bench, count) { supervisors in
            let memory = Samples(supervisors.map(\.privateBytes))
            guard memory.least > 0 else { throw BenchError("a supervisor's memory could not be read") }
            let resident = Samples(supervisors.map(\.residentBytes))
            return [
                .judged(
                    "supervisor, private", kilobytes(memory.median),
                    "\(count) pods, \(kilobytes(memory.least)) to \(kilobytes(memory.greatest)); "
                        + "RSS \(kilobytes(resident.median))",
                    mark: "0.5 MB", met: memory.median <= 500_000)
            ]
        }
    }
}

/// Runs as many pods as supervisors are wanted, and gives `body` exactly one supervisor a pod.
func withSupervisors<Result>(_ bench: Bench, _ count: Int, _ body: ([ProcessFacts]) throws -> Result) throws -> Result {
    try bench.withNode { node in
        try node.startAndWait()
        try node.importImage()
        let pods = try Pods(node)
        for number in 1...count { _ = try pods.create("bench-\(number)") }
        try sleep(milliseconds: 1000)
        let supervisors = node.processes.supervisors
        guard supervisors.count == count else {
            let names = supervisors.map { "\($0.pid) \($0.name)" }.joined(separator: ", ")
            throw BenchError("\(count) pods, but \(supervisors.count) processes that look like supervisors: \(names)")
        }
        let result = try body(supervisors)
        try pods.deleteAll()
        return result
    }
}
