// When an update of Endpoints may be written. One object holds all addresses of its Service, so that each change of one
// pod writes them all again; those that come within a period of the first travel together. At once goes what clients
// cannot do without: the object itself, the first ready address, and that there is none left.
//
// A value without a clock. What it knows is lost with the process: then an update waits for a period from the start.

import Client
import Objects

struct EndpointsBatches {
    /// kube-controller-manager has a flag for it, --endpoint-updates-batch-period.
    static let period = Duration.seconds(1)

    private let period: Duration
    /// When the updates that wait are to be written.
    private var due: [ObjectKey: ContinuousClock.Instant] = [:]

    init(period: Duration = Self.period) { self.period = period }

    /// How long the change to `wanted` is still to wait for others; nil: write it, and say `ended` when that went well.
    mutating func wait(
        _ key: ObjectKey, from present: JSON?, to wanted: JSON, now: ContinuousClock.Instant
    ) -> Duration? {
        guard let present, Self.isReady(present) == Self.isReady(wanted) else { return nil }
        let moment = due[key] ?? now + period
        due[key] = moment
        return moment > now ? moment - now : nil
    }

    /// Nothing is waiting any more: it was written, is not wanted any more, or has no Service.
    mutating func ended(_ key: ObjectKey) { due[key] = nil }

    private static func isReady(_ endpoints: JSON) -> Bool {
        (endpoints["subsets"]?.array ?? []).contains { !($0["addresses"]?.array ?? []).isEmpty }
    }
}
