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

@Suite(.timeLimit(.minutes(5))) struct StandaloneTests {
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

    @Test func aManifestsLife() async throws {
        try await withFolder { (folder: String) async throws in
            let node = try StandaloneNode(folder)
            let runtime = node.runtime
            try node.write("web", Self.manifest)
            let uid = try await node.run { kubelet in
                try await until { runtime.calls.contains("start setup 0") }
                let uid = try #require(await kubelet.pods().first?.pod.child("metadata").text("uid"))
                runtime.exit(uid, "setup", 0)
                try await until { await Self.ready(kubelet) == "True" }

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
                node.prober.code.withLock { $0 = 503 }
                try await until { await Self.ready(kubelet) == "False" }
                node.prober.code.withLock { $0 = 200 }
                try await until { await Self.ready(kubelet) == "True" }

                // A crash is restarted, and counted.
                runtime.exit(uid, "app", 1)
                try await until { runtime.calls.contains("start app 1") }
                return uid
            }

            // noded goes away and comes back: nothing is started, nothing stopped, the count stays.
            let calls = runtime.calls
            try await node.run { kubelet in
                try await until { await Self.ready(kubelet) == "True" }
                #expect(runtime.calls == calls)
                let status = try #require(await kubelet.pods().first?.status)
                #expect(status.list("containerStatuses").first?.integer("restartCount") == 1)
                #expect(status.text("podIP") == "10.42.0.2")

                // A manifest that is no good is nobody else's trouble.
                try node.write("bad", "kind: Pod\napiVersion: v1\nmetadata: {name: b}\nspec: {}")

                // The manifest goes: the pod is stopped and nothing of it is left.
                try node.remove("web")
                try await until { await kubelet.pods().isEmpty }
                #expect(runtime.calls.suffix(2) == ["stop app", "remove"])
                #expect(!Files.exists("\(folder)/data/pods/\(uid)"))
                #expect(try MountTable.read().allSatisfy { !$0.point.hasPrefix(folder + "/") })
            }
        }
    }

    @Test func aLostLinkIsMadeAgain() async throws {
        try await withFolder { (folder: String) async throws in
            let node = try StandaloneNode(folder)
            let (runtime, network) = (node.runtime, node.network)
            try node.write("a")
            try await node.run { kubelet in
                try await until { await Self.ready(kubelet) == "True" }
                let uid = try #require(runtime.state.withLock { $0.sandboxes.keys.first })
                let calls = runtime.calls
                await network.detach(podUID: uid)
                network.loseLink.yield("a pod that nobody knows")
                network.loseLink.yield(uid)
                try await until { network.addresses(of: uid) != nil }
                #expect(runtime.calls == calls)
                #expect(await Self.ready(kubelet) == "True")
            }
        }
    }

    @Test func aLinkThatIsLostBeforeItsAnswerIsMadeAgain() async throws {
        try await withFolder { (folder: String) async throws in
            let node = try StandaloneNode(folder)
            let network = node.network
            // The first link, and the one that takes its place.
            network.state.withLock { $0.losses = 2 }
            try node.write("a")
            try await node.run { kubelet in
                try await until { network.state.withLock { !$0.pods.isEmpty } }
                #expect(network.state.withLock { $0.losses } == 0)
                try await until { await Self.ready(kubelet) == "True" }
            }
        }
    }

    @Test func aLossThatNobodyToldIsFoundByTheAudit() async throws {
        try await withFolder { (folder: String) async throws in
            let node = try StandaloneNode(folder)
            let network = node.network
            try node.write("a")
            try await node.run { kubelet in
                try await until { await Self.ready(kubelet) == "True" }
                let uid = try #require(node.runtime.state.withLock { $0.sandboxes.keys.first })
                await network.detach(podUID: uid)
                let pod = ObjectKey(try #require(await kubelet.pods().first?.pod))
                try await kubelet.worker(pod).audit()
                try await until { network.addresses(of: uid) != nil }
            }
        }
    }

    /// Leaves the pod a as noded does that goes away in the middle of its start.
    /// - Returns: the id of its container.
    private func halfStarted(on node: StandaloneNode) async throws -> String {
        try node.write("a")
        try await node.run { kubelet in try await until { await Self.ready(kubelet) == "True" } }
        return try node.runtime.state.withLock { state in
            let uid = try #require(state.sandboxes.keys.first)
            state.sandboxes[uid]?.containers[0].state = .created(at: .now())
            return try #require(state.sandboxes[uid]?.containers[0].id)
        }
    }

    /// noded went away in the middle of a start, and finds a container whose first instruction has not run.
    @Test func aContainerThatWasBeingStartedIsReplacedAndNotDoubled() async throws {
        try await withFolder { (folder: String) async throws in
            let node = try StandaloneNode(folder)
            let runtime = node.runtime
            let half = try await halfStarted(on: node)
            try await node.run { kubelet in
                try await until { await Self.ready(kubelet) == "True" }
                #expect(runtime.calls == ["sandbox", "start app 0", "start app 0"])
                let ids = runtime.state.withLock { $0.sandboxes.values.flatMap { $0.containers.map(\.id) } }
                #expect(ids.count == 1 && ids != [half])
            }
        }
    }

    /// The start came to its end while noded was on its way back: it counts, and is not killed for it.
    @Test func aStartThatFinishedMeanwhileIsKept() async throws {
        try await withFolder { (folder: String) async throws in
            let node = try StandaloneNode(folder)
            let runtime = node.runtime
            let half = try await halfStarted(on: node)
            let calls = runtime.calls
            runtime.state.withLock { $0.startsFinish = true }
            try await node.run { kubelet in
                try await until { await Self.ready(kubelet) == "True" }
                #expect(runtime.calls == calls)
                let status = try #require(await kubelet.pods().first?.status.list("containerStatuses").first)
                #expect(status.text("containerID") == "noded://\(half)")
                // Of a pod that nobody wants any more it is stopped as all are, with its grace.
                runtime.state.withLock { $0.stopFailures = 1 }
                try node.remove("a")
                try await until { await kubelet.pods().isEmpty }
                #expect(runtime.calls == calls + ["stop app", "stop app", "remove"])
            }
        }
    }

    /// Its child may hang in the kernel: the rest of the pod is served, and no second one is started beside it.
    @Test func whatWasBeingStartedHoldsUpOnlyItsOwnName() async throws {
        try await withFolder { (folder: String) async throws in
            let node = try StandaloneNode(folder)
            let runtime = node.runtime
            try node.write(
                "a",
                """
                kind: Pod
                apiVersion: v1
                metadata: {name: a}
                spec: {containers: [{name: app, image: web}, {name: other, image: web}]}
                """)
            try await node.run { kubelet in try await until { await Self.ready(kubelet) == "True" } }
            runtime.state.withLock { state in
                for uid in state.sandboxes.keys {
                    for index in 0..<2 where state.sandboxes[uid]!.containers[index].name == "app" {
                        state.sandboxes[uid]!.containers[index].state = .created(at: .now())
                    }
                }
                (state.removalsHang, state.removalFailures) = (true, 1)
            }
            func starts() -> Int { runtime.calls.filter { $0 == "start app 0" }.count }
            try await node.run { kubelet in
                try await until {
                    await kubelet.pods().first?.status.list("containerStatuses").contains {
                        $0.text("name") == "other" && $0.child("state")["running"] != nil
                    } == true
                }
                try await Task.sleep(for: .milliseconds(100))
                #expect(starts() == 1)
                // It fails once; the start after that has its way.
                runtime.state.withLock { $0.removalsHang = false }
                try await until { await Self.ready(kubelet) == "True" }
                #expect(starts() == 2)
                #expect(runtime.state.withLock { $0.sandboxes.values.map(\.containers.count) } == [2])
            }
        }
    }

    @Test func whatIsPutBackWhileItEndsBeginsAnew() async throws {
        try await withFolder { (folder: String) async throws in
            let node = try StandaloneNode(folder)
            let runtime = node.runtime
            try node.write("a")
            try await node.run { kubelet in
                try await until { runtime.calls.contains("start app 0") }
                runtime.state.withLock { $0.stopsHang = true }
                try node.remove("a")
                try await until { runtime.calls.contains("stop app") }
                try node.write("a")
                try node.write("b", StandaloneNode.pod.replacing("name: a}", with: "name: b}"))
                try await until { await kubelet.pods().count == 2 }
                #expect(runtime.calls.filter { $0 == "start app 0" }.count <= 2)
                runtime.state.withLock { $0.stopsHang = false }
                try await until { runtime.calls.filter { $0 == "start app 0" }.count == 3 }
                #expect(await kubelet.pods().count == 2)
            }
        }
    }

    @Test func anEndDuringAdoptionIsNotLostAndPreviousIsTheLastThatEnded() async throws {
        try await withFolder { (folder: String) async throws in
            let node = try StandaloneNode(folder)
            let runtime = node.runtime
            try node.write("a")
            let uid = try await node.run { kubelet in
                try await until { runtime.calls.contains("start app 0") }
                return try #require(await kubelet.pods().first?.pod.child("metadata").text("uid"))
            }
            // It ends after the second kubelet has asked and before its worker has listened.
            runtime.state.withLock { state in state.afterStatus = { runtime.exit(uid, "app", 1) } }
            try await node.run { kubelet in
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
                    for try await piece in try await kubelet.logs(pod: key, options: options) { bytes += piece }
                    return String(decoding: bytes, as: UTF8.self)
                }
                #expect(try await previous() == "run 0\n")
                runtime.exit(uid, "app", 1)
                try await until {
                    let status = try #require(await kubelet.pods().first?.status)
                    return status.list("containerStatuses").first?.child("state").child("waiting").text("reason")
                        == "CrashLoopBackOff"
                }
                #expect(try await previous() == "run 1\n")
            }
        }
    }

    @Test func podsWaitForANetworkThatFailsAtTheStart() async throws {
        try await withFolder { (folder: String) async throws in
            let node = try StandaloneNode(folder, network: FakeNetwork(failures: 3))
            let runtime = node.runtime
            try node.write("a")
            try await node.run { kubelet in
                try await until { node.network.state.withLock { $0.refused > 0 } }
                #expect(!runtime.calls.contains("start app 0"))
                try await until { runtime.calls.contains("start app 0") }
                // In the sandbox that it had, and not one for each trial.
                #expect(runtime.calls.filter { $0 == "sandbox" }.count == 1)
                try await until { await kubelet.pods().first?.status.text("podIP") == "10.42.0.2" }
            }
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
