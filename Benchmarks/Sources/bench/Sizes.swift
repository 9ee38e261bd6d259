// Sizes of the stripped binary and of the supervisor. The supervisor is inside the binary; its size is that of the file
// which a running one executes.

import Glibc

extension Measurement {
    static let sizes = Measurement(
        name: "sizes", summary: "stripped binary, supervisor"
    ) { bench in
        let copy = "\(bench.directory)/stripped"
        try succeed(["strip", "-o", copy, bench.binary])
        let (stripped, whole) = (try size(of: copy), try size(of: bench.binary))
        unlink(copy)
        let how = stripped < whole ? "\(megabytes(whole)) before strip" : "as it is"
        var rows: [Row] = [
            .judged("binary, stripped", megabytes(stripped), how, mark: "45 MB", met: stripped <= 45_000_000)
        ]
        do {
            let bytes = try withSupervisors(bench, 1) { try size(of: "/proc/\($0[0].pid)/exe") }
            rows.append(.fact("supervisor", kilobytes(bytes), "the file that a running one executes"))
        } catch {
            rows.append(.notMeasured("supervisor, size", "\(error)"))
        }
        return rows
    }
}
