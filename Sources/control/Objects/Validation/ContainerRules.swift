// The rules of containers: names, images, ports, environment, mounts, probes, resources (pkg/apis/core/validation).

enum ContainerRules {
    /// What the pod says that containers refer to.
    struct Context {
        /// Names of the pod's volumes.
        var volumes: Set<String>
        var hostNetwork: Bool
        var restartPolicy: String
    }

    static func validate(_ spec: JSON, _ path: FieldPath, _ context: Context) -> [FieldError] {
        var errors: [FieldError] = []
        var names: Set<String> = []
        var hostPorts: Set<String> = []
        let containers = spec["containers"]?.array ?? []
        if containers.isEmpty { errors.append(.required(path.child("containers"))) }
        for (index, container) in containers.enumerated() {
            let path = path.child("containers")[index]
            errors += common(container, path, context, &names)
            errors += self.hostPorts(container, path.child("ports"), &hostPorts)
            errors += probes(container, path, context)
            errors += restart(container, path)
            errors += ResizeRules.policies(
                container, path.child("resizePolicy"), podRestartPolicy: context.restartPolicy)
        }
        for (index, container) in (spec["initContainers"]?.array ?? []).enumerated() {
            let path = path.child("initContainers")[index]
            errors += common(container, path, context, &names)
            let isSidecar = container["restartPolicy"] == "Always"
            if isSidecar {
                errors += probes(container, path, context)
                errors += ResizeRules.policies(container, path.child("resizePolicy"), podRestartPolicy: "Always")
            } else {
                for key in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"]
                where container[key] != nil {
                    errors.append(
                        .forbidden(
                            path.child(key), "may not be set for init containers without restartPolicy=Always"))
                }
                errors += restart(container, path)
            }
            var own: Set<String> = []
            errors += self.hostPorts(container, path.child("ports"), &own)
        }
        return errors
    }

    static func validateEphemeral(_ spec: JSON, _ path: FieldPath, _ context: Context) -> [FieldError] {
        var names = Set(
            ["containers", "initContainers"].flatMap { spec[$0]?.array ?? [] }.compactMap { $0["name"]?.string })
        let containers = spec["containers"]?.array ?? []
        var errors: [FieldError] = []
        for (index, container) in (spec["ephemeralContainers"]?.array ?? []).enumerated() {
            let path = path.child("ephemeralContainers")[index]
            errors += common(container, path, context, &names)
            for key in ["ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle"]
            where container[key] != nil {
                errors.append(.forbidden(path.child(key), "cannot be set for an Ephemeral Container"))
            }
            if let target = container["targetContainerName"], target != "",
                !containers.contains(where: { $0["name"] == target })
            {
                errors.append(.notFound(path.child("targetContainerName"), target))
            }
        }
        return errors
    }

    private static func common(
        _ container: JSON, _ path: FieldPath, _ context: Context, _ names: inout Set<String>
    ) -> [FieldError] {
        var errors: [FieldError] = []
        let name = container["name"]?.string ?? ""
        if name.isEmpty {
            errors.append(.required(path.child("name")))
        } else {
            errors.invalid(path.child("name"), .string(name), Names.dns1123Label(name))
            if !names.insert(name).inserted { errors.append(.duplicate(path.child("name"), .string(name))) }
        }
        let image = container["image"]?.string ?? ""
        if image.isEmpty {
            errors.append(.required(path.child("image")))
        } else if image != image.trimmingSpaces() {
            errors.append(
                .invalid(path.child("image"), .string(image), "must not have leading or trailing whitespace"))
        }
        errors += Rules.oneOf(
            container, "terminationMessagePolicy", ["FallbackToLogsOnError", "File"], path)
        errors += ports(container["ports"]?.array ?? [], path.child("ports"), context)
        errors += EnvironmentRules.validate(container, path)
        errors += mounts(container["volumeMounts"]?.array ?? [], path.child("volumeMounts"), context)
        errors += Rules.oneOf(container, "imagePullPolicy", ["Always", "IfNotPresent", "Never"], path)
        errors += ResourceRules.validate(container["resources"], path.child("resources"))
        errors += lifecycle(container["lifecycle"], path.child("lifecycle"))
        errors += securityContext(container["securityContext"], path.child("securityContext"))
        return errors
    }

