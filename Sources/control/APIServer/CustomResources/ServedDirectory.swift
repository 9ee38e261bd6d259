// The directory of custom resources for controllers in the same process: read off the snapshot that requests use.

internal import Client
internal import Objects
internal import Synchronization

struct ServedDirectory: ResourceDirectory {
    let core: APICore

    var customResources: [DirectoryEntry] {
        var entries: [DirectoryEntry] = []
        let custom = core.registry.declarations.filter { $0.custom != nil && $0.custom?.refusal == nil }
        for declaration in custom
        where !entries.contains(where: { $0.resource.groupResource == declaration.id.groupResource }) {
            let versions = custom.filter { $0.id.groupResource == declaration.id.groupResource }.map(\.id.version)
            entries.append(
                DirectoryEntry(
                    resource: declaration.id, kind: declaration.kind, isNamespaced: declaration.isNamespaced,
                    versions: versions, replicasPath: declaration.custom?.scale?.replicas))
        }
        return entries
    }

    func changes() -> AsyncStream<Void> { core.customResources.listeners.listen() }
}

/// Those who want to hear that something changed, each at its own pace.
final class ChangeListeners: Sendable {
    private let state = Mutex<(next: Int, all: [Int: AsyncStream<Void>.Continuation])>((0, [:]))

    /// A stream with one element in it already.
    func listen() -> AsyncStream<Void> {
        AsyncStream(bufferingPolicy: .bufferingNewest(1)) { continuation in
            let id = state.withLock { state in
                state.next += 1
                state.all[state.next] = continuation
                return state.next
            }
            continuation.onTermination = { [weak self] _ in
                self?.state.withLock { state in _ = state.all.removeValue(forKey: id) }
            }
            continuation.yield()
        }
    }

    func tell() {
        for continuation in state.withLock({ Array($0.all.values) }) { continuation.yield() }
    }
}
