// The resources that noded serves, by name. Registry.builtIn says what is special about each.

extension ResourceID {
    private init(_ group: String, _ version: String, _ resource: String) {
        self.init(group: group, version: version, resource: resource)
    }

    public static let bindings = ResourceID("", "v1", "bindings")
    public static let componentStatuses = ResourceID("", "v1", "componentstatuses")
    public static let configMaps = ResourceID("", "v1", "configmaps")
    public static let endpoints = ResourceID("", "v1", "endpoints")
    public static let events = ResourceID("", "v1", "events")
    public static let limitRanges = ResourceID("", "v1", "limitranges")
    public static let namespaces = ResourceID("", "v1", "namespaces")
    public static let nodes = ResourceID("", "v1", "nodes")
    public static let persistentVolumeClaims = ResourceID("", "v1", "persistentvolumeclaims")
    public static let persistentVolumes = ResourceID("", "v1", "persistentvolumes")
    public static let pods = ResourceID("", "v1", "pods")
    public static let podTemplates = ResourceID("", "v1", "podtemplates")
    public static let replicationControllers = ResourceID("", "v1", "replicationcontrollers")
    public static let resourceQuotas = ResourceID("", "v1", "resourcequotas")
    public static let secrets = ResourceID("", "v1", "secrets")
    public static let serviceAccounts = ResourceID("", "v1", "serviceaccounts")
    public static let services = ResourceID("", "v1", "services")

    public static let apiServices = ResourceID("apiregistration.k8s.io", "v1", "apiservices")

    public static let controllerRevisions = ResourceID("apps", "v1", "controllerrevisions")
    public static let daemonSets = ResourceID("apps", "v1", "daemonsets")
    public static let deployments = ResourceID("apps", "v1", "deployments")
    public static let replicaSets = ResourceID("apps", "v1", "replicasets")
    public static let statefulSets = ResourceID("apps", "v1", "statefulsets")

    /// Events as events.k8s.io shows them; the same objects as `events`.
    public static let groupEvents = ResourceID("events.k8s.io", "v1", "events")

    public static let selfSubjectReviews = ResourceID("authentication.k8s.io", "v1", "selfsubjectreviews")
    public static let tokenReviews = ResourceID("authentication.k8s.io", "v1", "tokenreviews")

    public static let localSubjectAccessReviews = ResourceID("authorization.k8s.io", "v1", "localsubjectaccessreviews")
    public static let selfSubjectAccessReviews = ResourceID("authorization.k8s.io", "v1", "selfsubjectaccessreviews")
    public static let selfSubjectRulesReviews = ResourceID("authorization.k8s.io", "v1", "selfsubjectrulesreviews")
    public static let subjectAccessReviews = ResourceID("authorization.k8s.io", "v1", "subjectaccessreviews")

    public static let horizontalPodAutoscalers = ResourceID("autoscaling", "v2", "horizontalpodautoscalers")

    /// The older view of the same objects as `horizontalPodAutoscalers`.
    public static let horizontalPodAutoscalersV1 = ResourceID("autoscaling", "v1", "horizontalpodautoscalers")

    public static let cronJobs = ResourceID("batch", "v1", "cronjobs")
    public static let jobs = ResourceID("batch", "v1", "jobs")

    public static let certificateSigningRequests = ResourceID("certificates.k8s.io", "v1", "certificatesigningrequests")

    public static let ingressClasses = ResourceID("networking.k8s.io", "v1", "ingressclasses")
    public static let ingresses = ResourceID("networking.k8s.io", "v1", "ingresses")
    public static let ipAddresses = ResourceID("networking.k8s.io", "v1", "ipaddresses")
    public static let networkPolicies = ResourceID("networking.k8s.io", "v1", "networkpolicies")
    public static let serviceCIDRs = ResourceID("networking.k8s.io", "v1", "servicecidrs")

    public static let podDisruptionBudgets = ResourceID("policy", "v1", "poddisruptionbudgets")

    public static let clusterRoleBindings = ResourceID("rbac.authorization.k8s.io", "v1", "clusterrolebindings")
    public static let clusterRoles = ResourceID("rbac.authorization.k8s.io", "v1", "clusterroles")
    public static let roleBindings = ResourceID("rbac.authorization.k8s.io", "v1", "rolebindings")
    public static let roles = ResourceID("rbac.authorization.k8s.io", "v1", "roles")

    public static let csiDrivers = ResourceID("storage.k8s.io", "v1", "csidrivers")
    public static let csiNodes = ResourceID("storage.k8s.io", "v1", "csinodes")
    public static let csiStorageCapacities = ResourceID("storage.k8s.io", "v1", "csistoragecapacities")
    public static let storageClasses = ResourceID("storage.k8s.io", "v1", "storageclasses")
    public static let volumeAttachments = ResourceID("storage.k8s.io", "v1", "volumeattachments")
    public static let volumeAttributesClasses = ResourceID("storage.k8s.io", "v1", "volumeattributesclasses")

    public static let mutatingAdmissionPolicies = ResourceID(
        "admissionregistration.k8s.io", "v1", "mutatingadmissionpolicies")
    public static let mutatingAdmissionPolicyBindings = ResourceID(
        "admissionregistration.k8s.io", "v1", "mutatingadmissionpolicybindings")
    public static let mutatingWebhookConfigurations = ResourceID(
        "admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations")
    public static let validatingAdmissionPolicies = ResourceID(
        "admissionregistration.k8s.io", "v1", "validatingadmissionpolicies")
    public static let validatingAdmissionPolicyBindings = ResourceID(
        "admissionregistration.k8s.io", "v1", "validatingadmissionpolicybindings")
    public static let validatingWebhookConfigurations = ResourceID(
        "admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations")

    public static let customResourceDefinitions = ResourceID("apiextensions.k8s.io", "v1", "customresourcedefinitions")

    public static let priorityClasses = ResourceID("scheduling.k8s.io", "v1", "priorityclasses")

    public static let leases = ResourceID("coordination.k8s.io", "v1", "leases")

    public static let runtimeClasses = ResourceID("node.k8s.io", "v1", "runtimeclasses")

    public static let endpointSlices = ResourceID("discovery.k8s.io", "v1", "endpointslices")

    public static let deviceClasses = ResourceID("resource.k8s.io", "v1", "deviceclasses")
    public static let resourceClaims = ResourceID("resource.k8s.io", "v1", "resourceclaims")
    public static let resourceClaimTemplates = ResourceID("resource.k8s.io", "v1", "resourceclaimtemplates")
    public static let resourceSlices = ResourceID("resource.k8s.io", "v1", "resourceslices")

    public static let flowSchemas = ResourceID("flowcontrol.apiserver.k8s.io", "v1", "flowschemas")
    public static let priorityLevelConfigurations = ResourceID(
        "flowcontrol.apiserver.k8s.io", "v1", "prioritylevelconfigurations")
}
