// noded's end of the line to one supervisor: requests with answers, commands' ends, events.
//
// One task reads; requests are matched to their answers by id. The socket never blocks: what it does not take at
// once waits here in order. When the line breaks, every waiting request throws and `closed` is called once.
//
// A request has no time limit (docs/decisions/0011-patience.md): what a supervisor does is system calls on this
// machine, and one that is late is slow or stopped, not dead. Its death breaks the line. Whoever does not want to wait
// cancels its task: the answer then comes to nobody, and what was asked is done all the same.
//
// Commands are the exception, because probes ask for one every second. A cancelled one that is not sent yet is not
// sent at all, and while a container has one that was sent, given up and not answered, its next probes wait here. So a
// supervisor that is stopped for a day is not told to start a day's commands at once when it goes on.

import Kernel
import Logging
import SupervisorProtocol
import Synchronization
import System

/// An answer, with the descriptors that came along.
struct SupervisorAnswer: Sendable {
    let kind: MessageKind
    let fields: [UInt8]
    let descriptors: [SharedDescriptor]
}

final class SupervisorConnection: Sendable {
    private typealias Waiter = CheckedContinuation<SupervisorAnswer, any Error>

    private struct State {
        var nextID: UInt32 = 1
        var waiting: [UInt32: Waiter] = [:]
        /// Commands that run: who waits for their end, or how they ended before anybody did.
        var commands: [UInt32: Command] = [:]
        var outgoing: [Message] = []
        /// Commands that were sent and given up, and neither started nor refused so far: their containers.
        var unanswered: [UInt32: String] = [:]
        /// Commands that wait for those of their container, in order.
        var held: [(container: String, message: Message)] = []
        var flushing = false
        var broken = false
    }

    private struct Message {
        var id: UInt32
        var bytes: [UInt8]
        var descriptors: [SharedDescriptor]
    }

    private enum Command {
        case running
        case awaited(CheckedContinuation<Int32, any Error>)
        case ended(Int32)
    }

    private let uid: String
    private let socket: SharedDescriptor
    private let state = Mutex(State())
    private let exited: @Sendable (ContainerReport) -> Void
    private let closed: @Sendable () -> Void

    /// `exited` is called for every container that ends, on the reading task, in order.
    init(
        uid: String, socket: SharedDescriptor, exited: @escaping @Sendable (ContainerReport) -> Void,
        closed: @escaping @Sendable () -> Void
    ) throws(SystemError) {
        self.uid = uid
        self.socket = socket
        self.exited = exited
        self.closed = closed
        try socket.setNonBlocking()
    }

    /// Nothing is answered any more.
    var isBroken: Bool { state.withLock { $0.broken } }

    // MARK: Reading

    /// Reads until the line breaks or the task is cancelled.
    func run() async {
        var input: [UInt8] = []
        var descriptors: [SharedDescriptor] = []
        while !Task.isCancelled {
            do {
                _ = try await Readiness.shared.wait(socket, for: .readable)
                let piece = try UnixSocket.receive(socket.raw, limit: 64 << 10, maximumDescriptors: 8)
                if piece.bytes.isEmpty { break }
                input += piece.bytes
                descriptors += piece.descriptors
                guard take(&input, &descriptors) else { break }
            } catch let error as SystemError where error.errno == .EAGAIN {
                continue
            } catch {
                break
            }
        }
        fail()
    }

    /// Hands out the whole messages in `input`; false when the framing is broken.
    private func take(_ input: inout [UInt8], _ descriptors: inout [SharedDescriptor]) -> Bool {
        while input.count >= MessageHeader.size {
            guard let header = input.withUnsafeBytes({ MessageHeader($0) }) else { return false }
            let end = MessageHeader.size + header.length
            guard input.count >= end else { return true }
            guard header.descriptors <= descriptors.count else { return false }
            let fields = Array(input[MessageHeader.size..<end])
            let sent = Array(descriptors.prefix(header.descriptors))
            descriptors.removeFirst(header.descriptors)
            input.removeFirst(end)
            // A kind this noded does not know comes from a newer supervisor and means nothing to us.
            guard let kind = MessageKind(rawValue: header.kind) else { continue }
            deliver(kind, header.id, fields, sent)
        }
        return true
    }

