// `kubectl logs`: a container's log files read as one, across rotation and, when following, across restarts.
//
// A cursor is an open file and an offset. When the file was rotated under the reader, its descriptor's name in
// /proc/self/fd says so, and the next generation follows: nothing is lost or shown twice, which is the usual fault of
// readers that reopen a path. Following sleeps until inotify tells of the folder or the worker of its pod; nothing
// wakes up to look.

import Kernel
public import System

/// PodLogOptions v1.
public struct ContainerLogOptions: Sendable, Hashable {
    public var container: String?
    public var follow = false
    public var previous = false
    public var timestamps = false
    public var tailLines: Int?
    public var limitBytes: Int?
    public var sinceSeconds: Int64?
    public var sinceTime: Timestamp?
    /// "Stdout", "Stderr"; nil for both.
    public var stream: String?

    public init() {}
}

struct LogReader {
    enum Continuation: Sendable {
        /// This attempt still runs, or may write more.
        case more
        /// It ended, and the container runs again as this attempt.
        case next(attempt: Int)
        case over
    }

    /// Folder of the container's logs.
    let directory: String
    let options: ContainerLogOptions
    /// Wakes when `continuation` may have another answer. Called before each waiting.
    let pod: @Sendable () -> AsyncStream<Void>
    /// Asked while following, at the end of what is there.
    let continuation: @Sendable (_ attempt: Int) async -> Continuation

    private static let block = 64 << 10

    /// Calls `emit` with pieces of output until all is shown; throws `CancellationError` when the task is cancelled.
    func run(attempt first: Int, emit: (consuming [UInt8]) async throws -> Void) async throws {
        var attempt = first
        var filter = Filter(options)
        var start = try await position(attempt)
        while true {
            let over = try await read(attempt, from: start, &filter, emit)
            if over || !options.follow { return }
            guard case .next(let next) = await continuation(attempt) else { return }
            attempt = next
            start = (try generations(attempt).first ?? file(attempt), 0)
        }
    }

    private func file(_ attempt: Int) -> String { "\(directory)/\(attempt).log" }

    /// Names of an attempt's files, oldest first. A rotated one carries its time as a suffix, or its age (1 is newest).
    private func generations(_ attempt: Int) throws -> [String] {
        let name = "\(attempt).log"
        func age(_ file: String) -> Int {
            let suffix = file.dropFirst(name.count + 1)
            return suffix.utf8.count < 8 ? Int(suffix) ?? 0 : 0
        }
        let names = ((try? Files.list(directory)) ?? []).filter {
            $0.hasPrefix(name + ".") && !$0.hasSuffix(".tmp") && !$0.hasSuffix(".gz")
        }.sorted { (-age($0), $0) < (-age($1), $1) }
        return (names + [name]).map { "\(directory)/\($0)" }
    }

    // MARK: - Where to begin

    private func position(_ attempt: Int) async throws -> (path: String, offset: Int) {
        let files = try generations(attempt)
        guard let tail = options.tailLines else { return (files[0], 0) }
        return try await BlockingPool.shared.run {
            var left = tail
            for path in files.reversed() {
                let (found, offset) = try Self.tail(path, lines: &left)
                if found { return (path, offset) }
            }
            return (files[0], 0)
        }
    }

    /// The offset of the line that begins the last `lines` ones; `found` false when the file has fewer.
    private static func tail(_ path: String, lines: inout Int) throws -> (found: Bool, offset: Int) {
        guard let file = try? FileDescriptor.open(path, [.read]) else { return (false, 0) }
        var end = try file.size()
        if lines <= 0 { return (true, end) }
        var isLast = true
        while end > 0 {
            let start = max(0, end - block)
            try file.seek(to: start)
            let bytes = try file.read(upTo: end - start)
            var index = bytes.count - 1
            while index >= 0 {
                if bytes[index] == UInt8(ascii: "\n") {
                    if isLast {
                        isLast = false
                    } else {
                        lines -= 1
                        if lines == 0 { return (true, start + index + 1) }
                    }
                }
                index -= 1
            }
            end = start
        }
        if !isLast { lines -= 1 }
        return (lines <= 0, 0)
    }

    // MARK: - Reading on

