// The least of SQLite that a store needs: a connection, prepared statements, and errors that say what, on which
// file, with what. Confined to one thread by its owner (SQLITE_OPEN_NOMUTEX).

internal import CSQLite
internal import System

/// One connection.
final class Database {
    let path: String
    fileprivate let handle: OpaquePointer
    /// Frames in the write-ahead log after the last commit.
    private let frames = UnsafeMutablePointer<Int32>.allocate(capacity: 1)
    private var isOpen = true

    /// Opens an existing file. `vfs` nil is the system's.
    init(path: String, vfs: String?) throws(StoreError) {
        self.path = path
        frames.initialize(to: 0)
        var opened: OpaquePointer?
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
        let code = sqlite3_open_v2(path, &opened, flags, vfs)
        guard code == SQLITE_OK, let opened else {
            let error = Database.error("open", path, opened, code)
            sqlite3_close_v2(opened)
            frames.deallocate()
            throw error
        }
        handle = opened
        // Takes the place of SQLite's automatic checkpoint, which would run inside the commit.
        _ = sqlite3_wal_hook(
            handle,
            { context, _, _, frames in
                context!.assumingMemoryBound(to: Int32.self).pointee = frames
                return SQLITE_OK
            }, frames)
    }

    deinit {
        if isOpen { sqlite3_close_v2(handle) }
        frames.deallocate()
    }

    var walFrames: Int { Int(frames.pointee) }
    var inTransaction: Bool { sqlite3_get_autocommit(handle) == 0 }

    /// Writes the log back to the file and closes both. Statements must be gone.
    func close() throws(StoreError) {
        isOpen = false
        let code = sqlite3_close(handle)
        guard code == SQLITE_OK else {
            let error = Database.error("close", path, handle, code)
            sqlite3_close_v2(handle)
            throw error
        }
    }

    func execute(_ sql: String) throws(StoreError) {
        let code = sqlite3_exec(handle, sql, nil, nil, nil)
        guard code == SQLITE_OK else { throw error(sql, code) }
    }

    /// The first column of the only row, as text. A pragma that writes has done so only when the statement is through
    /// (its commit comes after the row), so it is run to its end.
    func text(_ sql: String) throws(StoreError) -> String {
        let statement = try Statement(self, sql)
        var text = ""
        while try statement.step() { text = statement.text(0) }
        return text
    }

    /// The first column of the only row, as a number.
    func number(_ sql: String) throws(StoreError) -> Int64 {
        let statement = try Statement(self, sql)
        var number: Int64 = 0
        while try statement.step() { number = statement.number(0) }
        return number
    }

    /// What SQLite finds wrong with the structure of the file (page tree, indexes, free list); empty when nothing is.
    func quickCheck() throws(StoreError) -> [String] {
        let rows = try Statement(self, "PRAGMA quick_check")
        var findings: [String] = []
        while try rows.step() { findings.append(rows.text(0)) }
        return findings == ["ok"] ? [] : findings
    }

    /// Moves the pages of the write-ahead log into the file, so that the log begins anew with the next commit.
    func checkpoint() throws(StoreError) {
        let code = sqlite3_wal_checkpoint_v2(handle, nil, SQLITE_CHECKPOINT_PASSIVE, nil, nil)
        guard code == SQLITE_OK else { throw error("checkpoint", code) }
        frames.pointee = 0
    }

    /// All of `body` or nothing; it lasts when this returns.
    func transaction(_ body: () throws(StoreError) -> Void) throws(StoreError) {
        try execute("BEGIN IMMEDIATE")
        do throws(StoreError) {
            try body()
            try execute("COMMIT")
        } catch {
            // Some failures have rolled back already; a failing rollback changes nothing more.
            if inTransaction { sqlite3_exec(handle, "ROLLBACK", nil, nil, nil) }
            throw error
        }
    }

    fileprivate func error(_ operation: String, _ code: Int32) -> StoreError {
        Database.error(operation, path, handle, code)
    }

