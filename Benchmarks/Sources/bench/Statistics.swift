// Samples and how they are shown. Times are nanoseconds.

struct Samples {
    private(set) var sorted: [UInt64]

    /// `values` must not be empty.
    init(_ values: [UInt64]) {
        precondition(!values.isEmpty)
        sorted = values.sorted()
    }

    var count: Int { sorted.count }
    var least: UInt64 { sorted[0] }
    var greatest: UInt64 { sorted[count - 1] }

    /// Of an even number of samples the mean of the middle two.
    var median: UInt64 { (sorted[(count - 1) / 2] + sorted[count / 2]) / 2 }

    /// Nearest rank: of 50 samples p99 is the greatest.
    func percentile(_ percent: Int) -> UInt64 {
        sorted[max(0, (percent * count + 99) / 100 - 1)]
    }

    var spread: String { "\(count) runs, \(milliseconds(least)) to \(milliseconds(greatest))" }
}

/// A decimal number without Foundation. `digits` is 0 to 3.
func decimal(_ value: Double, _ digits: Int) -> String {
    let scale = [1, 10, 100, 1000][digits]
    let scaled = Int((abs(value) * Double(scale)).rounded())
    let sign = value < 0 && scaled > 0 ? "-" : ""
    guard digits > 0 else { return "\(sign)\(scaled)" }
    let fraction = String(scaled % scale)
    return "\(sign)\(scaled / scale)." + String(repeating: "0", count: digits - fraction.count) + fraction
}

func milliseconds(_ nanoseconds: UInt64) -> String {
    let value = Double(nanoseconds) / 1e6
    return decimal(value, value < 10 ? 2 : value < 100 ? 1 : 0) + " ms"
}

/// 1 MB is 10^6 bytes, as in the marks.
func megabytes(_ bytes: UInt64) -> String {
    let value = Double(bytes) / 1e6
    return decimal(value, value < 10 ? 2 : 1) + " MB"
}

func kilobytes(_ bytes: UInt64) -> String { decimal(Double(bytes) / 1e3, 0) + " kB" }

extension String {
    func padded(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}
