// `bench BINARY [--only NAME,…] [--quick]`: measures a noded binary from outside and prints what came out beside the
// marks. README.md says what each measurement is.
//
// One thread does everything: children are spawned, their output is polled. That is what lets a measurement enter
// namespaces (setns of this one thread) and spawn its children there. Exit code: 0 all was measured, whatever the
// verdicts; 1 something was not measured or failed; 64 the command line is wrong.

import Glibc

/// In the order in which they run: what needs a quiet machine comes before what warms it up.
let measurements: [Measurement] = [
    .sizes,
    .startTime,
    .idle,
    .apiRequests,
    .apiWatch,
    .apiGrowth,
    .apiPods,
    .supervisor,
    .podStart,
    .readiness,
    .containerStart,
]

func usage(_ complaint: String) -> Never {
    say("error: \(complaint)\nusage: bench BINARY [--only NAME,…] [--quick]")
    for measurement in measurements {
        say("  \(measurement.name.padded(to: 12)) \(measurement.summary)")
    }
    exit(64)
}

var only: Set<String>?
var quick = false
var binary: String?
var arguments = CommandLine.arguments.dropFirst()
while let argument = arguments.popFirst() {
    switch argument {
    case "--quick": quick = true
    case "--only":
        guard let names = arguments.popFirst() else { usage("--only wants names") }
        only = Set(names.split(separator: ",").map(String.init))
    case "--help", "-h":
        print("usage: bench BINARY [--only NAME,…] [--quick]")
        for measurement in measurements { print("  \(measurement.name.padded(to: 12)) \(measurement.summary)") }
        exit(0)
    case _ where argument.hasPrefix("-"): usage("unknown option \(argument)")
    case _ where binary == nil: binary = argument
    default: usage("one binary, please; \(argument) is one too many")
    }
}
guard let binary else { usage("which binary?") }
let unknown = (only ?? []).subtracting(measurements.map(\.name))
guard unknown.isEmpty else { usage("no measurement is called \(unknown.sorted().joined(separator: ", "))") }
guard getuid() == 0 else {
    say("error: benchmarks make namespaces and run noded, which needs root")
    exit(1)
}

Interrupt.listen()
var table = Table()
do {
    let bench = try Bench(binary: binary, quick: quick)
    defer { bench.close() }
    print(Machine.facts(binary: bench.binary, quick: quick))
    for measurement in measurements where only?.contains(measurement.name) ?? true {
        say("== \(measurement.name): \(measurement.summary)")
        do {
            table.rows += try measurement.run(bench)
        } catch {
            table.rows.append(.notMeasured(measurement.name, "\(error)"))
            if Interrupt.happened { break }
        }
    }
} catch {
    table.rows.append(.notMeasured("bench", "\(error)"))
}
print(table.text)
print("load at the end: \(Machine.load)")
exit(table.complete ? 0 : 1)
