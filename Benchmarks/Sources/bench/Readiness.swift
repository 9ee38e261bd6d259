// From the deciding answer of a readiness probe to the first refused connection through the Service: the pod's one
// container keeps listening, its probe asks this program, which answers 200 or 500 and knows when it did.
//
// Connections are tried one after another, about one each millisecond, from the node: a Service without endpoints
// refuses at once, so the first refusal is the moment at which the kernel's ruleset had lost the pod.

import Glibc

extension Measurement {
    static let readiness = Measurement(
        name: "readiness", summary: "deciding readiness probe to the pod gone from its Service, and back"
    ) { bench in
        try bench.withNode { node in
            try node.startAndWait()
            try node.importImage()
            let probed = try ProbeTarget(address: "192.168.88.2", port: 18080)
            for object in ProbeTarget.objects {
                try succeed(
                    node.curl([
                        "-f", "-o", "/dev/null", "-H", "Content-Type: application/json", "-d", object.body,
                        "\(Node.url)/api/v1/namespaces/default/\(object.resource)",
                    ]))
            }
            let service = ProbeTarget.serviceAddress
            _ = try probed.answer(true, until: { probed.connects(to: service, port: 80) }, seconds: 30)
            var out: [UInt64] = []
            var back: [UInt64] = []
            for _ in 0..<(bench.quick ? 3 : 20) {
                out.append(try probed.answer(false, until: { !probed.connects(to: service, port: 80) }, seconds: 10))
                back.append(try probed.answer(true, until: { probed.connects(to: service, port: 80) }, seconds: 10))
            }
            let (leave, join) = (Samples(out), Samples(back))
            return [
                .judged(
                    "deciding probe to out of the Service, greatest", milliseconds(leave.greatest),
                    "median \(milliseconds(leave.median)), \(leave.spread)", mark: "100 ms",
                    met: leave.greatest <= 100_000_000),
                .fact("deciding probe to in the Service, median", milliseconds(join.median), join.spread),
            ]
        }
    }
}

/// What the probe asks: an HTTP server with one answer at a time.
private final class ProbeTarget {
    static let serviceAddress = "10.43.77.7"
    private let listener: Int32

    /// A pod that listens on 8080 whatever its probe says, and the Service before it.
    static let objects: [(resource: String, body: String)] = [
        (
            "services",
            """
            {"apiVersion":"v1","kind":"Service","metadata":{"name":"probed"},"spec":{"clusterIP":"\(serviceAddress)",\
            "selector":{"app":"probed"},"ports":[{"port":80,"targetPort":8080}]}}
            """
        ),
        (
            "pods",
            """
            {"apiVersion":"v1","kind":"Pod","metadata":{"name":"probed","labels":{"app":"probed"}},"spec":{\
            "terminationGracePeriodSeconds":0,"containers":[{"name":"main","image":"\(Node.image)",\
            "imagePullPolicy":"IfNotPresent","readinessProbe":{"periodSeconds":1,"failureThreshold":1,\
            "httpGet":{"host":"192.168.88.2","port":18080,"path":"/"}}}]}}
            """
        ),
    ]

    init(address: String, port: UInt16) throws {
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        let bound = Self.withAddress(address, port) { bind(listener, $0, $1) == 0 && listen(listener, 16) == 0 }
        guard bound else { throw BenchError.call("listen", "\(address):\(port)") }
    }

    deinit { Glibc.close(listener) }

    /// Answers probes with 200 or 500 until `done`. Returns the nanoseconds from the first such answer to the moment
    /// before the asking that found it done.
    func answer(_ ready: Bool, until done: () -> Bool, seconds: UInt64) throws -> UInt64 {
        let end = now() + seconds * 1_000_000_000
        var first: UInt64?
        while now() < end {
            try Interrupt.check()
            var ask = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
            if poll(&ask, 1, first == nil ? 100 : 0) == 1 {
                let connection = accept(listener, nil, nil)
                guard connection >= 0 else { continue }
                var request = [UInt8](repeating: 0, count: 4096)
                _ = recv(connection, &request, request.count, 0)
                let text = "HTTP/1.1 \(ready ? "200 OK" : "500 No") \r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                _ = text.withCString { send(connection, $0, strlen($0), Int32(MSG_NOSIGNAL)) }
                if first == nil { first = now() }
                Glibc.close(connection)
            }
            if let first {
                let asked = now()
                if done() { return asked - min(first, asked) }
                usleep(1000)
            }
        }
        throw BenchError("the Service did not follow its pod's readiness (\(ready)) within \(seconds) s")
    }

    func connects(to address: String, port: UInt16) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        defer { Glibc.close(descriptor) }
        var limit = timeval(tv_sec: 1, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        return Self.withAddress(address, port) { connect(descriptor, $0, $1) == 0 }
    }

    private static func withAddress<Result>(
        _ text: String, _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        inet_pton(AF_INET, text, &address.sin_addr)
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
    }
}
