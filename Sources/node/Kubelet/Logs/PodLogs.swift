// The log folder of one pod: the last words of a container, and how long what was written stays.
//
// Logs stay as long as the object does, of each container those of its last five attempts. Nothing here may hold up a
// container: what cannot be read is left out of the message, and an old log that cannot be removed is tried again after
// the next start. Only the removal of the whole folder says that it failed, because nobody comes back for it.

import Kernel
import System

struct PodLogs: Sendable {
    /// How many attempts of a container keep their logs.
    static let keptAttempts = 5
    /// Of FallbackToLogsOnError: at most so many lines, and so many bytes of them (the kubelet's limits).
    static let lastLines = 80
    static let lastBytes = 2048

    let directory: String

    func directory(of container: String) -> String { "\(directory)/\(container)" }

    /// The end of an attempt's log, for its termination message; empty when there is none to read.
    /// - Parameter changes: see `LogReader.pod`.
    func lastWords(
        of container: String, attempt: Int, changes: @escaping @Sendable () -> AsyncStream<Void>
    ) async -> String {
        var options = ContainerLogOptions()
        options.tailLines = Self.lastLines
        let text = Tail()
        let reader = LogReader(directory: directory(of: container), options: options, pod: changes) { _ in .over }
        try? await reader.run(attempt: attempt) { await text.add($0) }
        return String(decoding: await text.bytes.suffix(Self.lastBytes), as: UTF8.self)
    }

    private actor Tail {
        private(set) var bytes: [UInt8] = []
        func add(_ piece: [UInt8]) { bytes = (bytes + piece).suffix(2 * PodLogs.lastBytes) }
    }

    /// What is too old once `attempt` has started.
    func removeOld(of container: String, attempt: Int) async {
        guard attempt >= Self.keptAttempts else { return }
        let directory = directory(of: container)
        try? await BlockingPool.shared.run {
            for entry in try Files.list(directory) {
                guard let number = entry.split(separator: ".").first.flatMap({ Int($0) }),
                    number <= attempt - Self.keptAttempts
                else { continue }
                try Files.remove("\(directory)/\(entry)")
            }
        }
    }

    /// - Throws: `SystemError`; a folder that is not there is none.
    func remove() async throws {
        try await BlockingPool.shared.run { [directory] in try Files.removeTree(directory) }
    }
}
