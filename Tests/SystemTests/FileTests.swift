// Files, descriptors and threads, on a real file system: each test in a folder of its own that goes with it.

import Glibc
import Synchronization
import System
import TestSupport
import Testing

@Suite struct FilesTests {
    @Test func replacesAtomically() throws {
        let folder = try ScratchFolder()
        let path = "\(folder.path)/state"
        try Files.writeAtomically(path, "one", mode: 0o640)
        try Files.writeAtomically(path, "two", mode: 0o640)
        #expect(try Files.readText(path) == "two")
        #expect(try Files.list(folder.path) == ["state"])
        #expect(try Files.attributes(path).mode & 0o777 == 0o640)
    }

    @Test func failsWithTheWholeStory() throws {
        let folder = try ScratchFolder()
        let path = "\(folder.path)/absent"
        let error = #expect(throws: SystemError.self) { try Files.read(path) }
        #expect(error?.description == "open \"\(path)\": No such file or directory")
        let atomic = #expect(throws: SystemError.self) { try Files.writeAtomically("\(folder.path)/no/x", "") }
        #expect(atomic?.errno == .ENOENT)
        try Files.writeAtomically(path, [UInt8](repeating: 1, count: 5000))
        #expect(throws: SystemError("read", path, .EFBIG)) {
            do throws(SystemError) { _ = try Files.read(path, limit: 4999) } catch {
                throw SystemError(error.call, error.target, error.errno)
            }
        }
        #expect(try Files.read(path, limit: 5000).count == 5000)
    }

    @Test func makesAndListsDirectories() throws {
        let folder = try ScratchFolder()
        try Files.makeDirectory("\(folder.path)/a/b/c")
        try Files.makeDirectory("\(folder.path)/a/b/c")
        try Files.makeDirectory("\(folder.path)/a/a")
        #expect(try Files.list("\(folder.path)/a") == ["a", "b"])
        try Files.writeAtomically("\(folder.path)/f", "")
        let error = #expect(throws: SystemError.self) { try Files.makeDirectory("\(folder.path)/f") }
        #expect(error?.errno == .ENOTDIR)
        for (path, parent) in [("/a/b", "/a"), ("/a", "/"), ("a", "."), ("/a/b/", "/a"), ("a/b", "a"), ("/", "/")] {
            #expect(Files.parent(of: path) == parent, "\(path)")
        }
    }

    @Test func removesTreesButFollowsNoLink() throws {
        let folder = try ScratchFolder()
        let keep = "\(folder.path)/keep"
        try Files.makeDirectory("\(folder.path)/tree/sub")
        try Files.writeAtomically(keep, "kept")
        try Files.symlink("\(folder.path)/tree/link", to: folder.path)
        try Files.symlink("\(folder.path)/tree/sub/file", to: keep)
        try Files.removeTree("\(folder.path)/tree")
        #expect(try Files.list(folder.path) == ["keep"])
        try Files.removeTree("\(folder.path)/tree")
        try Files.symlink("\(folder.path)/link", to: "/tmp")
        try Files.removeTree("\(folder.path)/link")
        #expect(try Files.readText(keep) == "kept")
    }

    /// Deeper than there are descriptors or path bytes.
    @Test func removesVeryDeepTrees() throws {
        let folder = try ScratchFolder()
        try Files.makeDirectory("\(folder.path)/deep")
        var current = try FileDescriptor.open("\(folder.path)/deep", [.path, .directory])
        for _ in 0..<3000 {
            let raw = current.raw
            try systemCall("mkdirat", "d") { mkdirat(raw, "d", 0o755) }
            current = try current.open("d", [.path, .directory])
        }
        try Files.removeTree("\(folder.path)/deep")
        #expect(!Files.exists("\(folder.path)/deep"))
    }

    @Test func locksOnce() throws {
        let folder = try ScratchFolder()
        let path = "\(folder.path)/lock"
        do {
            let held = try Files.lock(path)
            let error = #expect(throws: SystemError.self) { _ = try Files.lock(path, wait: false) }
            #expect(error?.errno == .EAGAIN)
            _ = held
        }
        _ = try Files.lock(path, wait: false)
        // A copy of the descriptor, as a child has it until its exec, does not keep the lock.
        var copy: Int32 = -1
        defer { close(copy) }
        do {
            let held = try Files.lock(path)
            let number = (0..<1024).first { Files.symlinkTarget("/proc/self/fd/\($0)") == path }
            copy = fcntl(Int32(try #require(number)), F_DUPFD_CLOEXEC, 0)
            _ = held
        }
        #expect(copy >= 0)
        _ = try Files.lock(path, wait: false)
    }

    @Test func descriptorsCloseOnExecAndOnce() throws {
        let number: Int32
        do {
            let file = try FileDescriptor.open("/proc/self/status")
            let copy = try file.duplicate()
            number = copy.raw
            #expect(fcntl(file.raw, F_GETFD) & FD_CLOEXEC != 0)
            #expect(fcntl(copy.raw, F_GETFD) & FD_CLOEXEC != 0)
            #expect(try file.readAll().count > 100)
        }
        _ = number
    }
}

@Suite struct BlockingTests {
    @Test func poolRunsInParallelAndReturnsErrors() async throws {
        let pool = BlockingPool(name: "test-pool", maximumThreads: 4)
        let sum = try await withThrowingTaskGroup(of: Int.self) { group in
            for number in 0..<100 { group.addTask { try await pool.run { number } } }
            return try await group.reduce(0, +)
        }
        #expect(sum == 4950)
        await #expect(throws: Errno.ENOENT) { try await pool.run { throw Errno.ENOENT } }
        let name = try await pool.run { try Files.readText("/proc/thread-self/comm") }
        #expect(name == "test-pool\n")
    }

    @Test func workerKeepsOrderAndThread() async throws {
        let worker = WorkerThread(name: "test-worker")
        let order = OrderedLog()
        for number in 0..<1000 { worker.submit { order.append(number) } }
        let threads = try await worker.run { order.threads }
        #expect(order.numbers == Array(0..<1000))
        #expect(threads.count == 1)
    }

    @Test func threadsBlockSignals() throws {
        let mask = try Threads.runAndWait(name: "mask") { try Files.readText("/proc/thread-self/status") }
        let line = try #require(mask.split(separator: "\n").first { $0.hasPrefix("SigBlk") })
        #expect(line.contains("ffff"))
    }
}

private final class OrderedLog: Sendable {
    private let state = Mutex<(numbers: [Int], threads: Set<String>)>(([], []))
    var numbers: [Int] { state.withLock { $0.numbers } }
    var threads: Set<String> { state.withLock { $0.threads } }
    func append(_ number: Int) {
        let thread = Files.symlinkTarget("/proc/thread-self") ?? ""
        state.withLock {
            $0.numbers.append(number); $0.threads.insert(thread)
        }
    }
}
