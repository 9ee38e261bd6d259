// How a pod's status reaches the API: the machine's word is compared with what was published last, and published when
// it differs. What fails is tried again with a growing delay, until it succeeds or there is no object any more; the
// newest status goes, never one that was overtaken.

import Logging
import Objects

extension PodWorker {
    /// - Parameter changes: an element after each change of the machine; those that pile up may be one.
    func publishStatus(after changes: AsyncStream<Void>) async {
        for await _ in changes {
            var delay = Duration.milliseconds(100)
            while !Task.isCancelled {
                let status = summary
                if status == published || machine.objectGone || machine.isGone { break }
                do {
                    // Gone: its deletion arrives as an event of its own.
                    _ = try await node.sink.publish(status, of: pod, after: published)
                    published = status
                } catch {
                    logger.warning("cannot publish status, trying again", metadata: ["error": "\(error)"])
                    try? await Task.sleep(for: delay)
                    delay = min(delay * 2, .seconds(10))
                }
            }
        }
    }

    /// How it ended, before the object goes: whoever watches sees it.
    func publishLast() async throws {
        let status = summary
        if status != published { _ = try await node.sink.publish(status, of: pod, after: published) }
        published = status
    }
}