    private static func restart(_ container: JSON, _ path: FieldPath) -> [FieldError] {
        guard let policy = container["restartPolicy"]?.string, !policy.isEmpty else { return [] }
        return ["Always", "OnFailure", "Never"].contains(policy)
            ? [] : [.notSupported(path.child("restartPolicy"), .string(policy), ["Always", "Never", "OnFailure"])]
    }

    // MARK: Ports

    private static func ports(_ ports: [JSON], _ path: FieldPath, _ context: Context) -> [FieldError] {
        var errors: [FieldError] = []
        var names: Set<String> = []
        for (index, port) in ports.enumerated() {
            let path = path[index]
            if let name = port["name"]?.string, !name.isEmpty {
                let problems = Names.portName(name)
                errors.invalid(path.child("name"), .string(name), problems)
                if problems.isEmpty, !names.insert(name).inserted {
                    errors.append(.duplicate(path.child("name"), .string(name)))
                }
            }
            let number = port["containerPort"]?.int ?? 0
            if number == 0 {
                errors.append(.required(path.child("containerPort")))
            } else {
                errors.invalid(path.child("containerPort"), .int(number), Names.portNumber(number))
            }
            if let host = port["hostPort"]?.int, host != 0 {
                errors.invalid(path.child("hostPort"), .int(host), Names.portNumber(host))
                if context.hostNetwork, host != number {
                    errors.append(
                        .invalid(
                            path.child("hostPort"), .int(host), "must match `containerPort` when `hostNetwork` is true")
                    )
                }
            }
            if let ip = port["hostIP"]?.string, !ip.isEmpty, !Rules.isIP(ip) {
                errors.append(.invalid(path.child("hostIP"), .string(ip), Rules.ipText))
            }
            errors += Rules.oneOf(port, "protocol", ["SCTP", "TCP", "UDP"], path)
        }
        return errors
    }

    private static func hostPorts(_ container: JSON, _ path: FieldPath, _ seen: inout Set<String>) -> [FieldError] {
        var errors: [FieldError] = []
        for (index, port) in (container["ports"]?.array ?? []).enumerated() {
            guard let number = port["hostPort"]?.int, number != 0 else { continue }
            let text = "\(port["protocol"]?.string ?? "")/\(port["hostIP"]?.string ?? "")/\(number)"
            if !seen.insert(text).inserted {
                errors.append(.duplicate(path[index].child("hostPort"), .string(text)))
            }
        }
        return errors
    }

    // MARK: Mounts

    private static func mounts(_ mounts: [JSON], _ path: FieldPath, _ context: Context) -> [FieldError] {
        var errors: [FieldError] = []
        var places: Set<String> = []
        for (index, mount) in mounts.enumerated() {
            let path = path[index]
            let name = mount["name"]?.string ?? ""
            if name.isEmpty {
                errors.append(.required(path.child("name")))
            } else if !context.volumes.contains(name) {
                errors.append(.notFound(path.child("name"), .string(name)))
            }
            let place = mount["mountPath"]?.string ?? ""
            if place.isEmpty { errors.append(.required(path.child("mountPath"))) }
            if !places.insert(place).inserted {
                errors.append(.invalid(path.child("mountPath"), .string(place), "must be unique"))
            }
            for key in ["subPath", "subPathExpr"] {
                guard let sub = mount[key]?.string, !sub.isEmpty else { continue }
                errors += localPath(sub, path.child(key))
            }
            if !(mount["subPath"]?.string ?? "").isEmpty, !(mount["subPathExpr"]?.string ?? "").isEmpty {
                errors.append(
                    .invalid(
                        path.child("subPathExpr"), mount["subPathExpr"] ?? .null,
                        "subPathExpr and subPath are mutually exclusive"))
            }
            if let propagation = mount["mountPropagation"]?.string,
                !["Bidirectional", "HostToContainer", "None"].contains(propagation)
            {
                errors.append(
                    .notSupported(
                        path.child("mountPropagation"), .string(propagation),
                        ["Bidirectional", "HostToContainer", "None"]))
            }
        }
        return errors
    }

