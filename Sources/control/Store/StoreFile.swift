// The store's file: its tables, what is checked before they are trusted, and the statements of the writer.
//
//      objects   id, revision, time, class, resource, namespace, name, prefix, suffix, checksum   the current values
//      changes   revision, time, kind, resource, namespace, name, previous, prefix, suffix      the short log
//      state     reserved                                                                one row
//
// The checksum (of everything else in the row) is what finds a bit that a disk has lost: SQLite itself only checks the
// structure of its pages. It is null in rows that format 1 has written.
//
// `changes` keeps the value that a change replaced, not the new one: the new one is in `objects`, or it is the
// replaced one of the key's next change. So a create writes its bytes once, and the log can still tell every
// change with both values. Neither table has an index beside its number: keys are looked up in memory, creates
// append, and a transaction touches as few pages as there are objects in it.
//
// WAL with locking_mode=EXCLUSIVE: one process owns the file (a lock file says so, SQLite's locks back it up), and
// SQLite then keeps the log's index in its heap instead of a -shm file. synchronous=FULL: in WAL mode NORMAL does
// not sync the log at a commit, so a power cut would take acknowledged writes; FULL syncs it once a transaction.

internal import CSQLite
internal import System

final class StoreFile {
    /// "node": tells SQLite files of ours from others' (see SQLite's magic.txt).
    static let applicationID: Int64 = 0x6e6f_6465
    static let format: Int64 = 2

    let database: Database
    private let insertObject: Statement
    private let updateObject: Statement
    private let deleteObject: Statement
    private let insertChange: Statement
    private let deleteChanges: Statement
    private let setReserved: Statement
    private let pageCount: Statement
    private let freeCount: Statement
    private let vacuumStep: Statement
    private let pageSize: Int64

    /// Opens the file, or makes an empty store of an empty file.
    init(path: String, vfs: String?) throws(StoreError) {
        database = try Database(path: path, vfs: vfs)
        try StoreFile.prepare(database)
        insertObject = try Statement(
            database, "INSERT OR REPLACE INTO objects VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")
        updateObject = try Statement(
            database,
            "UPDATE objects SET revision = ?2, time = ?3, prefix = ?4, suffix = ?5, checksum = ?6 WHERE id = ?1")
        deleteObject = try Statement(database, "DELETE FROM objects WHERE id = ?1")
        insertChange = try Statement(database, "INSERT INTO changes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")
        deleteChanges = try Statement(database, "DELETE FROM changes WHERE revision <= ?1")
        setReserved = try Statement(database, "UPDATE state SET reserved = ?1")
        pageCount = try Statement(database, "PRAGMA page_count")
        freeCount = try Statement(database, "PRAGMA freelist_count")
        vacuumStep = try Statement(database, "PRAGMA incremental_vacuum(256)")
        pageSize = try database.number("PRAGMA page_size")
    }

    private static func prepare(_ database: Database) throws(StoreError) {
        try database.execute("PRAGMA locking_mode = EXCLUSIVE")
        let tables = try database.number("SELECT count(*) FROM sqlite_schema")
        let application = try database.number("PRAGMA application_id")
        let version = try database.number("PRAGMA user_version")
        if tables > 0 || application != 0 || version != 0 {
            guard application == applicationID else {
                throw .notAStore(path: database.path, detail: "it is a SQLite database of another program")
            }
            guard version <= format else {
                throw .newerFormat(path: database.path, found: Int(version), supported: Int(format))
            }
            try configure(database)
            if version < format { try upgrade(database) }
        } else {
            // Nothing was ever stored here: new, or a first start that was cut short before its transaction.
            try database.execute("PRAGMA auto_vacuum = INCREMENTAL")
            if try database.number("PRAGMA auto_vacuum") != 2 { try database.execute("VACUUM") }
            try configure(database)
            try create(database)
        }
        guard try database.number("PRAGMA auto_vacuum") == 2 else {
            throw .corrupt(path: database.path, detail: "the file was not made to give space back")
        }
    }

