// The module's one error type. Preconditions carry no key: whoever wrote knows it and says it in its own words
// (the API server's 404, 409); everything about the machine says what, on which file, with what, and what to do.

/// Why a store did not do what it was asked.
public enum StoreError: Error, Hashable, Sendable, CustomStringConvertible {
    /// `.absent` was asked, the key has a value.
    case exists(current: UInt64)
    /// `.revision` was asked, the value has another one.
    case conflict(current: UInt64)
    /// A revision was asked, or a delete, and the key has no value.
    case notFound
    /// The store is at its size limit; deletes still work. Bytes.
    case full(path: String, used: Int64, limit: Int64)
    /// The disk or the engine refused. `code` is SQLite's extended result code, or 0 when SQLite was not reached.
    case io(path: String, operation: String, code: Int32, detail: String)
    /// The file is a store's, but its content contradicts itself.
    case corrupt(path: String, detail: String)
    /// There is no backup in this file, or not a whole one.
    case badBackup(path: String, detail: String)
    /// There is a store already, and nobody said that it may be replaced.
    case storeExists(path: String)
    /// There is a file, and it is not a store of noded's.
    case notAStore(path: String, detail: String)
    /// A newer noded wrote this file.
    case newerFormat(path: String, found: Int, supported: Int)
    /// Another process has the store open.
    case locked(path: String, holder: String)
    /// The change log begins after the revision asked for.
    case compacted(floor: UInt64)
    /// The store is not open (yet, or any more).
    case closed

    /// SQLITE_FULL.
    private static let diskFull: Int32 = 13

    /// There is no room for the write: in the store, or on its disk.
    public var isOutOfSpace: Bool {
        switch self {
        case .full: true
        case .io(_, _, let code, _): code & 0xff == StoreError.diskFull
        default: false
        }
    }

    public var description: String {
        switch self {
        case .exists(let current): "the key already has a value, of revision \(current)"
        case .conflict(let current): "the value has changed, its revision is now \(current)"
        case .notFound: "the key has no value"
        case .full(let path, let used, let limit):
            "store \(path) is full (mvcc: database space exceeded): \(used) of \(limit) bytes are in use; "
                + "delete objects, or start noded with a greater --store-limit"
        case .io(let path, let operation, let code, let detail):
            "\(operation) store \(path): \(detail)" + (code == 0 ? "" : " (SQLite \(code))")
                + (code & 0xff == StoreError.diskFull ? "; make room on its file system" : "")
        case .corrupt(let path, let detail):
            "store \(path) is damaged: \(detail); stop noded and run `noded restore FILE --force` with a backup"
        case .badBackup(let path, let detail): "\(path) is no whole backup of noded's: \(detail); use another one"
        case .storeExists(let path): "there is a store at \(path): use --force to replace it (it is kept beside)"
        case .notAStore(let path, let detail): "\(path) is not a store of noded: \(detail)"
        case .newerFormat(let path, let found, let supported):
            "store \(path) has format \(found), this noded knows up to \(supported): run the newer noded"
        case .locked(let path, let holder): "store \(path) is in use by another process (\(holder))"
        case .compacted(let floor): "changes up to revision \(floor) are no longer kept"
        case .closed: "the store is not open"
        }
    }
}
