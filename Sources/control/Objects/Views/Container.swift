// A container of a pod's spec: what it runs, its environment, probes, resources and security.
//
// Not reformatted: one property a line is what makes a view readable.
// swift-format-ignore-file

/// core/v1 Container; init and ephemeral containers are the same.
public struct Container: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var name: String { get { text("name") } set { put("name", newValue) } }
    public var image: String { get { text("image") } set { put("image", newValue) } }
    public var command: [String] { get { texts("command") } set { put("command", newValue) } }
    public var args: [String] { get { texts("args") } set { put("args", newValue) } }
    public var workingDir: String { get { text("workingDir") } set { put("workingDir", newValue) } }
    public var ports: [ContainerPort] { get { views("ports") } set { put("ports", newValue) } }
    public var env: [EnvVar] { get { views("env") } set { put("env", newValue) } }
    public var envFrom: [EnvFromSource] { get { views("envFrom") } set { put("envFrom", newValue) } }
    public var resources: ResourceRequirements {
        get { ResourceRequirements(json["resources"] ?? [:]) }
        set { put("resources", newValue) }
    }
    public var volumeMounts: [VolumeMount] { get { views("volumeMounts") } set { put("volumeMounts", newValue) } }
    public var livenessProbe: Probe? { get { view("livenessProbe") } set { put("livenessProbe", newValue) } }
    public var readinessProbe: Probe? { get { view("readinessProbe") } set { put("readinessProbe", newValue) } }
    public var startupProbe: Probe? { get { view("startupProbe") } set { put("startupProbe", newValue) } }
    public var lifecycle: Lifecycle? { get { view("lifecycle") } set { put("lifecycle", newValue) } }
    public var terminationMessagePath: String {
        get { text("terminationMessagePath", default: "/dev/termination-log") }
        set { put("terminationMessagePath", newValue) }
    }
    /// File or FallbackToLogsOnError.
    public var terminationMessagePolicy: String {
        get { text("terminationMessagePolicy", default: "File") }
        set { put("terminationMessagePolicy", newValue) }
    }
    /// Always, IfNotPresent or Never.
    public var imagePullPolicy: String { get { text("imagePullPolicy") } set { put("imagePullPolicy", newValue) } }
    public var securityContext: SecurityContext {
        get { SecurityContext(json["securityContext"] ?? [:]) }
        set { put("securityContext", newValue) }
    }
    public var stdin: Bool { get { flag("stdin") } set { put("stdin", newValue) } }
    public var stdinOnce: Bool { get { flag("stdinOnce") } set { put("stdinOnce", newValue) } }
    public var tty: Bool { get { flag("tty") } set { put("tty", newValue) } }
    /// Of an init container: Always makes it a sidecar.
    public var restartPolicy: String { get { text("restartPolicy") } set { put("restartPolicy", newValue) } }
    /// Of an ephemeral container.
    public var targetContainerName: String {
        get { text("targetContainerName") }
        set { put("targetContainerName", newValue) }
    }

    /// A restartable init container.
    public var isSidecar: Bool { restartPolicy == "Always" }
}

/// core/v1 ContainerPort.
public struct ContainerPort: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var name: String { get { text("name") } set { put("name", newValue) } }
    public var containerPort: Int? { get { integer("containerPort") } set { put("containerPort", newValue) } }
    public var hostPort: Int? { get { integer("hostPort") } set { put("hostPort", newValue) } }
    public var hostIP: String { get { text("hostIP") } set { put("hostIP", newValue) } }
    /// TCP, UDP or SCTP.
    public var `protocol`: String { get { text("protocol", default: "TCP") } set { put("protocol", newValue) } }
}

/// core/v1 EnvVar: a value or where it comes from.
public struct EnvVar: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var name: String { get { text("name") } set { put("name", newValue) } }
    public var value: String { get { text("value") } set { put("value", newValue) } }
    public var valueFrom: EnvVarSource? { get { view("valueFrom") } set { put("valueFrom", newValue) } }
}

