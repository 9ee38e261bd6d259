// /livez, /readyz, /healthz with their named checks, one by one and together, in kube-apiserver's format.
//
//   GET /readyz           ok
//   GET /readyz?verbose   [+]ping ok … readyz check passed
//   GET /readyz/ping      ok
//   a failing check       500, the list, and why (to the log, not to the client: it is unauthenticated)

internal import HTTP
internal import Logging
internal import Synchronization

public struct HealthCheck: Sendable {
    public let name: String
    /// nil when all is well, else what is wrong. Must answer at once.
    public let problem: @Sendable () -> String?
    /// Restarting helps: the check counts for /livez too.
    public let isLiveness: Bool

    public init(name: String, isLiveness: Bool = false, problem: @escaping @Sendable () -> String?) {
        self.name = name
        self.isLiveness = isLiveness
        self.problem = problem
    }
}

final class Health: Sendable {
    private let checks: Mutex<[HealthCheck]>
    private let logger: Logger

    init(_ checks: [HealthCheck], logger: Logger) {
        self.checks = Mutex(checks)
        self.logger = logger
    }

    func add(_ check: HealthCheck) { checks.withLock { $0.append(check) } }

    /// nil when the path is not a health path.
    func reply(_ path: String, _ query: Query) -> HTTPResponse? {
        let parts = path.split(separator: "/").map(String.init)
        guard let endpoint = parts.first, ["livez", "readyz", "healthz"].contains(endpoint), parts.count <= 2 else {
            return nil
        }
        let all = checks.withLock { $0 }.filter { endpoint != "livez" || $0.isLiveness }
        if parts.count == 2 {
            guard let check = all.first(where: { $0.name == parts[1] }) else { return Responses.noSuchPath }
            guard let problem = check.problem() else { return Responses.text(200, "ok") }
            return Responses.text(500, "internal server error: \(problem)\n")
        }
        let excluded = query.all("exclude")
        var text = ""
        var failed: [String] = []
        for check in all {
            if excluded.contains(check.name) {
                text += "[+]\(check.name) excluded: ok\n"
            } else if let problem = check.problem() {
                failed.append(check.name)
                text += "[-]\(check.name) failed: reason withheld\n"
                logger.info(
                    "health check failed", metadata: ["check": "\(check.name)", "problem": "\(problem)"])
            } else {
                text += "[+]\(check.name) ok\n"
            }
        }
        guard failed.isEmpty else { return Responses.text(500, text + "\(endpoint) check failed\n") }
        guard query["verbose"] != nil else { return Responses.text(200, "ok") }
        return Responses.text(200, text + "\(endpoint) check passed\n")
    }
}