    /// A path that stays below the place it starts from.
    static func localPath(_ path: String, _ field: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        if path.hasPrefix("/") { errors.append(.invalid(field, .string(path), "must be a relative path")) }
        if path.split(separator: "/").contains("..") {
            errors.append(.invalid(field, .string(path), "must not contain '..'"))
        }
        return errors
    }

    // MARK: Probes and hooks

    private static func probes(_ container: JSON, _ path: FieldPath, _ context: Context) -> [FieldError] {
        var errors: [FieldError] = []
        for key in ["livenessProbe", "readinessProbe", "startupProbe"] {
            guard let probe = container[key] else { continue }
            let path = path.child(key)
            errors += handler(probe, path)
            errors += Rules.nonNegative(
                probe,
                ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"],
                path)
            if key != "readinessProbe", let threshold = probe["successThreshold"]?.int, threshold != 1 {
                errors.append(.invalid(path.child("successThreshold"), .int(threshold), "must be 1"))
            }
            if let grace = probe["terminationGracePeriodSeconds"]?.int {
                let field = path.child("terminationGracePeriodSeconds")
                if key == "readinessProbe" {
                    errors.append(.invalid(field, .int(grace), "must not be set for readinessProbes"))
                } else if grace <= 0 {
                    errors.append(.invalid(field, .int(grace), "must be greater than 0"))
                }
            }
        }
        return errors
    }

    private static func lifecycle(_ lifecycle: JSON?, _ path: FieldPath) -> [FieldError] {
        ["postStart", "preStop"].flatMap { hook in
            lifecycle?[hook].map { handler($0, path.child(hook)) } ?? []
        }
    }

    /// One of exec, httpGet, tcpSocket, grpc, sleep.
    private static func handler(_ handler: JSON, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        let kinds = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"].filter { handler[$0] != nil }
        if kinds.isEmpty { return [.required(path, "must specify a handler type")] }
        for kind in kinds.dropFirst() {
            errors.append(.forbidden(path.child(kind), "may not specify more than 1 handler type"))
        }
        let path = path.child(kinds[0])
        let action = handler[kinds[0]] ?? .null
        switch kinds[0] {
        case "exec":
            if (action["command"]?.array ?? []).isEmpty { errors.append(.required(path.child("command"))) }
        case "httpGet":
            if (action["path"]?.string ?? "").isEmpty { errors.append(.required(path.child("path"))) }
            errors += Rules.portOrName(action["port"], path.child("port"))
            errors += Rules.oneOf(action, "scheme", ["HTTP", "HTTPS"], path)
            for (index, header) in (action["httpHeaders"]?.array ?? []).enumerated() {
                let name = header["name"]?.string ?? ""
                if name.isEmpty || !name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: ":") }) {
                    errors.append(
                        .invalid(
                            path.child("httpHeaders")[index].child("name"), .string(name),
                            "a valid HTTP header must consist of alphanumeric characters or '-' "
                                + "(e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')"))
                }
            }
        case "tcpSocket": errors += Rules.portOrName(action["port"], path.child("port"))
        case "grpc":
            let port = action["port"]?.int ?? 0
            errors.invalid(path.child("port"), .int(port), Names.portNumber(port))
        default: break
        }
        return errors
    }

    // MARK: Security

    private static func securityContext(_ context: JSON?, _ path: FieldPath) -> [FieldError] {
        guard let context else { return [] }
        var errors = PodRules.ids(context, ["runAsUser", "runAsGroup"], path)
        errors += PodRules.seccomp(context["seccompProfile"], path.child("seccompProfile"))
        if let mount = context["procMount"]?.string, mount != "Default", mount != "Unmasked" {
            errors.append(.notSupported(path.child("procMount"), .string(mount), ["Default", "Unmasked"]))
        }
        if context["allowPrivilegeEscalation"]?.bool == false {
            if context["privileged"]?.bool == true {
                errors.append(
                    .invalid(
                        path, context, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"))
            }
            if (context.at("capabilities", "add")?.strings ?? []).contains("CAP_SYS_ADMIN") {
                errors.append(
                    .invalid(
                        path, context,
                        "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"))
            }
        }
        return errors
    }
}