/// core/v1 EnvVarSource.
public struct EnvVarSource: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var configMapKeyRef: KeySelector? {
        get { view("configMapKeyRef") }
        set { put("configMapKeyRef", newValue) }
    }
    public var secretKeyRef: KeySelector? { get { view("secretKeyRef") } set { put("secretKeyRef", newValue) } }
    public var fieldRef: ObjectFieldSelector? { get { view("fieldRef") } set { put("fieldRef", newValue) } }
    public var resourceFieldRef: ResourceFieldSelector? {
        get { view("resourceFieldRef") }
        set { put("resourceFieldRef", newValue) }
    }
}

/// A key of a ConfigMap or a Secret.
public struct KeySelector: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var name: String { get { text("name") } set { put("name", newValue) } }
    public var key: String { get { text("key") } set { put("key", newValue) } }
    public var optional: Bool { get { flag("optional") } set { put("optional", newValue) } }
}

/// A field of the pod: metadata.name, metadata.labels['key'], status.podIP, ...
public struct ObjectFieldSelector: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var apiVersion: String { get { text("apiVersion", default: "v1") } set { put("apiVersion", newValue) } }
    public var fieldPath: String { get { text("fieldPath") } set { put("fieldPath", newValue) } }
}

/// A resource of a container: limits.cpu, requests.memory, ...
public struct ResourceFieldSelector: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var containerName: String { get { text("containerName") } set { put("containerName", newValue) } }
    public var resource: String { get { text("resource") } set { put("resource", newValue) } }
    public var divisor: JSON? { get { value("divisor") } set { put("divisor", newValue) } }
}

/// All keys of a ConfigMap or a Secret.
public struct EnvFromSource: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var prefix: String { get { text("prefix") } set { put("prefix", newValue) } }
    public var configMapRef: OptionalReference? { get { view("configMapRef") } set { put("configMapRef", newValue) } }
    public var secretRef: OptionalReference? { get { view("secretRef") } set { put("secretRef", newValue) } }
}

/// An object of the same namespace that need not exist.
public struct OptionalReference: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var name: String { get { text("name") } set { put("name", newValue) } }
    public var optional: Bool { get { flag("optional") } set { put("optional", newValue) } }
}

/// core/v1 ResourceRequirements: cpu, memory, ephemeral-storage, ...
public struct ResourceRequirements: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var requests: [String: Quantity] { get { quantities("requests") } set { put("requests", newValue) } }
    public var limits: [String: Quantity] { get { quantities("limits") } set { put("limits", newValue) } }
}

/// core/v1 VolumeMount.
public struct VolumeMount: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var name: String { get { text("name") } set { put("name", newValue) } }
    public var mountPath: String { get { text("mountPath") } set { put("mountPath", newValue) } }
    public var subPath: String { get { text("subPath") } set { put("subPath", newValue) } }
    public var subPathExpr: String { get { text("subPathExpr") } set { put("subPathExpr", newValue) } }
    public var readOnly: Bool { get { flag("readOnly") } set { put("readOnly", newValue) } }
    /// None, HostToContainer or Bidirectional.
    public var mountPropagation: String { get { text("mountPropagation") } set { put("mountPropagation", newValue) } }
    public var recursiveReadOnly: String {
        get { text("recursiveReadOnly") }
        set { put("recursiveReadOnly", newValue) }
    }
}

/// core/v1 Probe with Kubernetes' defaults.
public struct Probe: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var exec: ExecAction? { get { view("exec") } set { put("exec", newValue) } }
    public var httpGet: HTTPGetAction? { get { view("httpGet") } set { put("httpGet", newValue) } }
    public var tcpSocket: TCPSocketAction? { get { view("tcpSocket") } set { put("tcpSocket", newValue) } }
    public var grpc: GRPCAction? { get { view("grpc") } set { put("grpc", newValue) } }
    public var terminationGracePeriodSeconds: Int? {
        get { integer("terminationGracePeriodSeconds") }
        set { put("terminationGracePeriodSeconds", newValue) }
    }

    /// Seconds.
    public var initialDelaySeconds: Int {
        get { integer("initialDelaySeconds") ?? 0 }
        set { put("initialDelaySeconds", newValue) }
    }
    /// Seconds.
    public var periodSeconds: Int { get { integer("periodSeconds") ?? 10 } set { put("periodSeconds", newValue) } }
    /// Seconds.
    public var timeoutSeconds: Int { get { integer("timeoutSeconds") ?? 1 } set { put("timeoutSeconds", newValue) } }
    public var successThreshold: Int {
        get { integer("successThreshold") ?? 1 }
        set { put("successThreshold", newValue) }
    }
    public var failureThreshold: Int {
        get { integer("failureThreshold") ?? 3 }
        set { put("failureThreshold", newValue) }
    }
}

