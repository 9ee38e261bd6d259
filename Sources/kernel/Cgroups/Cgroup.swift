// One group of the v2 tree. A value: it names a place, which may or may not exist; nothing is held open.
//
//     create ──> add processes / CLONE_INTO_CGROUP ──> freeze, thaw, read ──> kill ──> empty ──> remove
//
// A group that hands controllers to its children takes no processes itself ("no internal processes"); so pods get a
// leaf `supervisor` beside their containers' leaves. create and apply may be repeated; remove does not mind a group
// that is gone. Everything else fails with CgroupError.

internal import Glibc
internal import Kernel
public import System

public struct Cgroup: Hashable, Sendable, CustomStringConvertible {
    /// Where the tree is mounted.
    public let mountPoint: String
    /// From the tree's root, with a leading slash: "/kubepods/burstable".
    public let path: String

    /// The group's directory.
    public var directory: String { path == "/" ? mountPoint : mountPoint + path }
    public var description: String { path }

    public init(mountPoint: String, path: String) {
        self.mountPoint = mountPoint
        self.path = "/" + path.split(separator: "/").joined(separator: "/")
        precondition(!path.split(separator: "/").contains(".."), "cgroup path \(path)")
    }

    public func child(_ name: String) -> Cgroup { Cgroup(mountPoint: mountPoint, path: "\(path)/\(name)") }
    /// Nil for the tree's root.
    public var parent: Cgroup? {
        path == "/" ? nil : Cgroup(mountPoint: mountPoint, path: Files.parent(of: path))
    }
    public var name: String { String(path.split(separator: "/").last ?? "") }
    public var exists: Bool { Files.isDirectory(directory) }

    /// Makes the group and those above it, and gives it every wanted controller that can be had: each is enabled in
    /// `cgroup.subtree_control` from the root down to the parent. Twice does nothing.
    /// - Returns: for each wanted controller that the group does not have, why.
    @discardableResult
    public func create(controllers: [String] = ControllerInventory.wanted) throws(CgroupError) -> [Unenforced] {
        guard let parent else { return [] }
        let above = try parent.create(controllers: controllers)
        var refused: [Unenforced] = []
        let offered = try parent.words("cgroup.controllers")
        let enabled = try parent.words("cgroup.subtree_control")
        for controller in controllers where offered.contains(controller) && !enabled.contains(controller) {
            do throws(CgroupError) {
                try parent.write("cgroup.subtree_control", "+\(controller)")
            } catch {
                let busy = error.errno == .EBUSY
                refused.append(
                    Unenforced(
                        controller: controller, reason: "\(error)",
                        fix: busy ? "move the processes of \(parent) into a group below it" : "see the reason"))
            }
        }
        do throws(SystemError) {
            try Files.makeDirectory(directory, mode: 0o755, parents: false)
        } catch {
            throw CgroupError(action: "create", cgroup: path, errno: error.errno)
        }
        // The parent may lack a controller because an ancestor refused it (that reason is the better one) or because
        // the tree has none.
        var reasons = above + refused
        let known = Set(reasons.map(\.controller))
        let absent = controllers.filter { !offered.contains($0) && !known.contains($0) }
        if !absent.isEmpty {
            let tree = CgroupTree(mountPoint: mountPoint, controllers: [])
            reasons += absent.map(tree.unenforced)
        }
        return reasons
    }

    // MARK: Processes

    /// Moves a process (all its threads) into the group. EBUSY when the group has controllers enabled for children.
    public func add(pid: Int32) throws(CgroupError) { try write("cgroup.procs", "\(pid)") }

    /// The group as a descriptor for clone3's CLONE_INTO_CGROUP.
    public func open() throws(CgroupError) -> FileDescriptor {
        do throws(SystemError) {
            return try FileDescriptor.open(directory, [.read, .directory])
        } catch {
            throw CgroupError(action: "open", cgroup: path, errno: error.errno)
        }
    }

    /// The processes in the group itself, or with `recursive` also in those below.
    public func processes(recursive: Bool = false) throws(CgroupError) -> [Int32] {
        var pids = try words("cgroup.procs").compactMap { Int32($0) }
        if recursive {
            for child in try children() { pids += try child.processes(recursive: true) }
        }
        return pids
    }

    /// The groups directly below.
    public func children() throws(CgroupError) -> [Cgroup] {
        do throws(SystemError) {
            return try Files.list(directory).map(child).filter { Files.isDirectory($0.directory) }
        } catch {
            throw CgroupError(action: "list", cgroup: path, errno: error.errno)
        }
    }

    /// SIGKILL to everything in the group and below, at once and without races (cgroup.kill, Linux 5.14). A group that
    /// is gone is dead already.
    public func kill() throws(CgroupError) {
        do throws(CgroupError) {
            try write("cgroup.kill", "1")
        } catch  where error.errno == .ENOENT && !exists {}
    }

