// One noded at the control socket. Messages come in whole; answers go out as far as the socket takes them, the rest
// waits here. A peer that leaves more than 4 MiB unread, or breaks the framing, is dropped: it will come again.

import CSupervisor
import SupervisorProtocolE

final class Connection {
    private(set) var fd: Int32
    /// After hello: gets events.
    var wantsEvents = false
    private var input: [UInt8] = []
    private var inputDescriptors: [Int32] = []
    private var output: [Outgoing] = []
    private var queued = 0

    private static let outputLimit = 4 << 20

    private struct Outgoing {
        var bytes: [UInt8]
        var done = 0
        /// Ours to close once sent.
        var descriptors: [Int32]
    }

    init(_ fd: Int32) { self.fd = fd }

    var isOpen: Bool { fd >= 0 }
    var wantsToWrite: Bool { !output.isEmpty }

    func close() {
        closeDescriptor(&fd)
        for waiting in inputDescriptors { _ = sup_close(waiting) }
        for item in output { for waiting in item.descriptors { _ = sup_close(waiting) } }
        inputDescriptors = []
        output = []
        input = []
    }

    /// Takes what has arrived; false when the peer is gone.
    func receive(_ buffer: UnsafeMutableRawBufferPointer) -> Bool {
        while true {
            var fds: (Int32, Int32, Int32, Int32, Int32, Int32, Int32, Int32) = (0, 0, 0, 0, 0, 0, 0, 0)
            var count = 0
            let size = withUnsafeMutableBytes(of: &fds) {
                let numbers = $0.baseAddress!.assumingMemoryBound(to: Int32.self)
                let size = sup_receive(fd, buffer.baseAddress, buffer.count, numbers, 8, &count)
                for index in 0..<count { inputDescriptors.append(numbers[index]) }
                return size
            }
            if size == -Int(SUP_EAGAIN) { return true }
            if size <= 0 { return false }
            input.append(contentsOf: UnsafeRawBufferPointer(rebasing: buffer[..<size]))
            if size < buffer.count { return true }
        }
    }

    /// A whole message: what, whose id, fields, descriptors (the taker's to close).
    struct Message {
        var kind: UInt16
        var id: UInt32
        var fields: [UInt8]
        var descriptors: [Int32]
    }

    /// The next whole message; nil when there is none yet. Closes itself when the peer does not keep to the framing.
    func next() -> Message? {
        guard isOpen, input.count >= MessageHeader.size else { return nil }
        guard let header = input.withUnsafeBytes({ MessageHeader($0) }) else {
            close()
            return nil
        }
        let end = MessageHeader.size + header.length
        if input.count < end { return nil }
        if header.descriptors > inputDescriptors.count {
            close()
            return nil
        }
        let message = Message(
            kind: header.kind, id: header.id, fields: [UInt8](input[MessageHeader.size..<end]),
            descriptors: [Int32](inputDescriptors[..<header.descriptors]))
        inputDescriptors.removeFirst(header.descriptors)
        if input.count == end { input = [] } else { input.removeFirst(end) }
        return message
    }

    /// Descriptors are taken over, sent and closed.
    func send(_ kind: MessageKind, id: UInt32, _ fields: FieldWriter, descriptors: [Int32] = []) {
        guard isOpen else {
            for fd in descriptors { _ = sup_close(fd) }
            return
        }
        let bytes = fields.message(kind, id: id, descriptors: descriptors.count)
        queued += bytes.count
        output.append(Outgoing(bytes: bytes, descriptors: descriptors))
        flush()
        if queued > Connection.outputLimit { close() }
    }

    func flush() {
        while isOpen, !output.isEmpty {
            let sent = output[0].bytes.withUnsafeBytes { bytes in
                output[0].descriptors.withUnsafeBufferPointer { fds in
                    sup_send(
                        fd, bytes.baseAddress! + output[0].done, bytes.count - output[0].done, fds.baseAddress,
                        fds.count)
                }
            }
            if sent == -Int(SUP_EAGAIN) { return }
            if sent < 0 {
                close()
                return
            }
            // Descriptors went with the first byte.
            for waiting in output[0].descriptors { _ = sup_close(waiting) }
            output[0].descriptors = []
            output[0].done += sent
            queued -= sent
            if output[0].done == output[0].bytes.count { output.removeFirst() }
        }
    }
}
