// Whom the kernel ends when memory runs out (proc(5), oom_score_adj): any container before noded, the pods' supervisors
// and the resolver, which inherit noded's score. A supervisor lies in its pod's cgroup: with a higher score than a
// guaranteed pod's containers it would be the one that a container's own limit ends. systemd/noded.service says the
// same; this is for every other way to start.

import Logging
import System

enum OOMScore {
    /// What kubelets have, too; containers are given -997 to 1000 by their class.
    static let own = -999

    /// A score that may not be lowered (no CAP_SYS_RESOURCE) stays, and that is said.
    static func protect(_ logger: Logger) {
        do {
            let score = try Files.readText("/proc/self/oom_score_adj").split(whereSeparator: \.isWhitespace).first
            if let score = score.flatMap({ Int($0) }), score <= own { return }
            try Files.writeExisting("/proc/self/oom_score_adj", "\(own)")
        } catch {
            logger.info(
                "noded is not spared when memory runs out: its oom_score_adj cannot be lowered",
                metadata: ["error": "\(error)", "needs": "CAP_SYS_RESOURCE"])
        }
    }
}
