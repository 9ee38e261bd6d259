// Tests that would hang fail instead.

import System

/// Runs `body`; throws ETIMEDOUT when it does not end in time.
public func bounded<T: Sendable>(
    _ limit: Duration = .seconds(300), _ body: @escaping @Sendable () async throws -> T
) async throws -> T {
    try await withThrowingTaskGroup(of: T.self) { group in
        group.addTask(operation: body)
        group.addTask {
            try await Task.sleep(for: limit)
            throw SystemError("test", "deadline", .ETIMEDOUT)
        }
        defer { group.cancelAll() }
        return try await group.next()!
    }
}
