// What the control plane asks of its store, whichever engine is below: revisioned keys and bytes.
//
// The store does not read objects. It gets JSON that was encoded once by the API server, with the digits of
// metadata.resourceVersion cut out, and puts the revision of the write in their place. That is what lets one buffer
// serve the disk, the watch cache, every GET, LIST and watcher.
//
// Reads are not here on purpose: everybody reads the watch cache, which `open` fills and `onChange` keeps current.
//
//      commit ──> queue ──> writer: check, number, one transaction, fsync ──> onChange ──> commit returns
//
// Every failure is a StoreError. A commit that throws has changed nothing that anyone was told about.

internal import Glibc

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
/// a second one would cost every object of the cluster another header. Equal when prefix and suffix are.
public struct EncodedObject: Hashable, Sendable {
    private let bytes: [UInt8]
    private let cut: UInt32
    /// Bytes of the digits that stand in `bytes`: none before the object is numbered.
    private let digits: UInt32

    /// - Parameter cut: where in `bytes`, which has no digits, they belong: 0...bytes.count.
    public init(bytes: [UInt8], cut: Int) {
        precondition(cut >= 0 && cut <= bytes.count)
        self.init(bytes, cut, 0)
    }

    public init(prefix: [UInt8], suffix: [UInt8]) { self.init(prefix + suffix, prefix.count, 0) }

    /// Numbered.
    public init(prefix: [UInt8], suffix: [UInt8], revision: UInt64) {
        let digits = Array(String(revision).utf8)
        self.init(prefix + digits + suffix, prefix.count, digits.count)
    }

    private init(_ bytes: [UInt8], _ cut: Int, _ digits: Int) {
        self.bytes = bytes
        self.cut = UInt32(cut)
        self.digits = UInt32(digits)
    }

    public var prefix: ArraySlice<UInt8> { bytes[..<Int(cut)] }
    public var suffix: ArraySlice<UInt8> { bytes[Int(cut + digits)...] }

    /// Bytes without the revision's digits.
    public var count: Int { bytes.count - Int(digits) }

    /// The same with the revision's digits in its buffer: what is kept, so that who reads the object at that revision
    /// gets the buffer and no copy.
    public func numbered(_ revision: UInt64) -> EncodedObject {
        let whole = joined(revision)
        return EncodedObject(whole, Int(cut), whole.count - count)
    }

    /// The whole object as clients see it at that revision.
    public func joined(_ revision: UInt64) -> [UInt8] {
        RevisionText.withDigits(of: revision) { text in
            if bytes[Int(cut)..<Int(cut + digits)].elementsEqual(text) { return bytes }
            return [UInt8](unsafeUninitializedCapacity: count + text.count) { buffer, count in
                count = buffer[count...].initialize(fromContentsOf: prefix)
                count = buffer[count...].initialize(fromContentsOf: text)
                count = buffer[count...].initialize(fromContentsOf: suffix)
            }
        }
    }

    public static func == (a: EncodedObject, b: EncodedObject) -> Bool {
        a.cut == b.cut && same(a.prefix, b.prefix) && same(a.suffix, b.suffix)
    }

    /// The writer compares objects of megabytes, and no other write goes on meanwhile.
    private static func same(_ a: ArraySlice<UInt8>, _ b: ArraySlice<UInt8>) -> Bool {
        a.count == b.count
            && a.withUnsafeBytes { a in
                b.withUnsafeBytes { b in a.isEmpty || memcmp(a.baseAddress!, b.baseAddress!, a.count) == 0 }
            }
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(prefix)
        hasher.combine(suffix)
    }
}

private enum RevisionText {
    /// The decimal digits of a revision, on the stack.
    static func withDigits<T>(of revision: UInt64, _ body: (Slice<UnsafeMutableBufferPointer<UInt8>>) -> T) -> T {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { digits in
            var rest = revision
            var first = 20
            repeat {
                first -= 1
                digits.initializeElement(at: first, to: UInt8(ascii: "0") + UInt8(rest % 10))
                rest /= 10
            } while rest > 0
            return body(digits[first...])
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