    private func deliver(_ kind: MessageKind, _ id: UInt32, _ fields: [UInt8], _ descriptors: [SharedDescriptor]) {
        switch kind {
        case .exited: exited(ContainerReport(fields))
        case .execExited: commandEnded(id, code: Self.number(fields, Tag.code))
        default:
            let waiter = state.withLock { state in
                let waiter = state.waiting.removeValue(forKey: id)
                // From here on its end may come.
                if kind == .execStarted, waiter != nil { state.commands[id] = .running }
                return waiter
            }
            guard let waiter else {
                // Nobody has its streams: it would wait for ever.
                if kind == .execStarted { cancelCommand(id) }
                return answered(id)
            }
            waiter.resume(returning: SupervisorAnswer(kind: kind, fields: fields, descriptors: descriptors))
        }
    }

    static func number(_ fields: [UInt8], _ tag: UInt16) -> Int32 {
        var reader = FieldReader(fields)
        while let field = reader.next() {
            if field.tag == tag { return field.int32 }
        }
        return 0
    }

    private func commandEnded(_ id: UInt32, code: Int32) {
        let waiter: CheckedContinuation<Int32, any Error>? = state.withLock { state in
            switch state.commands[id] {
            case .awaited(let waiter):
                state.commands[id] = nil
                return waiter
            case .running: state.commands[id] = .ended(code)
            // One that was cancelled before it had started.
            case .ended, nil: break
            }
            return nil
        }
        waiter?.resume(returning: code)
    }

    private func fail() {
        let (waiting, commands, first) = state.withLock { state in
            defer {
                state.waiting = [:]
                state.commands = [:]
                state.outgoing = []
                state.unanswered = [:]
                state.held = []
                state.broken = true
            }
            return (state.waiting.values.map { $0 }, state.commands.values.map { $0 }, !state.broken)
        }
        let error = ContainersError.supervisor(uid: uid, "the connection broke")
        for waiter in waiting { waiter.resume(throwing: error) }
        for case .awaited(let waiter) in commands { waiter.resume(throwing: error) }
        if first { closed() }
    }

    // MARK: Asking