    private static func configure(_ database: Database) throws(StoreError) {
        let mode = try database.text("PRAGMA journal_mode = WAL")
        guard mode == "wal" else {
            throw .io(path: database.path, operation: "PRAGMA journal_mode = WAL", code: 0, detail: "got \(mode)")
        }
        // The log file keeps its size between checkpoints (overwriting needs no new blocks), within reason.
        for setting in [
            "synchronous = FULL", "journal_size_limit = 16777216", "secure_delete = FAST", "temp_store = MEMORY",
        ] {
            try database.execute("PRAGMA \(setting)")
        }
    }

    /// From format 1, which had no checksums.
    private static func upgrade(_ database: Database) throws(StoreError) {
        try database.transaction { () throws(StoreError) in
            try database.execute(
                "ALTER TABLE objects ADD COLUMN checksum INTEGER; PRAGMA user_version = \(format)")
        }
    }

    private static func create(_ database: Database) throws(StoreError) {
        try database.transaction { () throws(StoreError) in
            try database.execute(
                """
                CREATE TABLE objects (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, time INTEGER NOT NULL,
                    class INTEGER NOT NULL, resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
                    prefix BLOB NOT NULL, suffix BLOB NOT NULL, checksum INTEGER) STRICT;
                CREATE TABLE changes (revision INTEGER PRIMARY KEY, time INTEGER NOT NULL, kind INTEGER NOT NULL,
                    resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
                    previous INTEGER, prefix BLOB, suffix BLOB) STRICT;
                CREATE TABLE state (reserved INTEGER NOT NULL) STRICT;
                INSERT INTO state VALUES (0);
                PRAGMA application_id = \(applicationID);
                PRAGMA user_version = \(format);
                """)
        }
    }

    // MARK: reading

    /// The revision up to which all were given out, or may have been.
    func reserved() throws(StoreError) -> UInt64 {
        let statement = try Statement(database, "SELECT reserved FROM state")
        guard try statement.step() else { throw damaged("the reserved revision is missing") }
        return statement.revision(0)
    }

    /// The objects with a number after `id`, in the order of their numbers, at most `most`; each is checked.
    /// Returns the last number, nil when there were none.
    @discardableResult
    func readObjects(
        after id: UInt64 = 0, most: Int = .max, _ body: (StoreKey, StoreState.Entry) throws(StoreError) -> Void
    ) throws(StoreError) -> UInt64? {
        let rows = try Statement(
            database,
            """
            SELECT id, revision, time, class, resource, namespace, name, prefix, suffix, checksum FROM objects
            WHERE id > ?1 ORDER BY id LIMIT ?2
            """)
        // Numbers begin at 1; a row with another one shall not go unseen.
        rows.bind(1, id == 0 ? Int64.min : Int64(bitPattern: id))
        rows.bind(2, Int64(most))
        var strings: Set<String> = []
        // A hundred thousand pods share one string "pods".
        func shared(_ text: String) -> String { strings.insert(text).memberAfterInsert }
        var last: UInt64?
        while try rows.step() {
            guard let durability = Durability(rawValue: UInt8(clamping: rows.number(3))) else {
                throw damaged("object \(rows.number(0)) has class \(rows.number(3))")
            }
            let key = StoreKey(resource: shared(rows.text(4)), namespace: shared(rows.text(5)), name: rows.text(6))
            let entry = StoreState.Entry(
                id: rows.revision(0), revision: rows.revision(1),
                value: EncodedObject(prefix: rows.blob(7), suffix: rows.blob(8), revision: rows.revision(1)),
                durability: durability, time: rows.number(2))
            guard rows.isNull(9) || rows.number(9) == Checksum.of(key, entry) else {
                throw damaged("\(key) does not have the checksum it was stored with")
            }
            try body(key, entry)
            last = entry.id
        }
        return last
    }

    func readLog(_ body: (ChangeLog.Entry) -> Void) throws(StoreError) {
        let rows = try Statement(
            database,
            "SELECT revision, time, ifnull(length(prefix) + length(suffix), 0) FROM changes ORDER BY revision")
        while try rows.step() {
            body(ChangeLog.Entry(revision: rows.revision(0), time: rows.number(1), bytes: Int(rows.number(2))))
        }
    }