/// A command in the container.
public struct ExecAction: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var command: [String] { get { texts("command") } set { put("command", newValue) } }
}

/// core/v1 HTTPGetAction.
public struct HTTPGetAction: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var host: String { get { text("host") } set { put("host", newValue) } }
    public var path: String { get { text("path", default: "/") } set { put("path", newValue) } }
    /// A number or a port's name.
    public var port: JSON? { get { value("port") } set { put("port", newValue) } }
    /// HTTP or HTTPS.
    public var scheme: String { get { text("scheme", default: "HTTP") } set { put("scheme", newValue) } }
    public var httpHeaders: [HTTPHeader] { get { views("httpHeaders") } set { put("httpHeaders", newValue) } }
}

/// One header of a probe.
public struct HTTPHeader: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var name: String { get { text("name") } set { put("name", newValue) } }
    public var value: String { get { text("value") } set { put("value", newValue) } }
}

/// core/v1 TCPSocketAction.
public struct TCPSocketAction: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var host: String { get { text("host") } set { put("host", newValue) } }
    /// A number or a port's name.
    public var port: JSON? { get { value("port") } set { put("port", newValue) } }
}

/// core/v1 GRPCAction.
public struct GRPCAction: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var port: Int? { get { integer("port") } set { put("port", newValue) } }
    public var service: String { get { text("service") } set { put("service", newValue) } }
}

/// core/v1 Lifecycle.
public struct Lifecycle: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var postStart: LifecycleHandler? { get { view("postStart") } set { put("postStart", newValue) } }
    public var preStop: LifecycleHandler? { get { view("preStop") } set { put("preStop", newValue) } }
    public var stopSignal: String { get { text("stopSignal") } set { put("stopSignal", newValue) } }
}

/// core/v1 LifecycleHandler.
public struct LifecycleHandler: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var exec: ExecAction? { get { view("exec") } set { put("exec", newValue) } }
    public var httpGet: HTTPGetAction? { get { view("httpGet") } set { put("httpGet", newValue) } }
    public var sleep: SleepAction? { get { view("sleep") } set { put("sleep", newValue) } }
}

/// core/v1 SleepAction.
public struct SleepAction: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var seconds: Int? { get { integer("seconds") } set { put("seconds", newValue) } }
}

/// core/v1 SecurityContext.
public struct SecurityContext: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var runAsUser: Int? { get { integer("runAsUser") } set { put("runAsUser", newValue) } }
    public var runAsGroup: Int? { get { integer("runAsGroup") } set { put("runAsGroup", newValue) } }
    public var runAsNonRoot: Bool? { get { optionalFlag("runAsNonRoot") } set { put("runAsNonRoot", newValue) } }
    public var privileged: Bool { get { flag("privileged") } set { put("privileged", newValue) } }
    public var allowPrivilegeEscalation: Bool? {
        get { optionalFlag("allowPrivilegeEscalation") }
        set { put("allowPrivilegeEscalation", newValue) }
    }
    public var readOnlyRootFilesystem: Bool {
        get { flag("readOnlyRootFilesystem") }
        set { put("readOnlyRootFilesystem", newValue) }
    }
    public var capabilities: CapabilityChange {
        get { CapabilityChange(json["capabilities"] ?? [:]) }
        set { put("capabilities", newValue) }
    }
    public var seccompProfile: SecurityProfile? {
        get { view("seccompProfile") }
        set { put("seccompProfile", newValue) }
    }
    public var appArmorProfile: SecurityProfile? {
        get { view("appArmorProfile") }
        set { put("appArmorProfile", newValue) }
    }
    public var procMount: String { get { text("procMount") } set { put("procMount", newValue) } }
}

/// Capabilities to add to and drop from the default; without CAP_, or ALL.
public struct CapabilityChange: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var add: [String] { get { texts("add") } set { put("add", newValue) } }
    public var drop: [String] { get { texts("drop") } set { put("drop", newValue) } }
}
