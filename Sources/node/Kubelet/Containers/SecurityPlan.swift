// securityContext of pod and container, and the image's user -> who the process is and what it may do.
//
// Without a word in the manifest: the runtime's seccomp profile (Kubernetes' seccompDefault), 14 capabilities, no
// masked path visible. runAsNonRoot is checked after names became numbers (CVE-2024-40635: range-checked).

import Containers
import Kernel
import Objects

struct SecurityPlan {
    enum Seccomp: Sendable { case runtimeDefault, unconfined }

    var user: ContainerUser
    var capabilities: [String]
    var seccomp: Seccomp
    var privileged: Bool
    var noNewPrivileges: Bool
    var readOnlyRoot: Bool
    /// procMount: Unmasked.
    var unmasked: Bool

    /// - Parameter pod: the whole object; its name stands in what is refused.
    init(container: JSON, pod: JSON, image: ResolvedImage) throws {
        let own = container.child("securityContext")
        let shared = pod.child("spec").child("securityContext")
        func refuse(_ text: String) -> KubeletError { .container(reason: "CreateContainerConfigError", text) }
        func id(_ value: Int?, _ field: String) throws -> UInt32? {
            guard let value else { return nil }
            guard let number = UInt32(exactly: value), number < UInt32.max else {
                throw refuse("\(field) \(value) is out of range")
            }
            return number
        }
        privileged = own.flag("privileged")
        noNewPrivileges = own["allowPrivilegeEscalation"]?.bool == false
        readOnlyRoot = own.flag("readOnlyRootFilesystem")
        unmasked = own.text("procMount") == "Unmasked"

        let uid = try id(own.integer("runAsUser") ?? shared.integer("runAsUser"), "runAsUser")
        let gid = try id(own.integer("runAsGroup") ?? shared.integer("runAsGroup"), "runAsGroup")
        var resolved: ContainerUser
        do {
            resolved = try ImageUsers(layers: image.rootLayers).resolve(uid.map(String.init) ?? image.user)
        } catch {
            throw KubeletError.container(reason: "CreateContainerError", "\(error)")
        }
        if let gid { resolved.gid = gid }
        for (value, field) in shared.list("supplementalGroups").map({ ($0.wholeNumber, "supplementalGroups") })
            + [(shared.integer("fsGroup"), "fsGroup")]
        {
            guard let group = try id(value, field), !resolved.supplementalGroups.contains(group) else { continue }
            resolved.supplementalGroups.append(group)
        }
        if own["runAsNonRoot"]?.bool ?? shared["runAsNonRoot"]?.bool ?? false, resolved.uid == 0 {
            let fault =
                uid == 0
                ? "container's runAsUser breaks non-root policy"
                : "container has runAsNonRoot and image will run as root"
            let (metadata, name) = (pod.child("metadata"), container.text("name") ?? "")
            let key = PodPlan.key(
                name: metadata.text("name") ?? "", namespace: metadata.text("namespace") ?? "",
                uid: metadata.text("uid") ?? "")
            throw refuse("\(fault) (pod: \"\(key)\", container: \(name))")
        }
        user = resolved

        let wanted = own.child("capabilities")
        do {
            capabilities =
                privileged
                ? Capabilities.all
                : try Capabilities.resolve(
                    add: wanted.list("add").compactMap(\.string), drop: wanted.list("drop").compactMap(\.string))
        } catch {
            throw refuse("\(error)")
        }

        let profile = own["seccompProfile"] ?? shared["seccompProfile"] ?? .null
        switch profile.text("type") ?? "RuntimeDefault" {
        case _ where privileged: seccomp = .unconfined
        case "RuntimeDefault": seccomp = .runtimeDefault
        case "Unconfined": seccomp = .unconfined
        case let type: throw refuse("seccompProfile \(type) is not supported yet by this node")
        }
    }
}