    /// Sends a request and waits for its answer. `failed` answers are thrown as `ContainersError`, CancellationError
    /// when the task is cancelled meanwhile. One that the supervisor would not take is refused before anything is sent:
    /// it would break the line, which every container of the pod needs.
    /// - Parameter command: the container that it starts a command in, and whether it waits while an earlier one there
    ///   that was given up is unanswered.
    func request(
        _ kind: MessageKind, _ fields: FieldWriter = FieldWriter(), descriptors: [SharedDescriptor] = [],
        command: (container: String, waits: Bool)? = nil
    ) async throws -> (id: UInt32, answer: SupervisorAnswer) {
        let id = state.withLock { state in
            defer { state.nextID = state.nextID == .max ? 1 : state.nextID + 1 }
            return state.nextID
        }
        try Task.checkCancellation()
        let message = fields.message(kind, id: id, descriptors: descriptors.count)
        let length = message.count - MessageHeader.size
        guard length <= MessageHeader.maximumLength else {
            throw ContainersError.invalid(
                "the request has \(length) bytes, a supervisor takes \(MessageHeader.maximumLength): "
                    + "shorten its arguments, environment and mounts")
        }
        let answer = try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let accepted = state.withLock { state in
                    guard !state.broken else { return false }
                    state.waiting[id] = continuation
                    let message = Message(id: id, bytes: message, descriptors: descriptors)
                    if let command, command.waits, state.unanswered.values.contains(command.container) {
                        state.held.append((command.container, message))
                    } else {
                        state.outgoing.append(message)
                    }
                    return true
                }
                guard accepted else {
                    continuation.resume(throwing: ContainersError.supervisor(uid: uid, "the connection broke"))
                    return
                }
                flush()
                // Cancelled before there was somebody to tell.
                if Task.isCancelled { abandon(id, command?.container) }
            }
        } onCancel: {
            abandon(id, command?.container)
        }
        if answer.kind == .failed { throw ContainersError(Failure(answer.fields), uid: uid) }
        return (id, answer)
    }

    /// - Parameter container: of a command.
    private func abandon(_ id: UInt32, _ container: String?) {
        let waiter = state.withLock { state in
            guard let waiter = state.waiting.removeValue(forKey: id) else { return nil as Waiter? }
            guard let container else { return waiter }
            if let index = state.held.firstIndex(where: { $0.message.id == id }) {
                state.held.remove(at: index)
            } else if let index = state.outgoing.dropFirst().firstIndex(where: { $0.id == id }) {
                // Not the first: that one may be on its way, whole or in part.
                state.outgoing.remove(at: index)
            } else {
                state.unanswered[id] = container
            }
            return waiter
        }
        waiter?.resume(throwing: CancellationError())
    }

    /// Sends what waited for a command that was given up.
    private func answered(_ id: UInt32) {
        state.withLock { state in
            guard let container = state.unanswered.removeValue(forKey: id),
                !state.unanswered.values.contains(container)
            else { return }
            state.outgoing += state.held.filter { $0.container == container }.map(\.message)
            state.held.removeAll { $0.container == container }
        }
        flush()
    }

    /// A request about one container.
    func request(_ kind: MessageKind, container id: String, number: UInt64? = nil) async throws {
        var fields = FieldWriter()
        fields.put(Tag.id, Array(id.utf8))
        if let number { fields.put(Tag.number, number) }
        _ = try await request(kind, fields)
    }

    /// The exit code of the command that request `id` started. Throws CancellationError when the task is cancelled;
    /// it may be asked again then.
    func commandExit(_ id: UInt32) async throws -> Int32 {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let known: Result<Int32, any Error>? = state.withLock { state in
                    switch state.commands[id] {
                    case .ended(let code):
                        state.commands[id] = nil
                        return .success(code)
                    case .running:
                        state.commands[id] = .awaited(continuation)
                        return nil
                    case .awaited, nil:
                        return .failure(ContainersError.supervisor(uid: uid, "the command is not known any more"))
                    }
                }
                if let known { continuation.resume(with: known) }
                if Task.isCancelled { abandonCommand(id) }
            }
        } onCancel: {
            abandonCommand(id)
        }
    }

    private func abandonCommand(_ id: UInt32) {
        let waiter: CheckedContinuation<Int32, any Error>? = state.withLock { state in
            guard case .awaited(let waiter) = state.commands[id] else { return nil }
            state.commands[id] = .running
            return waiter
        }
        waiter?.resume(throwing: CancellationError())
    }

    /// Sends without waiting for the answer.
    func cancelCommand(_ command: UInt32) {
        var fields = FieldWriter()
        fields.put(Tag.number, UInt64(command))
        let message = fields.message(.cancelExec, id: 0)
        state.withLock { state in
            if !state.broken { state.outgoing.append(Message(id: 0, bytes: message, descriptors: [])) }
        }
        flush()
    }

    /// Sends what the socket takes; the rest when it is writable again.
    private func flush() {
        let mine = state.withLock { state in
            defer { state.flushing = true }
            return !state.flushing
        }
        guard mine else { return }
        while true {
            let next = state.withLock { state -> Message? in
                if state.outgoing.isEmpty { state.flushing = false }
                return state.outgoing.first
            }
            guard let next else { return }
            do throws(SystemError) {
                let sent = try UnixSocket.send(socket.raw, next.bytes, descriptors: next.descriptors.map(\.raw))
                state.withLock { state in
                    guard !state.outgoing.isEmpty else { return }
                    if sent == next.bytes.count {
                        state.outgoing.removeFirst()
                    } else {
                        state.outgoing[0].bytes.removeFirst(sent)
                        state.outgoing[0].descriptors = []
                    }
                }
            } catch {
                guard error.errno == .EAGAIN else {
                    // The reading task sees the same break and tells everybody.
                    state.withLock { state in
                        state.outgoing = []
                        state.flushing = false
                    }
                    return
                }
                // Unstructured, because the request that filled the socket may end before it drains.
                Task {
                    _ = try? await Readiness.shared.wait(socket, for: .writable)
                    state.withLock { $0.flushing = false }
                    flush()
                }
                return
            }
        }
    }
}
