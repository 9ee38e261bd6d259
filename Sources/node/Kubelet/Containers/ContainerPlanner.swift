// One container of a PodSpec, its image and its volumes -> ContainerConfig. In parts, because "container create" is
// the function that grows without end everywhere else: command, environment, mounts, security, each on its own.

import Cgroups
import Containers
import Kernel
import Objects
import System

struct ContainerPlanner: Sendable {
    let node: NodeServices
    let view: PodView
    let container: JSON
    let image: ResolvedImage
    let volumes: [String: VolumeSource]
    let lookups: Lookups
    let podDirectory: String

    private var name: String { container.text("name") ?? "" }
    private var spec: JSON { view.pod.child("spec") }
    private var metadata: JSON { view.pod.child("metadata") }

    private func refuse(_ text: String) -> KubeletError { .container(reason: "CreateContainerConfigError", text) }

    func config(attempt: Int) async throws -> ContainerConfig {
        var builder = EnvironmentBuilder(view: view, container: container, lookups: lookups)
        let environment = try await builder.build(image: image.environment)
        let variables = builder.values
        let arguments = command(variables)
        guard !arguments.isEmpty else {
            throw KubeletError.container(reason: "CreateContainerError", "no command specified")
        }
        // It looks for users in the image's files.
        let security = try await BlockingPool.shared.run { [container, view, image] in
            try SecurityPlan(container: container, pod: view.pod, image: image)
        }
        let qos = QOSClass(spec)
        let resources = ContainerResources(container.child("resources"))
        let directory = "\(podDirectory)/containers/\(name)"
        let message = "\(directory)/termination-\(attempt)"
        var mounts = try mounts(variables)
        mounts += try await files(
            directory: directory, terminationMessage: message, taken: Set(mounts.map(\.destination)))
        let logs = node.config.podLogs(
            namespace: metadata.text("namespace") ?? "", name: metadata.text("name") ?? "",
            uid: metadata.text("uid") ?? ""
        ).directory(of: name)
        try await BlockingPool.shared.run { try Files.makeDirectory(logs, mode: 0o755) }
        return ContainerConfig(
            id: Hex.encode(Random.bytes(32)), name: name, attempt: attempt, rootLayers: image.rootLayers,
            readOnlyRoot: security.readOnlyRoot, arguments: arguments, environment: environment,
            workingDirectory: container.text("workingDir")
                ?? (image.workingDirectory.isEmpty ? "/" : image.workingDirectory),
            user: security.user, mounts: mounts, capabilities: security.capabilities,
            seccomp: try security.seccomp == .runtimeDefault ? node.seccomp(security.capabilities) : nil,
            privileged: security.privileged, noNewPrivileges: security.noNewPrivileges,
            maskedPaths: security.unmasked ? [] : ContainerConfig.defaultMaskedPaths,
            readOnlyPaths: security.unmasked ? [] : ContainerConfig.defaultReadOnlyPaths,
            resources: resources.cgroup,
            oomScoreAdjustment: resources.oomScore(qos, capacity: node.allocatable.memory),
            terminal: container.flag("tty"), stdin: container.flag("stdin"), stdinOnce: container.flag("stdinOnce"),
            stopSignal: try stopSignal(), terminationMessagePath: message, logPath: "\(logs)/\(attempt).log",
            logMaximumSize: node.config.logMaximumSize, logMaximumFiles: node.config.logMaximumFiles,
            image: container.text("image") ?? "",
            labels: [
                "io.kubernetes.pod.name": metadata.text("name") ?? "",
                "io.kubernetes.pod.namespace": metadata.text("namespace") ?? "",
                "io.kubernetes.pod.uid": metadata.text("uid") ?? "", "io.kubernetes.container.name": name,
            ])
    }

    // MARK: - Command

    /// `command` replaces the image's entrypoint and, unless there are `args`, its cmd too.
    private func command(_ variables: [String: String]) -> [String] {
        let command = container.list("command").compactMap(\.string).map { Expansion.expand($0, variables) }
        let arguments = container.list("args").compactMap(\.string).map { Expansion.expand($0, variables) }
        if !command.isEmpty { return command + arguments }
        if !arguments.isEmpty { return image.entrypoint + arguments }
        return image.entrypoint + image.command
    }

