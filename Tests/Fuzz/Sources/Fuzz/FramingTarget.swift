// What noded and a pod's supervisor say to each other: the supervisor shares a kernel with whatever runs in its pod.

import SupervisorProtocol

extension Targets {
    /// Every message reads the same bytes: one that is taken is written so that it is taken again, and means the same.
    static func framing(_ bytes: [UInt8]) {
        if let header = bytes.withUnsafeBytes({ MessageHeader($0) }) {
            hold((0...MessageHeader.maximumLength).contains(header.length), "a length of \(header.length)")
        }
        settled(bytes, "sandbox plan") { SandboxPlan($0)?.fields.fields }
        settled(bytes, "container plan") { ContainerPlan($0)?.fields.fields }
        settled(bytes, "mount plan") { MountPlan($0)?.fields.fields }
        settled(bytes, "device plan") { DevicePlan($0)?.fields.fields }
        settled(bytes, "process plan") { ProcessPlan($0)?.fields.fields }
        settled(bytes, "exec plan") { ExecPlan($0)?.fields.fields }
        settled(bytes, "sandbox report") { SandboxReport($0)?.fields.fields }
        settled(bytes, "container report") { ContainerReport($0).fields.fields }
        settled(bytes, "failure") { Failure($0).fields.fields }
    }

    private static func settled(_ bytes: [UInt8], _ what: String, _ pass: ([UInt8]) -> [UInt8]?) {
        guard let once = pass(bytes) else { return }
        hold(pass(once) == once, "a \(what) means something else when it is written and read again")
    }
}
