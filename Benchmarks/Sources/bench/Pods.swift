// Pods of a node under test: made with curl, followed on a watch. Times are those at which this program sends or sees.

import Glibc

final class Pods {
    private let node: Node
    private let watch: Child
    private var stream: Pipe
    private var live: Set<String> = []

    private static let url = "\(Node.url)/api/v1/namespaces/default/pods"

    init(_ node: Node) throws {
        self.node = node
        watch = try Child(node.curl(["-N", "\(Self.url)?watch=1"]), output: .pipe)
        stream = Pipe(watch.output)
    }

    /// How long curl lets its connection and its TLS be ready before the body is sent.
    static let lead: UInt64 = 120

    /// Creates a pod and waits until its status says Running. Returns the nanoseconds from the sending of the object
    /// (curl has connected and sent the head by then, and waits for its standard input) to the event on the watch.
    func create(_ name: String) throws -> UInt64 {
        let arguments = [
            "-X", "POST", "-T", "-", "-H", "Content-Type: application/json", "-H", "Expect:", "-w",
            "\n%{http_code} %{time_pretransfer}", Self.url,
        ]
        let curl = try Child(node.curl(arguments), input: .pipe, output: .pipe)
        try sleep(milliseconds: Self.lead)
        let start = now()
        try curl.finishInput(Self.object(name))
        live.insert(name)
        let end = try wait(for: "pod \(name) to run", seconds: 30) { event in
            event["object"]?["metadata"]?["name"]?.string == name
                && event["object"]?["status"]?["phase"]?.string == "Running"
        }
        var answer = Pipe(curl.output)
        while answer.open { _ = Pipe.wait(&answer, milliseconds: 1000) }
        let words =
            String(decoding: answer.bytes, as: UTF8.self).split(separator: "\n").last?.split(separator: " ") ?? []
        guard words.first == "201" else {
            throw BenchError("create pod \(name): \(String(decoding: answer.bytes, as: UTF8.self))")
        }
        guard words.count == 2, let ready = Double(words[1]), ready * 1000 < Double(Self.lead) else {
            throw BenchError("curl needed longer than \(Self.lead) ms to connect; the time of pod \(name) is worthless")
        }
        return end - start
    }

    /// Deletes at once (no grace) what `create` made and waits until it is gone.
    func deleteAll() throws {
        for name in live.sorted() {
            let arguments = [
                "-X", "DELETE", "-H", "Content-Type: application/json", "-d", "{\"gracePeriodSeconds\":0}", "-o",
                "/dev/null",
            ]
            try succeed(node.curl(arguments + ["\(Self.url)/\(name)"]))
        }
        while !live.isEmpty {
            _ = try wait(for: "\(live.count) pods to go", seconds: 60) { event in
                guard event["type"]?.string == "DELETED", let name = event["object"]?["metadata"]?["name"]?.string
                else { return false }
                return live.remove(name) != nil
            }
        }
    }

    /// The time of the first event that `matches`.
    private func wait(for what: String, seconds: UInt64, _ matches: (JSON) -> Bool) throws -> UInt64 {
        let end = now() + seconds * 1_000_000_000
        while true {
            let seen = now()
            while let line = stream.line() {
                if let event = JSON(line), matches(event) { return seen }
            }
            try Interrupt.check()
            try node.checkAlive()
            guard stream.open else { throw BenchError("the watch ended while waiting for \(what)") }
            guard now() < end else { throw BenchError("waited \(seconds) s for \(what)") }
            _ = Pipe.wait(&stream, milliseconds: 100)
        }
    }

    private static func object(_ name: String) -> String {
        """
        {"apiVersion":"v1","kind":"Pod","metadata":{"name":"\(name)","namespace":"default"},"spec":{\
        "terminationGracePeriodSeconds":0,"containers":[{"name":"main","image":"\(Node.image)",\
        "imagePullPolicy":"IfNotPresent","command":["/bin/sleep","3600"]}]}}
        """
    }
}
