// How long ago, as kubectl shows it: `5m3s`, `3h`, `2d4h` (k8s.io/apimachinery/pkg/util/duration). Two units while the
// smaller one matters, whole ones after. Cannot fail.

public import System

public enum HumanDuration {
    /// - Parameter seconds: whole seconds; up to one second ahead counts as now, clocks differ.
    public static func text(seconds: Int64) -> String {
        if seconds < -1 { return "<invalid>" }
        if seconds < 0 { return "0s" }
        if seconds < 120 { return "\(seconds)s" }
        let minutes = seconds / 60
        if minutes < 10 { return pair(minutes, "m", seconds % 60, "s") }
        if minutes < 180 { return "\(minutes)m" }
        let hours = minutes / 60
        if hours < 8 { return pair(hours, "h", minutes % 60, "m") }
        if hours < 48 { return "\(hours)h" }
        let days = hours / 24
        if days < 8 { return pair(days, "d", hours % 24, "h") }
        if days < 730 { return "\(days)d" }
        if days < 8 * 365 { return pair(days / 365, "y", days % 365, "d") }
        return "\(days / 365)y"
    }

    /// `<unknown>` without a time.
    public static func text(since time: Timestamp?, now: Timestamp) -> String {
        guard let time else { return "<unknown>" }
        return text(seconds: now.since(time).components.seconds)
    }

    private static func pair(_ large: Int64, _ largeUnit: String, _ small: Int64, _ smallUnit: String) -> String {
        small == 0 ? "\(large)\(largeUnit)" : "\(large)\(largeUnit)\(small)\(smallUnit)"
    }
}
