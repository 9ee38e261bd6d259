// What the control plane asks of its store, whichever engine is below: revisioned keys and bytes.
//
// The store does not read objects. It gets JSON that was encoded once by the API server, with the digits of
// metadata.resourceVersion cut out, and puts the revision of the write in their place whenever someone wants to
// see the whole. That is what lets one buffer serve the disk, the watch cache, every LIST and every watcher.
//
// Reads are not here on purpose: everybody reads the watch cache, which `open` fills and `onChange` keeps current.
//
//      commit ──> queue ──> writer: check, number, one transaction, fsync ──> onChange ──> commit returns
//
// Every failure is a StoreError. A commit that throws has changed nothing that anyone was told about.

/// Where an object lives. Ordered by resource, then namespace, then name.
public struct StoreKey: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Group and plural, as in "apps/deployments"; the core group has no prefix: "pods".
    public let resource: String
    /// Empty for objects of the cluster's scope.
    public let namespace: String
    public let name: String

    public init(resource: String, namespace: String, name: String) {
        self.resource = resource
        self.namespace = namespace
        self.name = name
    }

    public static func < (a: StoreKey, b: StoreKey) -> Bool {
        if a.resource != b.resource { return a.resource < b.resource }
        if a.namespace != b.namespace { return a.namespace < b.namespace }
        return a.name < b.name
    }

    public var description: String {
        namespace.isEmpty ? "\(resource) \(name)" : "\(resource) \(namespace)/\(name)"
    }
}

/// An object's JSON around the digits of metadata.resourceVersion (the quotes belong to prefix and suffix). One buffer:
/// a second one would cost every object of the cluster another header.
public struct EncodedObject: Hashable, Sendable {
    private let bytes: [UInt8]
    private let cut: Int

    /// - Parameter cut: where in `bytes` the digits belong, 0...bytes.count.
    public init(bytes: [UInt8], cut: Int) {
        precondition(cut >= 0 && cut <= bytes.count)
        self.bytes = bytes
        self.cut = cut
    }

    public init(prefix: [UInt8], suffix: [UInt8]) { self.init(bytes: prefix + suffix, cut: prefix.count) }

    public var prefix: ArraySlice<UInt8> { bytes[..<cut] }
    public var suffix: ArraySlice<UInt8> { bytes[cut...] }

    /// Bytes without the revision's digits.
    public var count: Int { bytes.count }

    /// The whole object as clients see it at that revision.
    public func joined(_ revision: UInt64) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: bytes.count + 20) { buffer, count in
            count = buffer[count...].initialize(fromContentsOf: prefix)
            withDigits(of: revision) { count = buffer[count...].initialize(fromContentsOf: $0) }
            count = buffer[count...].initialize(fromContentsOf: suffix)
        }
    }

    private func withDigits(of revision: UInt64, _ body: (Slice<UnsafeMutableBufferPointer<UInt8>>) -> Void) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { digits in
            var rest = revision
            var first = 20
            repeat {
                first -= 1
                digits.initializeElement(at: first, to: UInt8(ascii: "0") + UInt8(rest % 10))
                rest /= 10
            } while rest > 0
            body(digits[first...])
        }
    }
}

/// A current value. `revision` is that of its last write (metadata.resourceVersion).
public struct StoredObject: Hashable, Sendable {
    public let key: StoreKey
    public let revision: UInt64
    public let value: EncodedObject

    public init(key: StoreKey, revision: UInt64, value: EncodedObject) {
        self.key = key
        self.revision = revision
        self.value = value
    }

    /// The whole JSON, resourceVersion included.
    public var bytes: [UInt8] { value.joined(revision) }
}

/// What a crash may take. All classes share the revisions and are served alike.
public enum Durability: UInt8, Hashable, Sendable, CaseIterable {
    /// On disk before the commit returns.
    case durable = 0
    /// Never on disk, gone with the process: leases and heartbeats, which are rewritten every few seconds.
    case volatile = 1
    /// In a memory ring bounded by age, number and bytes; flushed once a minute and at close: events.
    case ring = 2
}

