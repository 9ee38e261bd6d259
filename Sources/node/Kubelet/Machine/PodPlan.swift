// What the lifecycle of a pod depends on, read once from its API object: the input of `PodMachine`.
//
// Only fields that decide *when* something happens are here (order, policies, hooks, probes, grace). What a
// container is made of (command, env, mounts, security) is read from the object itself when it is started, by
// `ContainerPlanner`. Decoding cannot fail: the API server has validated and defaulted the object, a manifest
// goes through the same schema; a missing field gets the API's default.

public import Objects

/// Pod.spec.restartPolicy, and containers[].restartPolicy.
public enum RestartPolicy: String, Sendable { case always = "Always", onFailure = "OnFailure", never = "Never" }

/// Container.imagePullPolicy.
public enum PullPolicy: String, Sendable { case always = "Always", ifNotPresent = "IfNotPresent", never = "Never" }

/// How a container takes part in its pod's life.
public enum ContainerRole: Sendable, Hashable {
    /// Runs to its end before the next one starts.
    case initialize
    /// An init container with restartPolicy Always: started in init order, then kept running until the app ends.
    case sidecar
    case app
    /// Added to look into a pod (kubectl debug): started whatever the others do, once, and of no account to the pod.
    case ephemeral

    /// One of spec.initContainers.
    var isInitial: Bool { self == .initialize || self == .sidecar }
}

/// A handler of a hook or a probe (Container.lifecycle, Container.*Probe).
public enum HandlerPlan: Sendable, Hashable {
    case exec([String])
    /// `host` nil means the pod's address.
    case httpGet(scheme: String, host: String?, port: PortReference, path: String, headers: [HeaderPlan])
    case tcp(host: String?, port: PortReference)
    case sleep(seconds: Int)
    /// Not carried out yet: the prober answers with an error that says so.
    case grpc(port: Int, service: String)
}

public struct HeaderPlan: Sendable, Hashable {
    public let name: String
    public let value: String
}

/// An IntOrString port: a number or the name of one of the container's ports.
public enum PortReference: Sendable, Hashable {
    case number(Int)
    case name(String)
}

/// A probe's numbers (Container.livenessProbe and friends), with the API's defaults.
public struct ProbePlan: Sendable, Hashable {
    public var handler: HandlerPlan
    public var initialDelay: Duration = .zero
    public var period: Duration = .seconds(10)
    public var timeout: Duration = .seconds(1)
    public var successThreshold = 1
    public var failureThreshold = 3
    /// terminationGracePeriodSeconds of the probe: used for the kill that it decides.
    public var grace: Duration?
}

public enum ProbeKind: String, Sendable, Hashable, CaseIterable {
    case startup = "Startup", liveness = "Liveness", readiness = "Readiness"
}

public struct ContainerPlan: Sendable, Hashable {
    public var name: String
    public var role: ContainerRole
    public var image: String
    public var pullPolicy: PullPolicy
    public var restartPolicy: RestartPolicy
    public var postStart: HandlerPlan?
    public var preStop: HandlerPlan?
    /// Container.resources as it is.
    public var resources: JSON = [:]
    /// Names of resources that the container is restarted for when they change (Container.resizePolicy).
    public var restartingResources: Set<String> = []
    public var probes: [ProbeKind: ProbePlan] = [:]
}

public struct PodPlan: Sendable, Hashable {
    public var uid: String
    public var namespace: String
    public var name: String
    public var generation: Int
    public var restartPolicy: RestartPolicy
    /// spec.terminationGracePeriodSeconds.
    public var grace: Duration
    public var hostNetwork: Bool
    public var readinessGates: [String]
    /// Init containers and sidecars in order, then app containers in order, then ephemeral ones.
    public var containers: [ContainerPlan]
    public var activeDeadline: Duration?
    /// Set once metadata.deletionTimestamp is: the grace the deleter asked for.
    public var deletionGrace: Duration?

    public var key: String { Self.key(name: name, namespace: namespace, uid: uid) }

    /// How messages name a pod.
    static func key(name: String, namespace: String, uid: String) -> String { "\(name)_\(namespace)(\(uid))" }
}

extension PodPlan {
    /// Nobody waits longer than 68 years; clocks that add up more than they can hold trap.
    /// - Parameter seconds: any number; 30 when it is not given.
    static func grace(_ seconds: Int?) -> Duration { .seconds(Int32(clamping: seconds ?? 30)) }

