// Processes, readiness, sockets, namespaces, on the real kernel.

import Glibc
import Kernel
import System
import TestSupport
import Testing

@Suite struct ProcessTests {
    @Test func signalsWaitsAndReaps() async throws {
        let child = try Child(["/bin/sleep", "1000"])
        let process = child.process
        #expect(process.isRunning)
        #expect(try process.reap() == nil)
        #expect(try process.startTicks() > 0)
        try process.signal(Signal.terminate)
        let exit = try await bounded { try await process.exit() }
        #expect(exit == .killed(signal: 15))
        #expect(exit.code == 143 && exit.description == "killed by SIGTERM")
        #expect(!process.isRunning)
        let error = #expect(throws: SystemError.self) { try process.signal(Signal.kill) }
        #expect(error?.errno == .ESRCH)
        #expect(throws: SystemError.self) { try process.startTicks() }
    }

    @Test func tellsExitCodes() throws {
        let child = try Child(["/bin/sh", "-c", "exit 42"])
        #expect(try child.process.waitBlocking() == .exited(code: 42))
    }

    @Test func signalsHaveNames() {
        for (text, number) in [
            ("SIGTERM", 15), ("TERM", 15), ("9", 9), ("sigrtmin+3", 37), ("SIGRTMAX-1", 63), ("SIGCLD", 17),
        ] {
            #expect(Signal.number(text) == Int32(number), "\(text)")
        }
        for text in ["", "SIG", "0", "65", "SIGFOO", "SIGRTMIN-1", "SIGRTMIN+31", "RTMAX+1"] {
            #expect(Signal.number(text) == nil, "\(text)")
        }
        #expect(Signal.name(28) == "SIGWINCH" && Signal.name(37) == "SIGRTMIN+3")
    }
}

@Suite struct ReadinessTests {
    @Test func wakesWhenReadable() async throws {
        let pipe = try FileDescriptor.pipe().shared()
        let events = try await bounded {
            async let wait = Readiness.shared.wait(pipe.reading, for: .readable)
            try await Task.sleep(for: .milliseconds(20))
            try pipe.writing.write(all: [1])
            return try await wait
        }
        #expect(events.contains(.readable))
        #expect(try await bounded { try await Readiness.shared.wait(pipe.writing, for: .writable) } == .writable)
    }

    @Test func tellsThatThePeerHasGone() async throws {
        let a = try UnixSocket.pair().0  // the other end is closed at once
        let events = try await bounded { try await Readiness.shared.wait(a, for: .peerClosed) }
        #expect(events.contains(.peerClosed) && events.contains(.hangUp))
    }

    @Test func cancelsAndServesManyOnOneDescriptor() async throws {
        let pipe = try FileDescriptor.pipe().shared()
        await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<50 {
                group.addTask {
                    do {
                        _ = try await Readiness.shared.wait(pipe.reading, for: .readable)
                        return false
                    } catch { return error is CancellationError }
                }
            }
            group.cancelAll()
            for await cancelled in group { #expect(cancelled) }
        }
        try await bounded {
            async let first = Readiness.shared.wait(pipe.reading, for: .readable)
            async let second = Readiness.shared.wait(pipe.reading, for: .readable)
            try pipe.writing.write(all: [1])
            _ = try await (first, second)
        }
        // Every duplicate is gone: only our two ends lead to this pipe.
        let name = Files.symlinkTarget("/proc/self/fd/\(pipe.reading.raw)")
        let ends = try Files.list("/proc/self/fd").filter { Files.symlinkTarget("/proc/self/fd/\($0)") == name }
        #expect(name != nil && ends.count == 2)
    }

    @Test func regularFilesAreReadyAtOnce() async throws {
        let file = SharedDescriptor(try FileDescriptor.open("/etc/passwd"))
        #expect(try await bounded { try await Readiness.shared.wait(file, for: .readable) } == .readable)
    }
}

@Suite struct UnixSocketTests {
    @Test func knowsItsPeerAndPassesDescriptors() throws {
        let folder = try ScratchFolder()
        let path = "\(folder.path)/socket"
        let listener = try UnixSocket.listen(path, .sequencedPackets)
        #expect(try Files.attributes(path).mode & 0o777 == 0o600)
        let client = try UnixSocket.connect(path, .sequencedPackets)
        let server = try UnixSocket.accept(listener.raw)
        #expect(try UnixSocket.peer(server.raw) == PeerCredentials(pid: getpid(), uid: getuid(), gid: getgid()))

        let pipe = try FileDescriptor.pipe().shared()
        try UnixSocket.send(client.raw, Array("take".utf8), descriptors: [pipe.writing.raw, pipe.reading.raw])
        let received = try UnixSocket.receive(server.raw, limit: 100)
        #expect(received.bytes == Array("take".utf8) && received.descriptors.count == 2)
        #expect(fcntl(received.descriptors[0].raw, F_GETFD) & FD_CLOEXEC != 0)
        try received.descriptors[0].write(all: [7])
        #expect(try pipe.reading.read(upTo: 10) == [7])

        // What does not fit is refused whole, and leaks nothing.
        try UnixSocket.send(client.raw, [1], descriptors: [pipe.writing.raw, pipe.reading.raw])
        let error = #expect(throws: SystemError.self) {
            try UnixSocket.receive(server.raw, limit: 100, maximumDescriptors: 1)
        }
        #expect(error?.errno.code == EMSGSIZE)
        // A socket left behind is taken over.
        _ = try UnixSocket.listen(path)
    }

    @Test func reachesLongPaths() throws {
        let folder = try ScratchFolder()
        let long = "\(folder.path)/\(String(repeating: "d", count: 120))"
        try Files.makeDirectory(long)
        let listener = try UnixSocket.listen("\(long)/s")
        _ = try UnixSocket.connect("\(long)/s")
        _ = listener
    }

    @Test func sendingToNobodyIsAnErrorNotASignal() throws {
        let a = try UnixSocket.pair().0  // the other end is closed at once
        let error = #expect(throws: SystemError.self) { try UnixSocket.send(a.raw, [1]) }
        #expect(error?.errno == .EPIPE)
    }
}

