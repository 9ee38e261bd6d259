// Sandboxes: made, found again, removed.

import Cgroups
import Kernel
import Logging
import SupervisorProtocol
import System

extension PodRuntime {
    // MARK: Making

    public func createSandbox(_ config: SandboxConfig) async throws -> SandboxStatus {
        let uid = config.uid
        guard (1...64).contains(uid.utf8.count), uid.utf8.allSatisfy(Self.isNameByte), !uid.hasPrefix(".") else {
            throw ContainersError.invalid("pod uid \"\(uid)\"")
        }
        guard config.hostname.utf8.count <= 63 else {
            throw ContainersError.invalid("host name \"\(config.hostname)\" is longer than 63 bytes")
        }
        return try await alone(uid) {
            if let known = sandboxes[uid] { return known.status }
            // Remains of one whose supervisor died.
            let folder = directory(uid)
            if try await Self.pool.run({ Files.exists(folder) }) { try await tidy(uid) }
            do {
                return try await make(config)
            } catch is CancellationError {
                // noded stops: the next one finds it cut off and clears it away.
                throw CancellationError()
            } catch {
                do { try await tidy(uid) } catch let remains {
                    logger.warning("sandbox leaves remains", metadata: ["pod": "\(uid)", "error": "\(remains)"])
                }
                throw error
            }
        }
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e: true
        default: false
        }
    }

    private func make(_ config: SandboxConfig) async throws -> SandboxStatus {
        let uid = config.uid
        let work = SandboxPreparation(
            config: config, folder: directory(uid), dataFolder: "\(dataDirectory)/\(uid)",
            group: config.cgroup.flatMap { tree?.cgroup($0) }, executable: executable)
        // Nobody else makes or removes it meanwhile: see `alone`.
        let ready = try await Self.pool.run { try work.run() }
        let process = ready.process
        let sandbox = try adopt(ready.record, ready.socket, process, createdAt: .now())
        do {
            _ = try await sandbox.connection.request(.hello)
            let answer = try await sandbox.connection.request(.createSandbox, ready.plan.fields).answer
            if let report = SandboxReport(answer.fields) {
                sandbox.createdAt = Timestamp(nanosecondsSince1970: report.createdAt)
            }
            sandbox.early = nil
        } catch {
            sandbox.leaving = true
            sandboxes[uid] = nil
            // Cancelled: the next noded finds it cut off.
            if !(error is CancellationError) {
                try? process.signal(Signal.kill)
                await reap(process)
            }
            throw error
        }
        return sandbox.status
    }

    /// Takes a supervisor's line over: from here on its words and its end are heard.
    private func adopt(
        _ record: SandboxRecord, _ socket: SharedDescriptor, _ process: ProcessHandle, createdAt: Timestamp
    ) throws(SystemError) -> Sandbox {
        let uid = record.uid
        let connection = try SupervisorConnection(
            uid: uid, socket: socket,
            exited: { report in Task { await self.exited(uid, report) } },
            closed: { Task { await self.lost(uid, process) } })
        let sandbox = Sandbox(record: record, connection: connection, process: process, createdAt: createdAt)
        sandboxes[uid] = sandbox
        // Unstructured, because a sandbox lives as long as its supervisor, not as long as who asked for it.
        sandbox.reader = Task { await connection.run() }
        return sandbox
    }

    /// The line broke. Unless the supervisor was asked to go this is its death: what it held is killed.
    private func lost(_ uid: String, _ process: ProcessHandle) async {
        guard let sandbox = sandboxes[uid], sandbox.process === process, !sandbox.leaving else { return }
        sandboxes[uid] = nil
        goingDown.append(sandbox)
        defer { goingDown.removeAll { $0 === sandbox } }
        logger.error("supervisor died", metadata: ["pod": "\(uid)", "pid": "\(process.pid)"])
        try? process.signal(Signal.kill)
        do { try group(of: sandbox.record)?.kill() } catch {
            logger.error("cannot kill the pod's cgroup", metadata: ["pod": "\(uid)", "error": "\(error)"])
        }
        sandbox.abandonWaiters()
        await reap(process)
        sink.yield(.supervisorDied(uid: uid))
        // What is killed takes a moment to end: who stops one of them until then waits for that.
        for container in sandbox.containers { _ = try? await wentDown(container, with: sandbox) }
    }

    /// Waits for the end of a supervisor, and reaps it if it is our child.
    private func reap(_ process: ProcessHandle) async {
        try? await process.ended()
        _ = try? process.reap()
    }

    // MARK: Finding

    public func recover() async -> [SandboxStatus] {
        let uids: [String]
        do {
            uids = try await Self.pool.run { [runDirectory] in try Files.list(runDirectory) }
        } catch {
            logger.error("cannot look for sandboxes", metadata: ["folder": "\(runDirectory)", "error": "\(error)"])
            return []
        }
        // All at once: one that answers late keeps no other waiting.
        await withTaskGroup(of: Void.self) { group in
            for uid in uids where sandboxes[uid] == nil {
                let found = Outcome<Void>()
                finding[uid] = found
                // Unstructured: the node goes on without a late one, which is waited for all the same.
                Task {
                    await self.recover(uid)
                    self.finding[uid] = nil
                    found.set(.success(()))
                }
                group.addTask { await self.wait(for: found, of: uid) }
            }
        }
        await sweep(known: Set(uids))
        return sandboxes.values.map(\.status).sorted { $0.uid < $1.uid }
    }

    /// Waits for a supervisor's first answer, but not for ever. A slow machine is not a broken one: only the end of the
    /// process or of its line is taken for its death.
    private func wait(for found: Outcome<Void>, of uid: String) async {
        await withTaskGroup(of: Void.self) { [patience] group in
            group.addTask { try? await found.wait() }
            group.addTask { try? await Task.sleep(for: patience) }
            await group.next()
            group.cancelAll()
        }
        guard found.result == nil, !Task.isCancelled else { return }
        logger.warning(
            "supervisor does not answer yet; its pod waits for it, the node does not",
            metadata: ["pod": "\(uid)", "pid": "\(sandboxes[uid].map { "\($0.process.pid)" } ?? "?")"])
    }

    private func recover(_ uid: String) async {
        do {
            try await alone(uid) { try await find(uid) }
        } catch {
            logger.warning("sandbox is not to be had back", metadata: ["pod": "\(uid)", "error": "\(error)"])
            // Told once: not again by `lost`, for its line may break after this.
            sandboxes.removeValue(forKey: uid)?.leaving = true
            await clear(uid)
        }
    }

    /// What is left of a sandbox that is not to be had back: killed and told, removed, or put out of the way.
    private func clear(_ uid: String) async {
        if let record = await storedRecord(uid) {
            try? group(of: record)?.kill()
            sink.yield(.supervisorDied(uid: uid))
            return
        }
        let folder = directory(uid)
        let (isFolder, hasRecord) =
            (try? await Self.pool.run { (Files.isDirectory(folder), Files.exists("\(folder)/sandbox")) })
            ?? (false, false)
        guard isFolder else { return }
        do {
            if !hasRecord {
                // noded was cut off before there was anything: the record comes first.
                try await alone(uid) { try await tidy(uid) }
            } else if !uid.hasPrefix(Self.quarantine) {
                // Nothing says what it was: out of the way, for somebody to look at.
                let aside = directory("\(Self.quarantine)\(uid)")
                try await Self.pool.run { try Files.rename(folder, to: aside) }
            }
        } catch {
            logger.warning("sandbox leaves remains", metadata: ["pod": "\(uid)", "error": "\(error)"])
        }
    }

    private static let quarantine = "quarantined-"

    /// Removes roots of containers whose pods are gone: after a reboot all that is left of them.
    private func sweep(known: Set<String>) async {
        let there = (try? await Self.pool.run { [dataDirectory] in try Files.list(dataDirectory) }) ?? []
        for uid in there where !known.contains(uid) && sandboxes[uid] == nil {
            let folder = "\(dataDirectory)/\(uid)"
            do {
                try await Self.pool.run { try Files.removeTree(folder) }
            } catch {
                logger.warning("old roots stay", metadata: ["folder": "\(folder)", "error": "\(error)"])
            }
        }
    }

    /// The supervisor's own answer counts; the record beside the socket may be torn.
    private func find(_ uid: String) async throws {
        let folder = directory(uid)
        let socket = try await Self.pool.run { SharedDescriptor(try UnixSocket.connect("\(folder)/supervisor.sock")) }
        let peer = try UnixSocket.peer(socket.raw)
        guard peer.uid == 0 else {
            throw ContainersError.supervisor(uid: uid, "its socket belongs to user \(peer.uid)")
        }
        let process = try ProcessHandle(pid: peer.pid)
        let stored = await storedRecord(uid)
        var placeholder = SandboxRecord()
        placeholder.uid = uid
        let line = try adopt(stored ?? placeholder, socket, process, createdAt: .now())
        let answer = try await line.connection.request(.hello).answer
        guard let report = SandboxReport(answer.fields), report.createdAt != 0,
            let record = SandboxRecord(report.record)
        else {
            line.leaving = true
            try? process.signal(Signal.kill)
            throw ContainersError.supervisor(uid: uid, "it was cut off while it was being made")
        }
        if stored == nil {
            logger.warning("record was torn and is written anew", metadata: ["pod": "\(uid)"])
            let bytes = report.record
            try await Self.pool.run { try Files.writeAtomically("\(folder)/sandbox", bytes, mode: 0o600) }
        }
        line.record = record
        line.createdAt = Timestamp(nanosecondsSince1970: report.createdAt)
        var found: [Container] = []
        for report in report.containers { found.append(await container(report, record)) }
        let known = Set(line.containers.map(\.id))
        line.containers += found.filter { !known.contains($0.id) }
        // Those that ended between the answer and here.
        let early = line.early ?? [:]
        line.early = nil
        for report in early.values { await exited(uid, report) }
    }

    /// Asks a supervisor to go. One that is not gone within `limit` is killed by the caller, and what it held with it.
    private func shutDown(_ sandbox: Sandbox, limit: Duration) async {
        let connection = sandbox.connection
        await withTaskGroup(of: Void.self) { group in
            group.addTask { _ = try? await connection.request(.shutdown) }
            group.addTask { try? await Task.sleep(for: limit) }
            await group.next()
            group.cancelAll()
        }
    }

    private func container(_ report: ContainerReport, _ sandbox: SandboxRecord) async -> Container {
        let record = ContainerRecord(report.record)
        let state: ContainerState =
            switch report.state {
            case .starting: .created(at: .now())
            case .running:
                .running(pid: report.pid, startedAt: Timestamp(nanosecondsSince1970: report.startedAt))
            case .exited: .exited(await exitStatus(report, record, sandbox))
            }
        return Container(id: String(decoding: report.id, as: UTF8.self), record: record, state: state)
    }

    private func storedRecord(_ uid: String) async -> SandboxRecord? {
        let path = "\(directory(uid))/sandbox"
        return (try? await Self.pool.run { try Files.read(path, limit: 1 << 20) }).flatMap { SandboxRecord($0) }
    }

    // MARK: Removing

    public func removeSandbox(_ uid: String) async throws {
        try await alone(uid) {
            if let sandbox = sandboxes[uid] {
                sandbox.leaving = true
                // It kills its containers, unmounts and goes; one that does not answer is killed below.
                await shutDown(sandbox, limit: .seconds(10))
                sandboxes[uid] = nil
                try? sandbox.process.signal(Signal.kill)
                await reap(sandbox.process)
                sandbox.reader?.cancel()
                sandbox.abandonWaiters()
            }
            try await tidy(uid)
        }
    }

    /// Removes what a sandbox leaves in the kernel and on disk, whoever made it.
    private func tidy(_ uid: String) async throws {
        while let other = preparing[uid]?.values.first { try await other.wait() }
        let folder = directory(uid)
        let supervisor = try await Self.pool.run { () -> ProcessHandle? in
            guard let socket = try? UnixSocket.connect("\(folder)/supervisor.sock"),
                // Ourselves, until the supervisor listens on the socket that we made for it.
                let peer = try? UnixSocket.peer(socket.raw), "\(peer.pid)" != Files.symlinkTarget("/proc/self")
            else { return nil }
            return try? ProcessHandle(pid: peer.pid)
        }
        if let supervisor {
            try? supervisor.signal(Signal.kill)
            await reap(supervisor)
        }
        if let record = await storedRecord(uid), let group = group(of: record), group.exists {
            try group.kill()
            try await group.remove()
        }
        let data = "\(dataDirectory)/\(uid)"
        try await Self.pool.run {
            try Mounts.unmountAll(below: folder)
            try Files.removeTree(data)
            try Files.removeTree(folder)
        }
    }

    /// Removes every sandbox, known or not: for `noded reset`.
    public func teardown() async throws {
        let uids = try await Self.pool.run { [runDirectory] in try Files.list(runDirectory) }
        for uid in uids { try await removeSandbox(uid) }
    }
}
