// What two nodeds cannot share: a data directory (both would give out the same addresses), a run directory and a cgroup
// (each would end the other's pods as left over), a network namespace (each would take
// the other's links and rules away).
//
// A lock file each, which holds the pid of who has it, for the message to who comes second; the lock itself is the
// kernel's and goes with the process. Only root may open the files, so nobody else can keep noded from starting. Those
// of cgroup and network lie in /run, since their subjects are no folders of noded's; `noded reset` removes them.

import Glibc
import System

/// The four locks, held while the value lives.
struct InstanceLocks: ~Copyable {
    private let network: FileLock
    private let cgroup: FileLock
    private let data: FileLock
    private let run: FileLock

    /// Makes the directories and takes the locks.
    /// - Throws: StartFailure that names the process which has one; then nothing was made.
    init(_ paths: PathOptions) throws {
        try Self.check(paths)
        let locks = try Locks(paths)
        let network = try locks.network.take()
        let cgroup = try locks.cgroup.take()
        try Files.makeDirectory(paths.dataDirectory, mode: 0o711)
        let data = try locks.data.take()
        try Files.makeDirectory(paths.runDirectory, mode: 0o700)
        let run = try locks.run.take()
        self.run = run
        self.network = network
        self.cgroup = cgroup
        self.data = data
    }

    /// - Throws: StartFailure when somebody has one of them. Makes no file.
    static func check(_ paths: PathOptions) throws {
        let locks = try Locks(paths)
        for lock in [locks.data, locks.run, locks.cgroup, locks.network] { try lock.check() }
    }

    /// The same for the data directory alone.
    static func checkData(_ paths: PathOptions) throws { try Locks(paths).data.check() }

    /// Removes the lock files that lie outside the two directories: the last step of a reset.
    static func removeFiles(_ paths: PathOptions) throws {
        let locks = try Locks(paths)
        for lock in [locks.cgroup, locks.network] where Files.exists(lock.path) {
            // Held meanwhile: who starts now either is seen here or finds no file.
            let held = try lock.take()
            try Files.remove(lock.path)
            withExtendedLifetime(held) {}
        }
    }

    private struct Locks {
        let data: InstanceLock
        let run: InstanceLock
        let cgroup: InstanceLock
        let network: InstanceLock

        init(_ paths: PathOptions) throws {
            data = InstanceLock(
                path: "\(paths.dataDirectory)/noded.lock", place: "on \(paths.dataDirectory)",
                advice: "choose another --data-dir")
            run = InstanceLock(
                path: "\(paths.runDirectory)/noded.lock", place: "with --run-dir \(paths.runDirectory)",
                advice: "choose another --run-dir")
            cgroup = InstanceLock(
                path: "/run/noded-cgroup-\(paths.cgroup).lock", place: "with --cgroup \(paths.cgroup)",
                advice: "choose another --cgroup")
            let inode = try Files.identity("/proc/self/ns/net").inode
            network = InstanceLock(
                path: "/run/noded-net-\(inode).lock", place: "in this network namespace",
                advice: "run this one in a network namespace of its own (see ip-netns(8))")
        }
    }
}

/// One of them.
private struct InstanceLock {
    let path: String
    /// Where the other one runs, for the message.
    let place: String
    /// What to do besides stopping it.
    let advice: String

    /// Takes it when there is a file, and lets go: without a file nobody has it.
    func check() throws {
        if Files.exists(path) { _ = try take() }
    }

    func take() throws -> FileLock {
        do throws(SystemError) {
            return try hold()
        } catch {
            guard error.errno == .EAGAIN else { throw StartFailure("cannot lock \(path): \(error)") }
            let text = (try? Files.readText(path)) ?? ""
            let holder = text.split(separator: "\n").first.flatMap { Int32($0) }.map { " (pid \($0))" } ?? ""
            throw StartFailure("another noded\(holder) is running \(place): stop that one, or \(advice)")
        }
    }

    private func hold() throws(SystemError) -> FileLock {
        while true {
            let lock = try Files.lock(path, wait: false)
            // A reset may have removed the file between its opening and its lock.
            guard try lock.isOf(path) else { continue }
            try lock.note("\(getpid())\n")
            return lock
        }
    }
}