/// One change that someone wants made.
public struct Write: Sendable {
    public enum Precondition: Hashable, Sendable {
        /// The key has no value: a create. Else `StoreError.exists`.
        case absent
        /// The value is the one of this revision: an update. Else `.conflict`, or `.notFound` without a value.
        case revision(UInt64)
        /// Whatever is there is replaced. (Deleting what is not there is still `.notFound`.)
        case none
    }

    public let key: StoreKey
    public let precondition: Precondition
    /// nil deletes.
    public let value: EncodedObject?
    /// Decided by the create; later puts of the key keep its class, whatever they say here.
    public let durability: Durability

    public init(
        key: StoreKey, precondition: Precondition, value: EncodedObject?, durability: Durability = .durable
    ) {
        self.key = key
        self.precondition = precondition
        self.value = value
        self.durability = durability
    }
}

/// One change that happened.
public struct Change: Hashable, Sendable {
    public enum Kind: Hashable, Sendable { case put, delete }

    public let revision: UInt64
    public let key: StoreKey
    public let kind: Kind
    /// The new value; for a delete the last one.
    public let value: EncodedObject
    /// What was there before; nil when the key had no value (ADDED, in a watcher's terms).
    public let previous: StoredObject?
    public let durability: Durability

    public init(
        revision: UInt64, key: StoreKey, kind: Kind, value: EncodedObject, previous: StoredObject?,
        durability: Durability
    ) {
        self.revision = revision
        self.key = key
        self.kind = kind
        self.value = value
        self.previous = previous
        self.durability = durability
    }

    /// The whole JSON with this change's revision as resourceVersion, which is what Kubernetes sends for deletes too.
    public var bytes: [UInt8] { value.joined(revision) }
}

/// A revisioned map of keys to bytes. One opener at a time.
public protocol ObjectStore: Sendable {
    /// Reads everything and returns it in key order; from then on every change goes to `onChange`.
    ///
    /// `onChange` is called by the one writer, in revision order, after the fsync and before the commits of that
    /// batch return. It holds the writer up, so it must not block, and it must not wait for a commit.
    func open(onChange: @escaping @Sendable ([Change]) -> Void) async throws(StoreError) -> [StoredObject]

    /// Returns the write's revision once it lasts as long as its durability class promises and was shown to
    /// `onChange`. Cancelling the caller's task does not cancel the write.
    func commit(_ write: Write) async throws(StoreError) -> UInt64

    /// The durable changes after that revision, oldest first, from the change log.
    /// Throws `.compacted` when the log does not reach back to it.
    func changes(after revision: UInt64) async throws(StoreError) -> [Change]

    /// Forgets the log of changes up to and including that revision. The store does so by itself, by age and size.
    func compact(through revision: UInt64) async throws(StoreError)

    /// The revision of the last change shown to `onChange` (at least that of every returned commit).
    var currentRevision: UInt64 { get }

    /// `changes(after:)` knows everything after this revision, for durable keys. Volatile and ring keys have no log:
    /// their history begins at the revision that was current when the store was opened.
    var historyFloor: UInt64 { get }

    /// Finishes the writes that are waiting, flushes the ring and ends. Later calls throw `.closed`.
    func close() async throws(StoreError)
}

/// Bounds of what a store keeps beside the current values.
public struct StoreLimits: Hashable, Sendable {
    /// Bounds of the change log: seconds, changes, bytes of old values.
    public var logAge: Int64 = 300
    public var logCount = 10_000
    public var logBytes = 32 << 20
    /// Bounds of the ring (events): seconds since the last write of a key (Kubernetes' --event-ttl is one hour),
    /// keys, bytes of values.
    public var ringAge: Int64 = 3600
    public var ringCount = 10_000
    public var ringBytes = 16 << 20
    /// Bytes of pages in use in the store's file, beyond which puts are refused with `StoreError.full`.
    public var fileBytes: Int64 = 4 << 30

    public init() {}
}
