// Whatever the API server accepts, controllers, scheduler and kubelet can count with. scripts/fuzz looks for inputs by the
// code they reach; here as many as take a second or two, always the same ones.

import AcceptedObjects
import Testing

@Suite struct AcceptedObjectsTests {
    /// Repeatable random numbers (SplitMix64, Steele et al. 2014).
    private struct Numbers: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var mixed = state
            mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
            mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
            return mixed ^ (mixed >> 31)
        }
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func whatIsAcceptedCanBeCountedWith(_ seed: UInt64) {
        var numbers = Numbers(state: seed)
        var accepted: [String: Int] = [:]
        for _ in 0..<800 {
            let input = (0..<160).map { _ in UInt8.random(in: .min ... .max, using: &numbers) }
            let findings = AcceptedObjects.use(input)
            accepted.merge(findings.accepted, uniquingKeysWith: +)
            guard findings.broken.isEmpty else {
                Issue.record("\(findings.broken): seed \(seed), input \(input)")
                return
            }
        }
        // Or it would have shown nothing.
        for kind in [
            "deployments.apps", "deployments.apps/status", "replicasets.apps", "replicasets.apps/status",
            "poddisruptionbudgets.policy", "pods", "nodes/status",
        ] {
            #expect(accepted[kind, default: 0] > 50, "\(kind): \(accepted)")
        }
    }
}
