// The whole kubelet without an API server: manifests in a folder, a runtime of dictionaries, a real clock.

import Client
import Containers
import Kernel
import Logging
import Objects
import Synchronization
import System
import Testing

@testable import Kubelet

@Suite(.timeLimit(.minutes(2))) struct StandaloneTests {
    static let manifest = """
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: conf, namespace: prod}
        data: {motd: hello}
        ---
        apiVersion: v1
        kind: Pod
        metadata: {name: web, namespace: prod}
        spec:
          terminationGracePeriodSeconds: 1
          initContainers: [{name: setup, image: "web:1", command: [prepare]}]
          containers:
          - name: app
            image: web:1
            args: ["$(MOTD)"]
            env: [{name: MOTD, valueFrom: {configMapKeyRef: {name: conf, key: motd}}}]
            volumeMounts: [{name: conf, mountPath: /conf, subPath: motd}]
            readinessProbe: {httpGet: {port: 80}, periodSeconds: 1, failureThreshold: 1}
          volumes: [{name: conf, configMap: {name: conf}}]

        """

    func kubelet(_ folder: String, _ runtime: FakeRuntime, _ network: FakeNetwork, _ prober: FakeProber) -> Kubelet {
        var logger = Logger(label: "kubelet")
        logger.logLevel = .critical
        return Kubelet(
            config: KubeletConfig(
                nodeName: "n1", dataDirectory: "\(folder)/data", logRoot: "\(folder)/logs",
                addresses: [.v4(0xc000_0201)]),
            client: nil, runtime: runtime, images: FakeImages(), network: network, prober: prober,
            seccomp: { _ in [1] }, logger: logger)
    }

    func source(_ folder: String) -> StaticPodSource {
        var logger = Logger(label: "pods")
        logger.logLevel = .critical
        return StaticPodSource(directory: "\(folder)/manifests", nodeName: "n1", logger: logger)
    }

    @Test func aManifestsLife() async throws {
        try await withFolder { (folder: String) async throws in
            try Files.makeDirectory("\(folder)/manifests")
            try Files.makeDirectory("\(folder)/data")
            try Files.writeAtomically("\(folder)/manifests/web.yaml", Self.manifest)
            let (runtime, network, prober) = (FakeRuntime(), FakeNetwork(), FakeProber())
            let first = kubelet(folder, runtime, network, prober)
            let running = Task { try await first.run(manifests: source(folder)) }
            try await until { runtime.calls.contains("start setup 0") }
            let uid = try #require(await first.pods().first?.pod.child("metadata").text("uid"))
            runtime.exit(uid, "setup", 0)
            try await until { await Self.ready(first) == "True" }

            let config = try #require(runtime.config("app"))
            #expect(config.arguments == ["/bin/web", "hello"])
            #expect(config.workingDirectory == "/srv")
            #expect(config.user == ContainerUser(uid: 1000, gid: 1000))
            #expect(config.seccomp == [1])
            #expect(Set(config.capabilities) == Set(Capabilities.default))
            #expect(config.logPath == "\(folder)/logs/prod_web_\(uid)/app/0.log")
            let mount = try #require(config.mounts.first { $0.destination == "/conf" })
            #expect(mount.readOnly && mount.subPath == "motd")
            #expect(
                Set(config.mounts.map(\.destination)).isSuperset(of: [
                    "/etc/hosts", "/etc/resolv.conf", "/dev/termination-log",
                ]))
            #expect(try Files.readText("\(folder)/data/pods/\(uid)/etc-hosts").contains("10.42.0.2\tweb"))

            // A failing probe shows at once, a passing one again.
            prober.code.withLock { $0 = 503 }
            try await until { await Self.ready(first) == "False" }
            prober.code.withLock { $0 = 200 }
            try await until { await Self.ready(first) == "True" }

            // A crash is restarted, and counted.
            runtime.exit(uid, "app", 1)
            try await until { runtime.calls.contains("start app 1") }

            // noded goes away and comes back: nothing is started, nothing stopped, the count stays.
            running.cancel()
            _ = try? await running.value
            let calls = runtime.calls
            let second = kubelet(folder, runtime, network, prober)
            let again = Task { try await second.run(manifests: source(folder)) }
            try await until { await Self.ready(second) == "True" }
            #expect(runtime.calls == calls)
            let status = try #require(await second.pods().first?.status)
            #expect(status.list("containerStatuses").first?.integer("restartCount") == 1)
            #expect(status.text("podIP") == "10.42.0.2")

            // Its ConfigMap changes: the volume follows.
            try Files.writeAtomically(
                "\(folder)/manifests/bad.yaml", "kind: Pod\napiVersion: v1\nmetadata: {name: b}\nspec: {}")

            // The manifest goes: the pod is stopped and nothing of it is left.
            try Files.remove("\(folder)/manifests/web.yaml")
            try await until { await second.pods().isEmpty }
            #expect(runtime.calls.suffix(2) == ["stop app", "remove"])
            #expect(!Files.exists("\(folder)/data/pods/\(uid)"))
            #expect(try MountTable.read().allSatisfy { !$0.point.hasPrefix(folder + "/") })
            again.cancel()
            _ = try? await again.value
        }
    }

    /// noded went away in the middle of a start, and finds a container whose first instruction has not run.
    @Test func aContainerThatWasBeingStartedIsReplacedAndNotDoubled() async throws {
        try await withFolder { (folder: String) async throws in
            try Files.makeDirectory("\(folder)/manifests")
            try Files.makeDirectory("\(folder)/data")
            let manifest = "kind: Pod\napiVersion: v1\nmetadata: {name: a}\nspec: {containers: [{name: app, image: web}]}\n"
            try Files.writeAtomically("\(folder)/manifests/a.yaml", manifest)
            let (runtime, network) = (FakeRuntime(), FakeNetwork())
            let first = kubelet(folder, runtime, network, FakeProber())
            let running = Task { try await first.run(manifests: source(folder)) }
            try await until { await Self.ready(first) == "True" }
            running.cancel()
            _ = try? await running.value
            let half = try runtime.state.withLock { state in
                let uid = try #require(state.sandboxes.keys.first)
                state.sandboxes[uid]?.containers[0].state = .created(at: .now())
                return try #require(state.sandboxes[uid]?.containers[0].id)
            }
            let second = kubelet(folder, runtime, network, FakeProber())
            let again = Task { try await second.run(manifests: source(folder)) }
            try await until { await Self.ready(second) == "True" }
            #expect(runtime.calls == ["sandbox", "start app 0", "start app 0"])
            let ids = runtime.state.withLock { $0.sandboxes.values.flatMap { $0.containers.map(\.id) } }
            #expect(ids.count == 1 && ids != [half])
            again.cancel()
            _ = try? await again.value
        }
    }

    /// Its child may hang in the kernel: the rest of the pod is served, and no second one is started beside it.
    @Test func whatWasBeingStartedHoldsUpOnlyItsOwnName() async throws {
        try await withFolder { (folder: String) async throws in
            try Files.makeDirectory("\(folder)/manifests")
            try Files.makeDirectory("\(folder)/data")
            try Files.writeAtomically(
                "\(folder)/manifests/a.yaml",
                """
                kind: Pod
                apiVersion: v1
                metadata: {name: a}
                spec: {containers: [{name: app, image: web}, {name: other, image: web}]}
                """)
            let (runtime, network) = (FakeRuntime(), FakeNetwork())
            let first = kubelet(folder, runtime, network, FakeProber())
            let running = Task { try await first.run(manifests: source(folder)) }
            try await until { await Self.ready(first) == "True" }
            running.cancel()
            _ = try? await running.value
            runtime.state.withLock { state in
                for uid in state.sandboxes.keys {
                    for index in 0..<2 where state.sandboxes[uid]!.containers[index].name == "app" {
                        state.sandboxes[uid]!.containers[index].state = .created(at: .now())
                    }
                }
                (state.removalsHang, state.removalFailures) = (true, 1)
            }
            func starts() -> Int { runtime.calls.filter { $0 == "start app 0" }.count }
            let second = kubelet(folder, runtime, network, FakeProber())
            let again = Task { try await second.run(manifests: source(folder)) }
            try await until {
                await second.pods().first?.status.list("containerStatuses").contains {
                    $0.text("name") == "other" && $0.child("state")["running"] != nil
                } == true
            }
            try await Task.sleep(for: .milliseconds(100))
            #expect(starts() == 1)
            // It fails once; the start after that has its way.
            runtime.state.withLock { $0.removalsHang = false }
            try await until { await Self.ready(second) == "True" }
            #expect(starts() == 2)
            #expect(runtime.state.withLock { $0.sandboxes.values.map(\.containers.count) } == [2])
            again.cancel()
            _ = try? await again.value
        }
    }

    @Test func whatIsPutBackWhileItEndsBeginsAnew() async throws {
        try await withFolder { (folder: String) async throws in
            try Files.makeDirectory("\(folder)/manifests")
            try Files.makeDirectory("\(folder)/data")
            let manifest =
                "kind: Pod\napiVersion: v1\nmetadata: {name: a}\nspec: {containers: [{name: app, image: web}]}\n"
            try Files.writeAtomically("\(folder)/manifests/a.yaml", manifest)
            let runtime = FakeRuntime()
            let kubelet = kubelet(folder, runtime, FakeNetwork(), FakeProber())
            let running = Task { try await kubelet.run(manifests: source(folder)) }
            try await until { runtime.calls.contains("start app 0") }
            runtime.state.withLock { $0.stopsHang = true }
            try Files.remove("\(folder)/manifests/a.yaml")
            try await until { runtime.calls.contains("stop app") }
            try Files.writeAtomically("\(folder)/manifests/a.yaml", manifest)
            try Files.writeAtomically("\(folder)/manifests/b.yaml", manifest.replacing("name: a}", with: "name: b}"))
            try await until { await kubelet.pods().count == 2 }
            #expect(runtime.calls.filter { $0 == "start app 0" }.count <= 2)
            runtime.state.withLock { $0.stopsHang = false }
            try await until { runtime.calls.filter { $0 == "start app 0" }.count == 3 }
            #expect(await kubelet.pods().count == 2)
            running.cancel()
            _ = try? await running.value
        }
    }

    @Test func anEndDuringAdoptionIsNotLostAndPreviousIsTheLastThatEnded() async throws {
        try await withFolder { (folder: String) async throws in
            try Files.makeDirectory("\(folder)/manifests")
            try Files.makeDirectory("\(folder)/data")
            try Files.writeAtomically(
                "\(folder)/manifests/a.yaml",
                "kind: Pod\napiVersion: v1\nmetadata: {name: a}\nspec: {containers: [{name: app, image: web}]}\n")
            let runtime = FakeRuntime()
            let first = kubelet(folder, runtime, FakeNetwork(), FakeProber())
            let running = Task { try await first.run(manifests: source(folder)) }
            try await until { runtime.calls.contains("start app 0") }
            let pod = try #require(await first.pods().first?.pod)
            let uid = try #require(pod.child("metadata").text("uid"))
            running.cancel()
            _ = try? await running.value
            // It ends after the second kubelet has asked and before its worker has listened.
            runtime.state.withLock { state in state.afterStatus = { runtime.exit(uid, "app", 1) } }
            let second = kubelet(folder, runtime, FakeNetwork(), FakeProber())
            let again = Task { try await second.run(manifests: source(folder)) }
            try await until { runtime.calls.contains("start app 1") }

            // kubectl logs -p: the last run that ended, also while the container waits for its next one.
            let key = ObjectKey(namespace: "default", name: "a")
            for attempt in 0...1 {
                let path = "\(folder)/logs/default_a_\(uid)/app/\(attempt).log"
                try Files.makeDirectory(Files.parent(of: path), mode: 0o755)
                try Files.writeAtomically(path, LogTests.line(1, "run \(attempt)"))
            }
            func previous() async throws -> String {
                var options = ContainerLogOptions()
                options.previous = true
                var bytes: [UInt8] = []
                for try await piece in try await second.logs(pod: key, options: options) { bytes += piece }
                return String(decoding: bytes, as: UTF8.self)
            }
            #expect(try await previous() == "run 0\n")
            runtime.exit(uid, "app", 1)
            try await until {
                let status = try #require(await second.pods().first?.status)
                return status.list("containerStatuses").first?.child("state").child("waiting").text("reason")
                    == "CrashLoopBackOff"
            }
            #expect(try await previous() == "run 1\n")
            again.cancel()
            _ = try? await again.value
        }
    }

    @Test func podsWaitForANetworkThatFailsAtTheStart() async throws {
        try await withFolder { (folder: String) async throws in
            try Files.makeDirectory("\(folder)/manifests")
            try Files.makeDirectory("\(folder)/data")
            try Files.writeAtomically(
                "\(folder)/manifests/a.yaml",
                "kind: Pod\napiVersion: v1\nmetadata: {name: a}\nspec: {containers: [{name: app, image: web}]}\n")
            let (runtime, network) = (FakeRuntime(), FakeNetwork(failures: 3))
            let kubelet = kubelet(folder, runtime, network, FakeProber())
            let running = Task { try await kubelet.run(manifests: source(folder)) }
            try await until { network.state.withLock { $0.refused > 0 } }
            #expect(!runtime.calls.contains("start app 0"))
            try await until { runtime.calls.contains("start app 0") }
            // In the sandbox that it had, and not one for each trial.
            #expect(runtime.calls.filter { $0 == "sandbox" }.count == 1)
            try await until { await kubelet.pods().first?.status.text("podIP") == "10.42.0.2" }
            running.cancel()
            _ = try? await running.value
        }
    }

    static func ready(_ kubelet: Kubelet) async -> String? {
        await kubelet.pods().first?.status.list("conditions").first { $0.text("type") == "Ready" }?.text("status")
    }

    @Test func uidsAreStableAndFollowTheContent() throws {
        let pod = try yaml("{metadata: {name: a}, spec: {containers: []}}")
        let one = StaticPodSource.uid("n1", pod)
        #expect(one == StaticPodSource.uid("n1", pod))
        #expect(one != StaticPodSource.uid("n2", pod))
        #expect(one.utf8.count == 36)
    }
}
