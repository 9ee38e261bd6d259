// The Pod Security Standards as a table: every check with its level and versions. The order is that of messages.

internal import Objects

struct PodCheck: Sendable {
    typealias Function = @Sendable (CheckedPod) -> PodFault?

    let id: String
    let level: SecurityLevel
    /// From which minor version of the standards on which function holds, oldest first.
    let versions: [(minor: Int, check: Function)]
    /// The baseline check that this restricted one makes superfluous.
    var replaces: String?

    /// The function of a version; nil before the first.
    func function(_ version: SecurityVersion) -> Function? { versions.last { $0.minor <= version.minor }?.check }
}

enum PodChecks {
    private typealias B = BaselineChecks
    private typealias R = RestrictedChecks

    private static let baseline: [PodCheck] = [
        PodCheck(id: "appArmorProfile", level: .baseline, versions: [(0, B.appArmor)]),
        PodCheck(id: "capabilities_baseline", level: .baseline, versions: [(0, B.capabilities)]),
        PodCheck(id: "hostNamespaces", level: .baseline, versions: [(0, B.hostNamespaces)]),
        PodCheck(id: "hostPathVolumes", level: .baseline, versions: [(0, B.hostPathVolumes)]),
        PodCheck(id: "hostPorts", level: .baseline, versions: [(0, B.hostPorts)]),
        PodCheck(id: "hostProbesAndHostLifecycle", level: .baseline, versions: [(34, B.hostProbes)]),
        PodCheck(id: "privileged", level: .baseline, versions: [(0, B.privileged)]),
        PodCheck(
            id: "procMount", level: .baseline, versions: [(0, B.procMount), (35, B.procMountOutsideUserNamespace)]),
        PodCheck(id: "seLinuxOptions", level: .baseline, versions: [(0, B.seLinux), (31, B.seLinuxWithEngine)]),
        PodCheck(
            id: "seccompProfile_baseline", level: .baseline, versions: [(0, B.seccompAnnotations), (19, B.seccomp)]),
        PodCheck(
            id: "sysctls", level: .baseline,
            versions: [(0, B.sysctls0), (27, B.sysctls27), (29, B.sysctls29), (32, B.sysctls32)]),
        PodCheck(id: "windowsHostProcess", level: .baseline, versions: [(0, B.windowsHostProcess)]),
    ]

    private static let restricted: [PodCheck] = [
        PodCheck(
            id: "allowPrivilegeEscalation", level: .restricted,
            versions: [(8, R.privilegeEscalation), (25, R.unlessWindows(R.privilegeEscalation))]),
        PodCheck(
            id: "capabilities_restricted", level: .restricted,
            versions: [(22, R.capabilities), (25, R.unlessWindows(R.capabilities))], replaces: "capabilities_baseline"),
        PodCheck(id: "procMount_restricted", level: .restricted, versions: [(35, B.procMount)], replaces: "procMount"),
        PodCheck(
            id: "restrictedVolumes", level: .restricted, versions: [(0, R.volumes)], replaces: "hostPathVolumes"),
        PodCheck(
            id: "runAsNonRoot", level: .restricted,
            versions: [(0, R.runAsNonRoot), (35, R.unlessUserNamespace(R.runAsNonRoot))]),
        PodCheck(
            id: "runAsUser", level: .restricted,
            versions: [(23, R.runAsUser), (35, R.unlessUserNamespace(R.runAsUser))]),
        PodCheck(
            id: "seccompProfile_restricted", level: .restricted,
            versions: [(19, R.seccomp), (25, R.unlessWindows(R.seccomp))], replaces: "seccompProfile_baseline"),
    ]

    /// What a pod does that a standard forbids.
    static func faults(_ pod: CheckedPod, _ standard: SecurityStandard) -> [PodFault] {
        guard standard.level != .privileged else { return [] }
        let strict = standard.level == .restricted ? restricted.filter { $0.function(standard.version) != nil } : []
        let replaced = Set(strict.compactMap(\.replaces))
        return (baseline.filter { !replaced.contains($0.id) } + strict).compactMap { check in
            check.function(standard.version)?(pod)
        }
    }
}