@Suite struct NamespaceTests {
    @Test func worksInsideANetworkNamespaceAndLeavesTheRestAlone() async throws {
        let namespace = try NetworkNamespace.create()
        let outside = Namespace.identity(.network, pid: getpid())
        let inside = try await NetworkNamespace.run(fd: namespace) { () -> (String?, String) in
            try Sysctl.write("net.ipv4.ip_default_ttl", "77")
            return (Files.symlinkTarget("/proc/thread-self/ns/net"), try Files.readText("/proc/thread-self/net/dev"))
        }
        #expect(inside.0 != nil && inside.0 != outside)
        #expect(inside.1.split(separator: "\n").count == 3, "only lo: \(inside.1)")
        #expect(try Sysctl.read("net.ipv4.ip_default_ttl") != "77")
        #expect(try await NetworkNamespace.run(fd: namespace) { try Sysctl.read("net.ipv4.ip_default_ttl") } == "77")
        await #expect(throws: Errno.EPERM) { try await NetworkNamespace.run(fd: namespace) { throw Errno.EPERM } }
    }

    @Test func entersTheNamespaceOfAProcess() async throws {
        let child = try Child(["/usr/bin/unshare", "-n", "/bin/sleep", "1000"])
        let process = child.process
        let own = Namespace.identity(.network, pid: getpid())
        try await bounded {
            while Namespace.identity(.network, pid: process.pid) == own { try await Task.sleep(for: .milliseconds(5)) }
        }
        let seen = try await NetworkNamespace.run(in: process) { Files.symlinkTarget("/proc/thread-self/ns/net") }
        #expect(seen == Namespace.identity(.network, pid: process.pid))
        _ = try Namespace.open(.network, of: process)
        try process.signal(Signal.kill)
        _ = try await process.exit()
        // Whose number it is by now does not matter.
        do {
            try await NetworkNamespace.run(in: process) {}
            Issue.record("entered the namespace of a process that has ended")
        } catch let error as SystemError {
            #expect(error.errno == .ESRCH)
        }
    }

    @Test func sysctlNamesStayInside() {
        for name in ["../kernel/x", "net..x", "", "/etc", "a/../b"] {
            #expect(throws: SystemError.self) { try Sysctl.read(name) }
        }
    }
}

@Suite struct CapabilityTests {
    @Test func namesAndMasks() throws {
        #expect(Capabilities.default.count == 14)
        #expect(try Capabilities.mask(Capabilities.default) == 0xa804_25fb)
        #expect(Capabilities.number("NET_BIND_SERVICE") == 10 && Capabilities.number("cap_chown") == 0)
        #expect(
            Capabilities.number("CAP_NOPE") == nil && Capabilities.number("5") == nil && Capabilities.number("") == nil)
        #expect(Capabilities.name(21) == "CAP_SYS_ADMIN")
        let error = #expect(throws: CapabilityError.self) { try Capabilities.mask(["NET_FOO"]) }
        #expect(error?.description == "unknown capability \"NET_FOO\"")
    }

    @Test func resolvesASecurityContext() throws {
        #expect(try Capabilities.resolve(add: [], drop: ["ALL"]) == [])
        #expect(try Capabilities.resolve(add: ["NET_ADMIN"], drop: ["ALL"]) == ["CAP_NET_ADMIN"])
        #expect(try Capabilities.resolve(add: ["ALL"], drop: ["SYS_ADMIN"]).contains("CAP_SYS_ADMIN") == false)
        #expect(try Capabilities.resolve(add: ["ALL"], drop: []).count == Capabilities.all.count)
        #expect(try Set(Capabilities.resolve(add: [], drop: [])) == Set(Capabilities.default))
    }

    @Test func machineIsFitForNoded() {
        let features = KernelFeatures.probe()
        #expect(features.problems.isEmpty, "\(features.problems)")
        #expect(features.cgroup2 != nil && !features.release.isEmpty)
    }
}
