// Admission: what a new or changed object must agree with beyond itself. The order of the steps is the list below,
// which is Kubernetes' own.
//
//   decode, default ──> admit (may change the object) ──> the kind's rules (422) ──> validate (may refuse) ──> store
//
// A step declares which requests it looks at; the list is filtered once per resource, operation and subresource and
// remembered, so that a request pays for no step that has nothing to say. Steps look things up in the watch caches and
// in `AdmissionState`, never by a scan of all objects.

internal import Client
internal import Objects
internal import Synchronization

protocol AdmissionStep: Sendable {
    /// Whether this step looks at such requests; asked once a site, so it may depend on nothing else.
    func concerns(_ site: AdmissionSite) -> Bool

    /// Fills in, and refuses what it cannot fill in. Runs before the kind's own rules.
    func admit(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus)

    /// Refuses, warns, reserves; must not change the object. Runs after the kind's own rules.
    func validate(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus)
}

extension AdmissionStep {
    func admit(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {}
    func validate(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {}
}

enum Admission {
    /// Order matters: the namespace first, what reserves something last.
    static let steps: [any AdmissionStep] = [
        NamespaceLifecycle(),
        LimitRanger(),
        ServiceAccountAdmission(),
        NodeRestriction(),
        TaintNodesByCondition(),
        PodSecurity(),
        PriorityAdmission(),
        DefaultTolerationSeconds(),
        StorageObjectInUseProtection(),
        DefaultStorageClass(),
        PersistentVolumeClaimResize(),
        RuntimeClassAdmission(),
        DefaultIngressClass(),
        RoleEscalation(),
        CertificateAdmission(),
        PodTopologyLabels(),
        ServiceAddressAdmission(),
        ResourceQuotaAdmission(),
    ]

    /// The changing half; call `validate` when the object has passed its kind's rules.
    static func admit(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {
        for step in request.steps(core) { try step.admit(&request, core) }
    }

    static func validate(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {
        for step in request.steps(core) { try step.validate(&request, core) }
    }

    /// Both halves, for what has no rules of its own in between: deletes, and creates of subresources.
    static func check(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {
        try admit(&request, core)
        try validate(&request, core)
    }
}

/// What admission remembers: which steps look at what, the few small objects that steps ask about on every request,
/// and quota usage. All of it follows the store's changes and can be made anew from the caches.
final class AdmissionState: Sendable {
    let policies = PolicyObjects()
    let quotas = QuotaLedger()
    private let chains = Mutex<[AdmissionSite: [any AdmissionStep]]>([:])

    func steps(_ site: AdmissionSite) -> [any AdmissionStep] {
        chains.withLock { chains in
            if let chain = chains[site] { return chain }
            let chain = Admission.steps.filter { $0.concerns(site) }
            chains[site] = chain
            return chain
        }
    }
}
