// The Date field of answers (RFC 9110, 6.6.1), made once a second by each event loop.

import Glibc
import NIOPosix
import Synchronization

/// The text of the present second. Each thread has its own, so that nobody waits for the lock.
final class DateField: Sendable {
    private static let current = ThreadSpecificVariable<DateField>()

    private let made = Mutex((second: Int.min, text: ""))

    /// IMF-fixdate (RFC 9110, 5.6.7).
    static var now: String {
        let field: DateField
        if let known = current.currentValue {
            field = known
        } else {
            field = DateField()
            current.currentValue = field
        }
        var time = timespec()
        clock_gettime(CLOCK_REALTIME_COARSE, &time)
        return field.made.withLock { made in
            if time.tv_sec != made.second { made = (time.tv_sec, text(of: time.tv_sec)) }
            return made.text
        }
    }

    /// - Parameter second: since 1970, up to the year 9999.
    static func text(of second: Int) -> String {
        var second = second
        var parts = tm()
        gmtime_r(&second, &parts)
        // Not by strftime, which speaks the language of the locale.
        let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(days[Int(parts.tm_wday)]), \(two(parts.tm_mday)) \(months[Int(parts.tm_mon)]) \(1900 + parts.tm_year) "
            + "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)) GMT"
    }
}
