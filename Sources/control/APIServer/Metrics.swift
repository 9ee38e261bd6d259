// What /metrics counts: requests and their durations, requests under way, open watches. Names, labels and buckets are
// those of kube-apiserver, so that dashboards made for it work.
//
// A request costs one lock and one look-up.

internal import Synchronization

final class Metrics: Sendable {
    /// Upper bounds in seconds; the last bucket has none.
    static let buckets: [Double] = [
        0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
    ]

    struct Series: Sendable {
        /// By status code.
        var codes: [Int: UInt64] = [:]
        /// Not cumulative; one more than there are bounds.
        var counts = [UInt64](repeating: 0, count: Metrics.buckets.count + 1)
        var seconds = 0.0
        var count: UInt64 = 0

        mutating func add(code: Int, bucket: Int?, seconds: Double) {
            codes[code, default: 0] += 1
            guard let bucket else { return }
            counts[bucket] += 1
            self.seconds += seconds
            count += 1
        }
    }

    private struct State {
        var requests: [RequestLabels: Series] = [:]
        /// Watches and other endless answers that are open.
        var open: [RequestLabels: Int] = [:]
    }

    private let state = Mutex(State())

    /// An answer was given after so many seconds; nil for endless ones, whose length says nothing.
    func count(_ labels: RequestLabels, code: Int, seconds: Double?) {
        let bucket = seconds.map { seconds in Metrics.buckets.firstIndex { seconds <= $0 } ?? Metrics.buckets.count }
        // One look-up: hashing the labels is most of what this costs.
        state.withLock { $0.requests[labels, default: Series()].add(code: code, bucket: bucket, seconds: seconds ?? 0) }
    }

    func opened(_ labels: RequestLabels) { state.withLock { $0.open[labels, default: 0] += 1 } }
    func closed(_ labels: RequestLabels) { state.withLock { $0.open[labels, default: 0] -= 1 } }

    var requests: [(RequestLabels, Series)] {
        state.withLock { Array($0.requests) }.sorted { RequestLabels.order($0.key, $1.key) }.map { ($0.key, $0.value) }
    }

    var open: [(RequestLabels, Int)] {
        state.withLock { Array($0.open) }.sorted { RequestLabels.order($0.key, $1.key) }.map { ($0.key, $0.value) }
    }
}

/// Requests under way, bounded as kube-apiserver bounds them: so many that write, so many that read.
final class InFlight: Sendable {
    private let writes = Atomic<Int>(0)
    private let reads = Atomic<Int>(0)
    let writeLimit: Int
    let readLimit: Int

    init(writeLimit: Int, readLimit: Int) {
        self.writeLimit = writeLimit
        self.readLimit = readLimit
    }

    enum Place { case write, read }

    /// Takes a place, to be given back with `leave`; nil when there is none.
    func enter(_ place: Place, exempt: Bool = false) -> Place? {
        let (now, limit) =
            switch place {
            case .write: (writes.add(1, ordering: .relaxed).newValue, writeLimit)
            case .read: (reads.add(1, ordering: .relaxed).newValue, readLimit)
            }
        if exempt || now <= limit { return place }
        leave(place)
        return nil
    }

    func leave(_ place: Place) {
        switch place {
        case .write: writes.subtract(1, ordering: .relaxed)
        case .read: reads.subtract(1, ordering: .relaxed)
        }
    }

    var now: (writes: Int, reads: Int) { (writes.load(ordering: .relaxed), reads.load(ordering: .relaxed)) }
}
