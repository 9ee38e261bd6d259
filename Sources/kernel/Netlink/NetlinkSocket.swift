// A netlink socket: a request and its acknowledgement, a dump, or the messages of multicast groups.
//
// A socket belongs to the network namespace of the thread that opened it, for life: opened on a thread inside a pod's
// namespace it works on that pod from any thread. libnl makes the socket, numbers and lays out the messages;
// answers are taken apart by checked views. Calls block for as long as the kernel works (a link deletion takes
// 21 to 42 ms), so they belong on a worker thread.

internal import CNetlink
internal import Glibc
internal import System

/// @unchecked: the libnl socket is used only with `lock` held; `monitor` sockets are read by one thread only.
public final class NetlinkSocket: @unchecked Sendable {
    public enum Family: Int32, Sendable {
        /// NETLINK_ROUTE
        case route = 0
        /// NETLINK_NETFILTER
        case netfilter = 12
    }

    private let socket: OpaquePointer
    private let lock = Lock()

    /// Opens a socket in the calling thread's network namespace.
    /// - Parameter groups: multicast groups to listen to (rtnetlink RTNLGRP_*, nfnetlink NFNLGRP_*).
    public init(_ family: Family, groups: [Int32] = []) throws(NetlinkError) {
        guard let socket = nl_socket_alloc() else { throw NetlinkError("allocate socket", .ENOMEM) }
        self.socket = socket
        let failed = nl_connect(socket, family.rawValue)
        guard failed == 0 else { throw NetlinkError("open \(family) socket (libnl \(failed))", .current) }
        // Without these the kernel copies our request back with every error, and keeps its reason to itself.
        var on: Int32 = 1
        _ = setsockopt(nl_socket_get_fd(socket), Self.solNetlink, 10, &on, 4)  // NETLINK_CAP_ACK
        _ = setsockopt(nl_socket_get_fd(socket), Self.solNetlink, 11, &on, 4)  // NETLINK_EXT_ACK
        if !groups.isEmpty {
            // A burst (10,000 Services loading) should fit; when it does not, ENOBUFS says that something was lost.
            _ = nl_socket_set_buffer_size(socket, 1 << 20, 0)
            for group in groups {
                guard nl_socket_add_membership(socket, group) == 0 else {
                    throw NetlinkError("join group \(group) of \(family)", .current)
                }
            }
        }
    }

    deinit {
        nl_close(socket)
        nl_socket_free(socket)
    }

    private static let solNetlink: Int32 = 270

    /// For readiness only; reading is `receive`.
    public var descriptor: Int32 { nl_socket_get_fd(socket) }

    /// Sends a request and waits for the kernel's verdict.
    /// - Parameter operation: for the error: `add route 10.42.0.5/32`.
    public func request(_ message: NetlinkMessage, _ operation: @autoclosure () -> String) throws(NetlinkError) {
        _ = try exchange(message, ack: true, operation())
    }

    /// Sends a question and collects every answer up to the end of the dump. A dump that the kernel marks as
    /// inconsistent (something changed meanwhile) is asked again, at most 8 times.
    public func query(
        _ message: NetlinkMessage, _ operation: @autoclosure () -> String
    ) throws(NetlinkError) -> [NetlinkReply] {
        for _ in 0..<8 {
            let replies = try exchange(message, ack: message.flags & NetlinkMessage.dump == 0, operation())
            if !replies.contains(where: { $0.flags & 0x10 != 0 }) { return replies }  // NLM_F_DUMP_INTR
        }
        throw NetlinkError(operation() + ": changes faster than it can be read", .EAGAIN)
    }

    /// Waits for the next messages of the joined groups. ENOBUFS: messages were lost, look at the state anew.
    public func receive() throws(NetlinkError) -> [NetlinkReply] {
        try receivePacket("receive")
    }

    private func exchange(
        _ message: NetlinkMessage, ack: Bool, _ operation: @autoclosure () -> String
    ) throws(NetlinkError) -> [NetlinkReply] {
        lock.lock()
        defer { lock.unlock() }
        let sequence = try send(message, ack: ack, operation())
        var replies: [NetlinkReply] = []
        while true {
            for reply in try receivePacket(operation(), sequence: sequence) {
                switch Int32(reply.type) {
                case NLMSG_DONE: return replies
                case NLMSG_ERROR:
                    guard let code = reply.header(Int32.self) else { continue }
                    if code == 0 { return replies }
                    throw NetlinkError(operation(), Errno(-code), detail: Self.reason(in: reply))
                default: replies.append(reply)
                }
            }
        }
    }

