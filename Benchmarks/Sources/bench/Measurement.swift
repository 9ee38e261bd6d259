// What a measurement is, what it yields, and the table that shows it.

/// One thing to measure; each has a file, and a place in the array in main.swift.
struct Measurement: Sendable {
    /// As `--only` knows it.
    let name: String
    let summary: String
    let run: @Sendable (Bench) throws -> [Row]
}

/// One line of the table.
struct Row {
    enum Verdict: String {
        case met, notMet = "NOT MET", none = "", notMeasured = "not measured"
    }

    let name: String
    /// The figure to compare: a median unless the name says otherwise.
    let value: String
    /// How it was come by: runs, spread, resolution.
    let detail: String
    /// The first mark; empty when it names none.
    let mark: String
    let verdict: Verdict

    static func fact(_ name: String, _ value: String, _ detail: String) -> Row {
        Row(name: name, value: value, detail: detail, mark: "", verdict: .none)
    }

    static func judged(_ name: String, _ value: String, _ detail: String, mark: String, met: Bool) -> Row {
        Row(name: name, value: value, detail: detail, mark: mark, verdict: met ? .met : .notMet)
    }

    static func notMeasured(_ name: String, _ reason: String) -> Row {
        let line = reason.split(separator: "\n").joined(separator: " | ")
        return Row(name: name, value: "-", detail: line, mark: "", verdict: .notMeasured)
    }
}

struct Table {
    var rows: [Row] = []

    var complete: Bool { !rows.isEmpty && !rows.contains { $0.verdict == .notMeasured } }

    /// Details come last, so that a long one disturbs no column.
    var text: String {
        let heads = ["what", "result", "mark", "verdict", "how"]
        let cells = [heads] + rows.map { [$0.name, $0.value, $0.mark, $0.verdict.rawValue, $0.detail] }
        let widths = (0..<heads.count - 1).map { column in cells.map { $0[column].count }.max() ?? 0 }
        var lines = cells.map { row in
            zip(row, widths).map { $0.padded(to: $1) }.joined(separator: "  ") + "  " + row[heads.count - 1]
        }
        lines.insert(widths.map { String(repeating: "-", count: $0) }.joined(separator: "  ") + "  ---", at: 1)
        return lines.joined(separator: "\n")
    }
}