    private static func error(_ operation: String, _ path: String, _ handle: OpaquePointer?, _ code: Int32)
        -> StoreError
    {
        var detail = String(cString: handle.map { sqlite3_errmsg($0) } ?? sqlite3_errstr(code))
        let cause = handle.map { sqlite3_system_errno($0) } ?? 0
        if cause != 0, code & 0xff != SQLITE_CONSTRAINT { detail += ", \(Errno(cause))" }
        switch code & 0xff {
        case SQLITE_NOTADB: return .notAStore(path: path, detail: detail)
        case SQLITE_CORRUPT: return .corrupt(path: path, detail: "\(operation): \(detail) (SQLite \(code))")
        default: return .io(path: path, operation: operation, code: code, detail: detail)
        }
    }
}

/// A prepared statement. Parameters count from 1, columns from 0, as in SQLite.
struct Statement: ~Copyable {
    private let handle: OpaquePointer
    private let database: Database
    private let sql: String

    init(_ database: Database, _ sql: String) throws(StoreError) {
        var prepared: OpaquePointer?
        let code = sqlite3_prepare_v3(database.handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &prepared, nil)
        guard code == SQLITE_OK, let prepared else { throw database.error(sql, code) }
        handle = prepared
        self.database = database
        self.sql = sql
    }

    deinit { sqlite3_finalize(handle) }

    func bind(_ index: Int32, _ value: Int64) { sqlite3_bind_int64(handle, index, value) }
    func bind(_ index: Int32, _ value: UInt64) { sqlite3_bind_int64(handle, index, Int64(bitPattern: value)) }

    func bind(_ index: Int32, _ value: String) {
        var value = value
        value.withUTF8 { bytes in
            // SQLITE_TRANSIENT: SQLite copies. (The macro is a cast, which Swift does not import.)
            let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)
            bytes.withMemoryRebound(to: CChar.self) {
                _ = sqlite3_bind_text(handle, index, $0.baseAddress, Int32($0.count), transient)
            }
        }
    }

    /// Binds the two parts without copying them and runs the statement.
    func run(_ index: Int32, _ value: EncodedObject) throws(StoreError) {
        // withUnsafeBytes rethrows untyped: the code leaves the closures as a value.
        let code = value.prefix.withUnsafeBytes { prefix in
            value.suffix.withUnsafeBytes { suffix in
                bind(index, prefix)
                bind(index + 1, suffix)
                let code = sqlite3_step(handle)
                sqlite3_reset(handle)
                sqlite3_clear_bindings(handle)
                return code
            }
        }
        guard code == SQLITE_DONE else { throw database.error(sql, code) }
    }

    func bindNull(_ index: Int32) { sqlite3_bind_null(handle, index) }

    func run() throws(StoreError) {
        while try step() {}
        reset()
    }

    /// True when there is a row.
    func step() throws(StoreError) -> Bool {
        switch sqlite3_step(handle) {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        case let code:
            let error = database.error(sql, code)
            reset()
            throw error
        }
    }

    func reset() { sqlite3_reset(handle) }

    func number(_ column: Int32) -> Int64 { sqlite3_column_int64(handle, column) }
    func revision(_ column: Int32) -> UInt64 { UInt64(bitPattern: sqlite3_column_int64(handle, column)) }
    func isNull(_ column: Int32) -> Bool { sqlite3_column_type(handle, column) == SQLITE_NULL }

    func text(_ column: Int32) -> String {
        guard let text = sqlite3_column_text(handle, column) else { return "" }
        let bytes = UnsafeBufferPointer(start: text, count: Int(sqlite3_column_bytes(handle, column)))
        return String(decoding: bytes, as: UTF8.self)
    }

    func blob(_ column: Int32) -> [UInt8] {
        guard let blob = sqlite3_column_blob(handle, column) else { return [] }
        return [UInt8](UnsafeRawBufferPointer(start: blob, count: Int(sqlite3_column_bytes(handle, column))))
    }

    private func bind(_ index: Int32, _ bytes: UnsafeRawBufferPointer) {
        if bytes.isEmpty {
            // A null pointer would bind NULL.
            sqlite3_bind_zeroblob(handle, index, 0)
        } else {
            sqlite3_bind_blob64(handle, index, bytes.baseAddress, UInt64(bytes.count), nil)
        }
    }
}