    private func send(
        _ message: NetlinkMessage, ack: Bool, _ operation: @autoclosure () -> String
    ) throws(NetlinkError) -> UInt32 {
        guard let raw = nlmsg_alloc_size(64 << 10) else { throw NetlinkError(operation(), .ENOMEM) }
        defer { nlmsg_free(raw) }
        let sequence = nl_socket_use_seq(socket)
        nlmsg_put(
            raw, nl_socket_get_local_port(socket), sequence, Int32(message.type), 0,
            Int32(message.flags | 1 | (ack ? 4 : 0)))
        let failed =
            message.header.withUnsafeBytes {
                nlmsg_append(raw, UnsafeMutableRawPointer(mutating: $0.baseAddress), $0.count, 4)
            } < 0
            || !message.attributes.allSatisfy { put($0, into: raw) }
        guard !failed else { throw NetlinkError(operation() + ": message too long", .E2BIG) }
        let sent = nl_send(socket, raw)
        guard sent > 0 else { throw NetlinkError(operation() + ": send (libnl \(sent))", .current) }
        return sequence
    }

    private func put(_ attribute: NetlinkAttribute, into raw: OpaquePointer) -> Bool {
        switch attribute.payload {
        case .bytes(let bytes):
            return bytes.withUnsafeBytes { nla_put(raw, Int32(attribute.type), Int32($0.count), $0.baseAddress) } == 0
        case .nested(let inner):
            guard let nest = nla_nest_start(raw, Int32(attribute.type) | 0x8000),
                inner.allSatisfy({ put($0, into: raw) })
            else { return false }
            return nla_nest_end(raw, nest) >= 0
        }
    }

    /// One datagram, split into its messages; those of an earlier, abandoned exchange are dropped.
    private func receivePacket(
        _ operation: @autoclosure () -> String, sequence: UInt32? = nil
    ) throws(NetlinkError) -> [NetlinkReply] {
        var sender = sockaddr_nl()
        var buffer: UnsafeMutablePointer<UInt8>?
        errno = 0
        let count = nl_recv(socket, &sender, &buffer, nil)
        let failure = Errno.current
        defer { free(buffer) }
        if count < 0 {
            throw NetlinkError(operation(), -count == NLE_NOMEM ? Errno(ENOBUFS) : failure)
        }
        // Only the kernel (port 0) is believed: any local process may send to our port.
        guard count > 0, let buffer, sender.nl_pid == 0 else { return [] }
        var rest = UnsafeRawBufferPointer(start: buffer, count: Int(count))
        var replies: [NetlinkReply] = []
        let headerSize = MemoryLayout<nlmsghdr>.size
        while rest.count >= headerSize {
            let header = rest.loadUnaligned(as: nlmsghdr.self)
            let length = Int(header.nlmsg_len)
            guard length >= headerSize, length <= rest.count else { break }
            if sequence == nil || header.nlmsg_seq == sequence {
                replies.append(
                    NetlinkReply(
                        type: header.nlmsg_type, flags: header.nlmsg_flags, port: header.nlmsg_pid,
                        body: Array(rest[headerSize..<length])))
            }
            rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst((length + 3) & ~3))
        }
        return replies
    }

    /// NLMSGERR_ATTR_MSG behind the error code and our own header.
    private static func reason(in reply: NetlinkReply) -> String? {
        reply.attributes(after: 4 + MemoryLayout<nlmsghdr>.size).string(1)
    }
}

/// A plain mutex: netlink exchanges are short and never suspend.
final class Lock: @unchecked Sendable {
    // Invariant: the pthread object never moves.
    private let raw = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    init() { pthread_mutex_init(raw, nil) }
    deinit {
        pthread_mutex_destroy(raw)
        raw.deallocate()
    }
    func lock() { pthread_mutex_lock(raw) }
    func unlock() { pthread_mutex_unlock(raw) }
}