    /// The changes after that revision, oldest first; `current` tells the value that a key has now.
    func changes(
        after revision: UInt64, current: (StoreKey) -> StoreState.Entry?
    ) throws(StoreError) -> [Change] {
        let rows = try Statement(
            database,
            """
            SELECT revision, kind, resource, namespace, name, previous, prefix, suffix FROM changes
            WHERE revision > ?1 ORDER BY revision DESC
            """)
        rows.bind(1, revision)
        var changes: [Change] = []
        // Backwards: what a change replaced is what the key's change before it wrote.
        var replaced: [StoreKey: StoredObject] = [:]
        while try rows.step() {
            let key = StoreKey(resource: rows.text(2), namespace: rows.text(3), name: rows.text(4))
            let previous =
                rows.isNull(5)
                ? nil
                : StoredObject(
                    key: key, revision: rows.revision(5),
                    value: EncodedObject(prefix: rows.blob(6), suffix: rows.blob(7), revision: rows.revision(5)))
            let number = rows.revision(0)
            let isDelete = rows.number(1) == 1
            let next = replaced[key].map { ($0.revision, $0.value) }
            let now = next ?? current(key).map { ($0.revision, $0.value) }
            guard let value = isDelete ? previous?.value : now?.1, isDelete || now?.0 == number else {
                throw damaged("change \(number) of \(key) does not fit the value that follows it")
            }
            replaced[key] = previous
            changes.append(
                Change(
                    revision: number, key: key, kind: isDelete ? .delete : .put, value: value, previous: previous,
                    durability: .durable))
        }
        return changes.reversed()
    }

    // MARK: writing, inside a transaction

    func write(_ applied: StoreState.Applied, time: Int64) throws(StoreError) {
        if let after = applied.after, applied.before != nil {
            updateObject.bind(1, after.id)
            updateObject.bind(2, after.revision)
            updateObject.bind(3, after.time)
            updateObject.bind(6, Checksum.of(applied.change.key, after))
            try updateObject.run(4, after.value)
        } else if let after = applied.after {
            try put(applied.change.key, after)
        } else {
            try delete(applied.id)
        }
        try log(applied.change, time: time)
    }

    func put(_ key: StoreKey, _ entry: StoreState.Entry) throws(StoreError) {
        insertObject.bind(1, entry.id)
        insertObject.bind(2, entry.revision)
        insertObject.bind(3, entry.time)
        insertObject.bind(4, Int64(entry.durability.rawValue))
        insertObject.bind(5, key.resource)
        insertObject.bind(6, key.namespace)
        insertObject.bind(7, key.name)
        insertObject.bind(10, Checksum.of(key, entry))
        try insertObject.run(8, entry.value)
    }

    func delete(_ id: UInt64) throws(StoreError) {
        deleteObject.bind(1, id)
        try deleteObject.run()
    }

    private func log(_ change: Change, time: Int64) throws(StoreError) {
        insertChange.bind(1, change.revision)
        insertChange.bind(2, time)
        insertChange.bind(3, change.kind == .delete ? 1 as Int64 : 0)
        insertChange.bind(4, change.key.resource)
        insertChange.bind(5, change.key.namespace)
        insertChange.bind(6, change.key.name)
        if let previous = change.previous {
            insertChange.bind(7, previous.revision)
            try insertChange.run(8, previous.value)
        } else {
            for column: Int32 in 7...9 { insertChange.bindNull(column) }
            try insertChange.run()
        }
    }

    func forgetChanges(through revision: UInt64) throws(StoreError) {
        deleteChanges.bind(1, revision)
        try deleteChanges.run()
    }

    func reserve(_ revision: UInt64) throws(StoreError) {
        setReserved.bind(1, revision)
        try setReserved.run()
    }

    /// Gives some free pages back to the file system.
    func vacuum() throws(StoreError) { try vacuumStep.run() }

    // MARK: measuring

    /// Pages, and those of them that are free.
    func pages() throws(StoreError) -> (all: Int64, free: Int64) {
        (try single(pageCount), try single(freeCount))
    }

    var bytesPerPage: Int64 { pageSize }

    private func single(_ statement: borrowing Statement) throws(StoreError) -> Int64 {
        defer { statement.reset() }
        return try statement.step() ? statement.number(0) : 0
    }

    func damaged(_ detail: String) -> StoreError { .corrupt(path: database.path, detail: detail) }
}