    /// Reads one attempt's files to their end (following while it runs). Returns true when the limit was reached.
    private func read(
        _ attempt: Int, from start: (path: String, offset: Int), _ filter: inout Filter,
        _ emit: (consuming [UInt8]) async throws -> Void
    ) async throws -> Bool {
        var path = start.path
        var offset = start.offset
        while true {
            guard let file = try? FileDescriptor.open(path, [.read]) else {
                // Not there yet: watched first, then looked for again.
                guard options.follow, path == self.file(attempt) else { return false }
                let changes = try FileWatcher.shared.changes(directory)
                if Files.exists(path) { continue }
                if await waits(attempt, changes) { continue }
                return false
            }
            try file.seek(to: offset)
            let shared = SharedDescriptor(file)
            var changes: AsyncStream<Void>?
            while true {
                try Task.checkCancellation()
                // Watched before it is read, and anew for each wait: a change in between is not missed.
                if options.follow, changes == nil { changes = try FileWatcher.shared.changes(directory) }
                let bytes = try await BlockingPool.shared.run { try shared.read(upTo: Self.block) }
                if !bytes.isEmpty {
                    let out = filter.take(bytes)
                    if !out.isEmpty { try await emit(out) }
                    if filter.isFull { return true }
                    continue
                }
                if try next(after: shared, attempt) != nil {
                    // What was written between the last read and the rotation; a rotated file grows no more.
                    let rest = try await BlockingPool.shared.run { try shared.read(upTo: Self.block) }
                    if rest.isEmpty { break }
                    let out = filter.take(rest)
                    if !out.isEmpty { try await emit(out) }
                    if filter.isFull { return true }
                    continue
                }
                guard options.follow, let watched = changes, await waits(attempt, watched) else {
                    // What was written between the last read and the end.
                    let rest = try await BlockingPool.shared.run { try shared.read(upTo: Self.block) }
                    if rest.isEmpty, try next(after: shared, attempt) == nil { return false }
                    let out = filter.take(rest)
                    if !out.isEmpty { try await emit(out) }
                    if filter.isFull { return true }
                    continue
                }
                changes = nil
            }
            guard let following = try next(after: shared, attempt) else { return false }
            (path, offset) = (following, 0)
        }
    }

    /// The generation after the open one; nil when it is the newest.
    private func next(after file: SharedDescriptor, _ attempt: Int) throws -> String? {
        guard let name = Files.symlinkTarget("/proc/self/fd/\(file.raw)") else { return nil }
        if name == self.file(attempt) { return nil }
        let files = try generations(attempt)
        // A generation that was removed meanwhile ("… (deleted)") is followed by the oldest one left.
        guard let index = files.firstIndex(of: name) else { return files.first { Files.exists($0) } }
        return files.dropFirst(index + 1).first { Files.exists($0) }
    }

    /// Waits for a change of the folder or of the pod. False when this attempt writes no more.
    private func waits(_ attempt: Int, _ changes: AsyncStream<Void>) async -> Bool {
        // Listened to before it is asked: an end in between is not missed.
        let pod = pod()
        guard case .more = await continuation(attempt), !Task.isCancelled else { return false }
        await withTaskGroup(of: Void.self) { group in
            for stream in [changes, pod] {
                group.addTask {
                    for await _ in stream { break }
                }
            }
            await group.next()
            group.cancelAll()
        }
        return true
    }
}

/// Turns log file bytes into what the client asked for.
private struct Filter {
    private let timestamps: Bool
    private let since: Timestamp?
    private let stream: [UInt8]?
    private var left: Int
    private var pending: [UInt8] = []
    /// The last piece shown was a partial line: the next one of it gets no time of its own.
    private var midLine = false

    init(_ options: ContainerLogOptions) {
        timestamps = options.timestamps
        since = options.sinceTime ?? options.sinceSeconds.map { Timestamp.now().advanced(by: .seconds(-$0)) }
        stream = options.stream.flatMap { $0 == "All" ? nil : Array($0.lowercased().utf8) }
        left = options.limitBytes ?? Int.max
    }

    var isFull: Bool { left <= 0 }

    mutating func take(_ bytes: [UInt8]) -> [UInt8] {
        pending.append(contentsOf: bytes)
        var out: [UInt8] = []
        out.reserveCapacity(pending.count)
        var start = 0
        while left > 0, let end = pending[start...].firstIndex(of: UInt8(ascii: "\n")) {
            add(pending[start..<end], to: &out)
            start = end + 1
        }
        pending.removeFirst(start)
        return out
    }

    private mutating func add(_ raw: ArraySlice<UInt8>, to out: inout [UInt8]) {
        guard let line = LogLine(raw) else { return }
        if let stream, !line.stream.elementsEqual(stream) { return }
        if let since, let time = line.timestamp, time < since { return }
        var piece: [UInt8] = []
        if timestamps, !midLine {
            piece.append(contentsOf: line.time)
            piece.append(UInt8(ascii: " "))
        }
        piece.append(contentsOf: line.text)
        if !line.isPartial { piece.append(UInt8(ascii: "\n")) }
        midLine = line.isPartial
        out.append(contentsOf: piece.prefix(left))
        left -= piece.count
    }
}
