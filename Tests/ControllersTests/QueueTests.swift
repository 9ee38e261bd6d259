// The keyed queue: a key is never worked on twice at once, never lost, and backs off when it fails.

import Logging
import Synchronization
import Testing

@testable import Reconcile

@Suite struct QueueTests {
    @Test func addsAreFolded() {
        var queue = QueueState<String, Int>()
        queue.add("a")
        queue.add("a")
        #expect(queue.next() == "a")
        #expect(queue.next() == nil)
    }

    @Test func anAddWhileActiveRunsOnceMore() {
        var queue = QueueState<String, Int>()
        queue.add("a")
        _ = queue.next()
        queue.add("a")
        queue.add("a")
        #expect(queue.next() == nil)
        queue.succeeded("a")
        #expect(queue.next() == "a")
        queue.succeeded("a")
        #expect(queue.isIdle)
    }

    @Test func delaysKeepTheEarliest() {
        var queue = QueueState<String, Int>()
        queue.add("a", due: 10)
        queue.add("a", due: 5)
        queue.add("a", due: 7)
        #expect(queue.nextDue == 5)
        #expect(queue.release(at: 4) == 0)
        #expect(queue.release(at: 5) == 1)
        #expect(queue.next() == "a")
        #expect(queue.nextDue == nil)
    }

    @Test func failuresAreCountedUntilASuccess() {
        var queue = QueueState<String, Int>()
        for expected in 1...3 {
            queue.add("a")
            _ = queue.next()
            #expect(queue.failed("a") == expected)
        }
        queue.add("a")
        _ = queue.next()
        queue.succeeded("a")
        queue.add("a")
        _ = queue.next()
        #expect(queue.failed("a") == 1)
    }

    private final class Record: Sendable {
        struct State {
            var active: Set<Int> = []
            var done: [Int: Int] = [:]
            var failed: Set<Int> = []
            var overlap = false
        }
        let state = Mutex(State())

        func begin(_ key: Int) { state.withLock { if !$0.active.insert(key).inserted { $0.overlap = true } } }

        /// Whether this run of the key should fail: every tenth key fails once.
        func end(_ key: Int) -> Bool {
            state.withLock { state in
                state.active.remove(key)
                if key % 10 == 0, state.failed.insert(key).inserted { return true }
                state.done[key, default: 0] += 1
                return false
            }
        }
    }

    struct Refused: Error {}

    @Test func everyKeyIsWorkedOnAndNeverTwiceAtOnce() async {
        let record = Record()
        let queue = WorkQueue<Int>("test", logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        for _ in 0..<3 { for key in 0..<100 { queue.add(key) } }
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                await queue.run(workers: 8) { key in
                    record.begin(key)
                    await Task.yield()
                    if record.end(key) { throw Refused() }
                    return .done
                }
            }
            for _ in 0..<6000 where record.state.withLock({ $0.done.count }) < 100 {
                try? await Task.sleep(for: .milliseconds(10))
            }
            group.cancelAll()
        }
        #expect(record.state.withLock { $0.done.count } == 100)
        #expect(!record.state.withLock { $0.overlap })
    }
}
