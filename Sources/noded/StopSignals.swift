// SIGTERM and SIGINT as something to wait for. Blocked in every thread and read from a signalfd, so nothing runs in
// a signal handler.

import Dispatch
import Glibc

enum StopSignals {
    /// Returns the number of the first of SIGTERM and SIGINT.
    static func wait() async -> Int32 {
        signal(SIGPIPE, SIG_IGN)
        let (stream, continuation) = AsyncStream<Int32>.makeStream()
        let sources = [SIGTERM, SIGINT].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { continuation.yield(number) }
            source.resume()
            return source
        }
        defer { for source in sources { source.cancel() } }
        for await number in stream { return number }
        return SIGTERM
    }
}