    private func stopSignal() throws -> Int32 {
        let text = container.child("lifecycle").text("stopSignal") ?? image.stopSignal
        if text.isEmpty { return Signal.terminate }
        guard let number = Signal.number(text) else { throw refuse("unknown stop signal \"\(text)\"") }
        return number
    }

    // MARK: - Mounts

    private func mounts(_ variables: [String: String]) throws -> [Mount] {
        try container.list("volumeMounts").map { item in
            let volume = item.text("name") ?? ""
            guard let source = volumes[volume] else { throw refuse("volume \"\(volume)\" is not mounted yet") }
            var subPath = item.text("subPath")
            if let expression = item.text("subPathExpr"), !expression.isEmpty {
                for reference in Expansion.references(expression) where variables[reference] == nil {
                    throw refuse("missing value for \"\(reference)\"")
                }
                subPath = Expansion.expand(expression, variables)
            }
            if let path = subPath, path.hasPrefix("/") || path.split(separator: "/").contains("..") {
                throw refuse("subPath \"\(path)\" must be relative and must not contain \"..\"")
            }
            if subPath?.isEmpty == true { subPath = nil }
            let recursive = item.text("recursiveReadOnly") ?? "Disabled"
            return Mount(
                source: source.path, subPath: subPath, destination: item.text("mountPath") ?? "",
                readOnly: source.readOnly || item.flag("readOnly"),
                recursiveReadOnly: recursive == "Enabled" || recursive == "IfPossible",
                propagation: propagation(item.text("mountPropagation")))
        }
    }

    private func propagation(_ text: String?) -> Mount.Propagation {
        switch text {
        case "HostToContainer": .hostToContainer
        case "Bidirectional": .bidirectional
        default: .none
        }
    }

    /// /etc/hosts, /etc/hostname, /etc/resolv.conf and the termination message, unless the container mounts its own.
    private func files(directory: String, terminationMessage: String, taken: Set<String>) async throws -> [Mount] {
        let (config, view, podDirectory) = (node.config, view, podDirectory)
        let hostNetwork = spec.flag("hostNetwork")
        let messagePath = container.text("terminationMessagePath") ?? "/dev/termination-log"
        return try await BlockingPool.shared.run {
            try Files.makeDirectory(directory, mode: 0o755)
            let machine = PodFiles.Resolver(parsing: (try? Files.readText(config.resolvConf)) ?? "")
            let resolver = PodFiles.resolver(
                view.pod, machine: machine, clusterDNS: config.clusterDNS, domain: config.clusterDomain)
            let hosts = PodFiles.hosts(
                view.pod, ips: view.podIPs, domain: config.clusterDomain,
                machine: hostNetwork ? (try? Files.readText("/etc/hosts")) ?? "" : nil)
            let texts = [
                ("/etc/hosts", "etc-hosts", hosts),
                ("/etc/hostname", "etc-hostname", PodFiles.hostname(view.pod) + "\n"),
                ("/etc/resolv.conf", "etc-resolv.conf", resolver.text),
            ]
            var mounts: [Mount] = []
            for (destination, file, text) in texts where !taken.contains(destination) {
                if hostNetwork && destination == "/etc/hostname" { continue }
                let path = "\(podDirectory)/\(file)"
                try writeInPlace(path, text, mode: 0o644)
                mounts.append(Mount(kind: .bind(recursive: false), source: path, destination: destination))
            }
            if !taken.contains(messagePath) {
                try writeInPlace(terminationMessage, "", mode: 0o666)
                mounts.append(
                    Mount(kind: .bind(recursive: false), source: terminationMessage, destination: messagePath))
            }
            return mounts
        }
    }
}

/// Keeps the inode, which containers that run already have mounted.
private func writeInPlace(_ path: String, _ text: String, mode: UInt32) throws {
    if let old = try? Files.readText(path), old == text, !text.isEmpty { return }
    let file = try FileDescriptor.open(path, [.write, .create, .truncate], mode: mode)
    try file.write(all: Array(text.utf8))
    try Files.setMode(path, mode)
}