    /// Stops (or lets go on) every process in the group and below, and returns when that has happened.
    public func freeze(_ frozen: Bool = true, within limit: Duration = .seconds(5)) async throws {
        try write("cgroup.freeze", frozen ? "1" : "0")
        try await wait("freeze", within: limit) { $0.frozen == frozen }
    }

    // MARK: Events

    /// cgroup.events.
    public struct Events: Hashable, Sendable {
        /// Whether a living process is in the group or below.
        public let populated: Bool
        public let frozen: Bool

        public init(populated: Bool, frozen: Bool) { (self.populated, self.frozen) = (populated, frozen) }
    }

    public func events() throws(CgroupError) -> Events { Events(try keyed("cgroup.events")) }

    /// Returns when no process is left in the group and below, or the group is gone. Throws ETIMEDOUT after `limit`.
    public func waitUntilEmpty(within limit: Duration) async throws {
        do {
            try await wait("wait for the end of all processes in", within: limit) { !$0.populated }
        } catch let error as CgroupError where (error.errno == .ENOENT || error.errno == .ENODEV) && !exists {}
    }

    /// Waits for a state of cgroup.events. The kernel signals a change by POLLPRI to who has read the old content.
    private func wait(
        _ action: String, within limit: Duration, until holds: @escaping @Sendable (Events) -> Bool
    ) async throws {
        if holds(try events()) { return }
        let file: SharedDescriptor
        do throws(SystemError) {
            file = SharedDescriptor(try FileDescriptor.open("\(directory)/cgroup.events"))
        } catch {
            throw CgroupError(action: "open cgroup.events of", cgroup: path, errno: error.errno)
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                while true {
                    try lseekToStart(file, path)
                    let text: [UInt8]
                    do throws(SystemError) {
                        text = try file.readAll()
                    } catch {
                        throw CgroupError(action: "read cgroup.events of", cgroup: path, errno: error.errno)
                    }
                    if holds(Events(Self.keyed(String(decoding: text, as: UTF8.self)))) { return }
                    _ = try await Readiness.shared.wait(file, for: .priority)
                }
            }
            group.addTask {
                try await Task.sleep(for: limit)
                throw CgroupError(action: action, cgroup: path, errno: .ETIMEDOUT)
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    // MARK: Removing

    /// Kills what is in the group and below, waits for it to be gone, and removes the groups. Twice does nothing.
    /// Throws ETIMEDOUT when processes resist for `limit` (in uninterruptible sleep, say); the groups stay then.
    public func remove(within limit: Duration = .seconds(10)) async throws {
        guard exists else { return }
        try kill()
        try await waitUntilEmpty(within: limit)
        try removeEmpty()
    }

    /// Removes the group and those below; EBUSY when a process is in one of them.
    public func removeEmpty() throws(CgroupError) {
        guard exists else { return }
        for child in try children() { try child.removeEmpty() }
        do throws(SystemError) {
            try systemCall("rmdir", directory) { rmdir(directory) }
        } catch  where error.errno == .ENOENT {
            return
        } catch {
            throw CgroupError(action: "remove", cgroup: path, errno: error.errno)
        }
    }

    // MARK: Files

    /// Whether the group has a file: controllers bring theirs.
    public func has(_ file: String) -> Bool { Files.exists("\(directory)/\(file)") }

    public func read(_ file: String) throws(CgroupError) -> String {
        do throws(SystemError) {
            return try Files.readText("\(directory)/\(file)")
        } catch {
            throw CgroupError(action: "read \(file) of", cgroup: path, errno: error.errno)
        }
    }

    public func write(_ file: String, _ value: String) throws(CgroupError) {
        do throws(SystemError) {
            try Files.writeExisting("\(directory)/\(file)", value)
        } catch {
            throw CgroupError(action: "write \"\(value)\" to \(file) of", cgroup: path, errno: error.errno)
        }
    }

    func words(_ file: String) throws(CgroupError) -> [String] {
        try read(file).split(whereSeparator: \.isWhitespace).map(String.init)
    }

    /// A "flat keyed" file: one `KEY VALUE` a line.
    func keyed(_ file: String) throws(CgroupError) -> [String: UInt64] { Self.keyed(try read(file)) }

    static func keyed(_ text: String) -> [String: UInt64] {
        var values: [String: UInt64] = [:]
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: " ")
            if parts.count == 2, let value = UInt64(parts[1]) { values[String(parts[0])] = value }
        }
        return values
    }

    /// A single number; nil for "max", or when the controller is not there.
    func number(_ file: String) -> UInt64? {
        (try? read(file)).flatMap { UInt64($0.hasSuffix("\n") ? $0.dropLast() : $0[...]) }
    }
}

extension Cgroup.Events {
    fileprivate init(_ values: [String: UInt64]) {
        self.init(populated: values["populated"] == 1, frozen: values["frozen"] == 1)
    }
}

private func lseekToStart(_ file: SharedDescriptor, _ path: String) throws(CgroupError) {
    if lseek(file.raw, 0, SEEK_SET) == -1 {
        throw CgroupError(action: "rewind cgroup.events of", cgroup: path, errno: .current)
    }
}
