// What was accepted, in the hands of those who read it: a trap there ends noded at every start.

import AcceptedObjects

extension Targets {
    /// Bytes that choose numbers of deployments, budgets, pods and nodes.
    static func accepted(_ bytes: [UInt8]) {
        let findings = AcceptedObjects.use(bytes)
        hold(findings.broken.isEmpty, findings.broken.joined(separator: "; "))
    }
}
