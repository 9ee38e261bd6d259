// An index over an informer: the keys of its objects by something in them (an owner's uid, a label, a namespace).
//
// It is kept by the informer's own changes and is therefore exactly as fresh as the informer's copy.

public import Objects
import Synchronization

/// Finds an informer's objects by derived values.
public final class Index: Sendable {
    private let informer: Informer
    private let keys = Mutex<[String: Set<ObjectKey>]>([:])

    /// `values` says under which values an object is found.
    public init(_ informer: Informer, _ values: @escaping @Sendable (JSON) -> [String]) {
        self.informer = informer
        informer.onChange { key, old, new in
            self.keys.withLock { keys in
                for value in old.map(values) ?? [] {
                    keys[value]?.remove(key)
                    if keys[value]?.isEmpty == true { keys[value] = nil }
                }
                for value in new.map(values) ?? [] { keys[value, default: []].insert(key) }
            }
        }
    }

    /// The objects found under `value`, in key order.
    public func objects(_ value: String) -> [JSON] {
        keys.withLock { $0[value] ?? [] }.sorted().compactMap { informer.object($0) }
    }
}

/// A way to index that several share: one name, one meaning.
public struct IndexKind: Sendable {
    let name: String
    let values: @Sendable (JSON) -> [String]

    public init(_ name: String, _ values: @escaping @Sendable (JSON) -> [String]) {
        self.name = name
        self.values = values
    }

    public static let byNamespace = IndexKind("namespace") { [$0.at("metadata", "namespace")?.string ?? ""] }
}