    public init(_ pod: JSON) {
        let metadata = pod.child("metadata")
        let spec = pod.child("spec")
        let policy = RestartPolicy(rawValue: spec.text("restartPolicy") ?? "") ?? .always
        uid = metadata.text("uid") ?? ""
        namespace = metadata.text("namespace") ?? "default"
        name = metadata.text("name") ?? ""
        generation = metadata.integer("generation") ?? 0
        restartPolicy = policy
        grace = Self.grace(spec.integer("terminationGracePeriodSeconds"))
        hostNetwork = spec.flag("hostNetwork")
        readinessGates = spec.list("readinessGates").compactMap { $0.text("conditionType") }
        activeDeadline = spec.integer("activeDeadlineSeconds").map { .seconds($0) }
        deletionGrace =
            metadata.text("deletionTimestamp") == nil
            ? nil
            : Self.grace(
                metadata.integer("deletionGracePeriodSeconds") ?? spec.integer("terminationGracePeriodSeconds"))
        let initial = spec.list("initContainers").map { item in
            let sidecar = item.text("restartPolicy") == "Always"
            return ContainerPlan(
                item, role: sidecar ? .sidecar : .initialize,
                restartPolicy: sidecar ? .always : (policy == .never ? .never : .onFailure))
        }
        containers =
            initial
            + spec.list("containers").map { item in
                ContainerPlan(
                    item, role: .app, restartPolicy: RestartPolicy(rawValue: item.text("restartPolicy") ?? "") ?? policy
                )
            }
            + spec.list("ephemeralContainers").map { ContainerPlan($0, role: .ephemeral, restartPolicy: .never) }
    }
}

extension ContainerPlan {
    init(_ item: JSON, role: ContainerRole, restartPolicy: RestartPolicy) {
        name = item.text("name") ?? ""
        image = item.text("image") ?? ""
        self.role = role
        self.restartPolicy = restartPolicy
        pullPolicy = PullPolicy(rawValue: item.text("imagePullPolicy") ?? "") ?? .ifNotPresent
        let lifecycle = item.child("lifecycle")
        postStart = HandlerPlan(lifecycle.child("postStart"))
        preStop = HandlerPlan(lifecycle.child("preStop"))
        resources = item["resources"] ?? [:]
        restartingResources = Set(
            item.list("resizePolicy").filter { $0.text("restartPolicy") == "RestartContainer" }
                .compactMap { $0.text("resourceName") })
        for (kind, field) in [
            (ProbeKind.startup, "startupProbe"), (.liveness, "livenessProbe"), (.readiness, "readinessProbe"),
        ] {
            if let probe = ProbePlan(item.child(field)) { probes[kind] = probe }
        }
    }
}

extension ProbePlan {
    init?(_ probe: JSON) {
        guard let handler = HandlerPlan(probe) else { return nil }
        self.handler = handler
        initialDelay = .seconds(probe.integer("initialDelaySeconds") ?? 0)
        period = .seconds(max(1, probe.integer("periodSeconds") ?? 10))
        timeout = .seconds(max(1, probe.integer("timeoutSeconds") ?? 1))
        successThreshold = max(1, probe.integer("successThreshold") ?? 1)
        failureThreshold = max(1, probe.integer("failureThreshold") ?? 3)
        grace = probe.integer("terminationGracePeriodSeconds").map { PodPlan.grace($0) }
    }
}

extension HandlerPlan {
    /// nil when `json` holds no handler.
    init?(_ json: JSON) {
        if let exec = json["exec"] {
            self = .exec(exec.list("command").compactMap(\.string))
        } else if let get = json["httpGet"] {
            self = .httpGet(
                scheme: (get.text("scheme") ?? "HTTP") == "HTTPS" ? "https" : "http", host: get.text("host"),
                port: PortReference(get["port"]), path: get.text("path") ?? "/",
                headers: get.list("httpHeaders").map {
                    HeaderPlan(name: $0.text("name") ?? "", value: $0.text("value") ?? "")
                })
        } else if let tcp = json["tcpSocket"] {
            self = .tcp(host: tcp.text("host"), port: PortReference(tcp["port"]))
        } else if let sleep = json["sleep"] {
            self = .sleep(seconds: sleep.integer("seconds") ?? 0)
        } else if let grpc = json["grpc"] {
            self = .grpc(port: grpc.integer("port") ?? 0, service: grpc.text("service") ?? "")
        } else {
            return nil
        }
    }
}

extension PortReference {
    init(_ json: JSON?) {
        if let name = json?.string {
            self = Int(name).map { .number($0) } ?? .name(name)
        } else {
            self = .number(json?.wholeNumber ?? 0)
        }
    }

    /// The number, looked up among a container's ports when it is a name; nil when no port has that name.
    func number(in container: JSON) -> Int? {
        switch self {
        case .number(let number): number
        case .name(let name): container.list("ports").first { $0.text("name") == name }?.integer("containerPort")
        }
    }
}
