// ConfigMaps and Secrets that this node's pods use, each read when needed and watched as long as a pod uses it: a
// change reaches the pod's volumes without anybody asking again. Nothing else of the cluster is kept here but the pods'
// tokens (TokenCache).

import Client
import Logging
import Objects

actor ObjectCache: ObjectLookup {
    private struct Item: Hashable {
        var resource: ResourceID
        var key: ObjectKey
    }

    private struct Watch {
        var users: Set<String>
        var stop: AsyncStream<Void>.Continuation
        var version: String
    }

    private let client: any APIClient
    private let logger: Logger
    private let changed: @Sendable (_ podUID: String) -> Void
    private let tokens: TokenCache
    private var watches: [Item: Watch] = [:]
    private nonisolated let starts: AsyncStream<(Item, AsyncStream<Void>)>
    private nonisolated let start: AsyncStream<(Item, AsyncStream<Void>)>.Continuation

    init(client: any APIClient, logger: Logger, changed: @escaping @Sendable (_ podUID: String) -> Void) {
        self.client = client
        self.logger = logger
        self.changed = changed
        tokens = TokenCache(client: client, logger: logger, due: changed)
        (starts, start) = AsyncStream.makeStream()
    }

    func object(_ resource: ResourceID, namespace: String, name: String, for podUID: String) async throws -> JSON? {
        let item = Item(resource: resource, key: ObjectKey(namespace: namespace, name: name))
        if watches[item] == nil {
            let (stopped, stop) = AsyncStream<Void>.makeStream()
            watches[item] = Watch(users: [podUID], stop: stop, version: "")
            start.yield((item, stopped))
        } else {
            watches[item]?.users.insert(podUID)
        }
        guard let object = try await fetch(item) else { return nil }
        watches[item]?.version = object.child("metadata").text("resourceVersion") ?? ""
        return object
    }

    private nonisolated func fetch(_ item: Item) async throws(APIStatus) -> JSON? {
        do {
            return try await client.get(item.resource, item.key)
        } catch {
            if error.code == 404 { return nil }
            throw error
        }
    }

    func services(namespace: String) async -> [JSON] {
        var found = (try? await client.list(.services, namespace: namespace))?.items ?? []
        if namespace != "default",
            let api = try? await client.get(.services, ObjectKey(namespace: "default", name: "kubernetes"))
        {
            found.append(api)
        }
        return found
    }

    func token(_ question: TokenQuestion, for pod: PodIdentity) async throws -> [UInt8] {
        try await tokens.token(question, for: pod)
    }

    func release(podUID: String) async {
        await tokens.release(podUID)
        for item in Array(watches.keys) {
            watches[item]?.users.remove(podUID)
            if watches[item]?.users.isEmpty == true { watches.removeValue(forKey: item)?.stop.finish() }
        }
    }

    /// Runs the watches until the task is cancelled.
    func run() async {
        await withDiscardingTaskGroup { group in
            group.addTask { await self.tokens.run() }
            for await (item, stopped) in starts {
                group.addTask { await self.watch(item, until: stopped) }
            }
            group.cancelAll()
        }
    }

    private nonisolated func watch(_ item: Item, until stopped: AsyncStream<Void>) async {
        let informer = Informer(
            client, item.resource, namespace: item.key.namespace,
            fields: FieldSelector("metadata.name", equals: item.key.name), logger: logger)
        let (changes, inlet) = AsyncStream<String>.makeStream(bufferingPolicy: .bufferingNewest(1))
        informer.onChange { _, _, new in
            inlet.yield(new?.child("metadata").text("resourceVersion") ?? "")
        }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await informer.run() }
            group.addTask {
                for await version in changes { await self.notice(item, version) }
            }
            group.addTask { for await _ in stopped {} }
            await group.next()
            group.cancelAll()
        }
    }

    private func notice(_ item: Item, _ version: String) {
        guard let watch = watches[item], watch.version != version else { return }
        watches[item]?.version = version
        for user in watch.users { changed(user) }
    }
}

/// Standalone mode: ConfigMaps and Secrets of the manifests folder.
struct ManifestObjects: ObjectLookup {
    let source: StaticPodSource

    func object(_ resource: ResourceID, namespace: String, name: String, for podUID: String) async throws -> JSON? {
        let kind = resource == .secrets ? "Secret" : "ConfigMap"
        return await source.object(kind: kind, namespace: namespace, name: name)
    }

    func services(namespace: String) async -> [JSON] { [] }
    func token(_ question: TokenQuestion, for pod: PodIdentity) async throws -> [UInt8] {
        throw KubeletError.unsupported("service account tokens need an API server; this node runs without one")
    }
    func release(podUID: String) async {}
}
