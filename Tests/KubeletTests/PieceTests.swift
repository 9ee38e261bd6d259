// The pure and nearly pure pieces: expansion, environment, files of a pod, QoS, logs, volumes on a real tmpfs.

import Cgroups
import Kernel
import Objects
import Synchronization
import System
import Testing

@testable import Kubelet

func yaml(_ text: String) throws -> JSON { try #require(try YAML.parse(Array(text.utf8)).first) }

func view(_ pod: JSON) -> PodView {
    PodView(
        pod: pod, podIPs: ["10.42.0.7"], hostIPs: ["192.0.2.1"],
        allocatable: Allocatable(milliCPU: 2000, memory: 1 << 30, ephemeralStorage: 1 << 30, pods: 110))
}

/// A folder of the test's own; mounts in it are gone afterwards too.
func withFolder(_ body: (String) async throws -> Void) async throws {
    let path = "/tmp/noded-kubelet-test-\(Random.nameSuffix(10))"
    try Files.makeDirectory(path)
    do {
        try await body(path)
        try VolumeManager.remove(path)
    } catch {
        try VolumeManager.remove(path)
        throw error
    }
}

@Suite struct EnvironmentTests {
    @Test func expansion() {
        let variables = ["A": "1", "B": "$(A)"]
        #expect(Expansion.expand("x$(A)y", variables) == "x1y")
        #expect(Expansion.expand("$$(A) $(NO) $(A", variables) == "$(A) $(NO) $(A")
        #expect(Expansion.expand("$(B)$", variables) == "$(A)$")
        #expect(Expansion.references("a/$(X)/$$(Y)/$(Z)") == ["X", "Z"])
    }

    @Test func variablesFromEverywhere() async throws {
        let pod = try yaml(
            """
            metadata: {name: web, namespace: prod, uid: u1, labels: {app: shop}}
            spec:
              nodeName: n1
              containers:
              - name: app
                resources: {limits: {memory: 64Mi}, requests: {cpu: 250m}}
                envFrom: [{configMapRef: {name: conf}, prefix: C_}, {secretRef: {name: none, optional: true}}]
                env:
                - {name: ONE, value: "1"}
                - {name: TWO, value: "$(ONE)$(C_key)"}
                - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
                - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
                - {name: LABEL, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}}
                - {name: MEM, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}}
                - {name: CPU, valueFrom: {resourceFieldRef: {resource: requests.cpu, divisor: 1m}}}
                - {name: LIMIT, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}
                - {name: PASS, valueFrom: {secretKeyRef: {name: db, key: password}}}
            """)
        let objects = [
            "conf": try yaml("{kind: ConfigMap, data: {key: v, 'a b': w}}"),
            "db": try yaml("{kind: Secret, data: {password: aHVudGVyMg==}}"),
        ]
        let service = try yaml(
            """
            metadata: {name: web-front, namespace: prod}
            spec: {clusterIP: 10.43.0.9, ports: [{name: http, port: 80, protocol: TCP}]}
            """)
        let lookups = Lookups(object: { _, name in objects[name] }, services: [service])
        let container = pod.child("spec").list("containers")[0]
        var builder = EnvironmentBuilder(view: view(pod), container: container, lookups: lookups)
        let pairs = try await builder.build(image: ["PATH=/bin", "ONE=image"])
        let values = Dictionary(pairs, uniquingKeysWith: { $1 })
        #expect(values["PATH"] == "/bin")
        #expect(values["ONE"] == "1")
        #expect(values["TWO"] == "1v")
        #expect(values["NODE"] == "n1")
        #expect(values["IP"] == "10.42.0.7")
        #expect(values["LABEL"] == "shop")
        #expect(values["MEM"] == "64")
        #expect(values["CPU"] == "250")
        #expect(values["LIMIT"] == "2")
        #expect(values["PASS"] == "hunter2")
        #expect(values["C_a b"] == "w")
        #expect(values["WEB_FRONT_SERVICE_HOST"] == "10.43.0.9")
        #expect(values["WEB_FRONT_SERVICE_PORT_HTTP"] == "80")
        #expect(values["WEB_FRONT_PORT_80_TCP_ADDR"] == "10.43.0.9")
    }

    @Test func whatIsMissingIsNamed() async throws {
        let pod = try yaml("metadata: {name: web, namespace: prod}")
        let lookups = Lookups(object: { _, name in name == "conf" ? ["kind": "ConfigMap", "data": ["a": "b"]] : nil })
        for (env, message) in [
            ("{secretKeyRef: {name: db, key: p}}", "secret \"db\" not found"),
            ("{configMapKeyRef: {name: conf, key: p}}", "couldn't find key p in ConfigMap prod/conf"),
        ] {
            let container = try yaml("{name: app, env: [{name: X, valueFrom: \(env)}]}")
            var builder = EnvironmentBuilder(view: view(pod), container: container, lookups: lookups)
            do {
                _ = try await builder.build(image: [])
                Issue.record("started without \(env)")
            } catch KubeletError.container(let reason, let text) {
                #expect(reason == "CreateContainerConfigError")
                #expect(text == message)
            }
        }
    }
}

@Suite struct PodFileTests {
    @Test func resolverOfEachPolicy() throws {
        let machine = PodFiles.Resolver(parsing: "nameserver 192.0.2.53\nsearch example.org\noptions edns0\n# x\n")
        let dns = [try #require(IPAddress("10.43.0.10"))]
        func text(_ spec: String) throws -> String {
            let pod = try yaml("metadata: {name: web, namespace: prod}\nspec: \(spec)")
            return PodFiles.resolver(pod, machine: machine, clusterDNS: dns, domain: "cluster.local").text
        }
        #expect(
            try text("{dnsPolicy: ClusterFirst}") == """
                search prod.svc.cluster.local svc.cluster.local cluster.local example.org
                nameserver 10.43.0.10
                options ndots:5

                """)
        let host = "search example.org\nnameserver 192.0.2.53\noptions edns0\n"
        #expect(try text("{dnsPolicy: Default}") == host)
        #expect(try text("{dnsPolicy: ClusterFirst, hostNetwork: true}") == host)
        #expect(try text("{dnsPolicy: ClusterFirstWithHostNet, hostNetwork: true}").hasPrefix("search prod.svc"))
        #expect(
            try text("{dnsPolicy: None, dnsConfig: {nameservers: [192.0.2.9], options: [{name: ndots, value: '1'}]}}")
                == "nameserver 192.0.2.9\noptions ndots:1\n")
        #expect(
            try text("{dnsPolicy: ClusterFirst, dnsConfig: {options: [{name: ndots, value: '1'}]}}").contains(
                "options ndots:1\n"))
    }

    @Test func hosts() throws {
        let pod = try yaml(
            """
            metadata: {name: web-0, namespace: prod}
            spec: {hostname: web-0, subdomain: web, hostAliases: [{ip: 192.0.2.7, hostnames: [a, b]}]}
            """)
        let text = PodFiles.hosts(pod, ips: ["10.42.0.7"], domain: "cluster.local", machine: nil)
        #expect(text.contains("10.42.0.7\tweb-0.web.prod.svc.cluster.local\tweb-0\n"))
        #expect(text.contains("192.0.2.7\ta\tb\n"))
    }

    @Test func qualityOfService() throws {
        func qos(_ resources: String) throws -> String {
            QOSClass(try yaml("containers: [{name: a, resources: \(resources)}]")).rawValue
        }
        #expect(try qos("{}") == "BestEffort")
        #expect(try qos("{requests: {cpu: 1}}") == "Burstable")
        #expect(try qos("{limits: {cpu: 1}}") == "Burstable")
        #expect(try qos("{limits: {cpu: 1, memory: 1Gi}}") == "Guaranteed")
        #expect(try qos("{limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 500m, memory: 1Gi}}") == "Burstable")
        let total = ContainerResources.pod(
            try yaml(
                """
                initContainers: [{name: i, resources: {requests: {cpu: 2}, limits: {cpu: 2, memory: 1Gi}}}]
                containers:
                - {name: a, resources: {requests: {cpu: 500m}, limits: {cpu: 1, memory: 1Gi}}}
                - {name: b, resources: {limits: {cpu: 250m}}}
                """))
        #expect(total.cpuRequest == 2000)
        #expect(total.cpuLimit == 2000)
        #expect(total.memoryLimit == nil)
    }

    /// Also of what a sandbox without a pod notes: clocks trap at sums of the largest number.
    @Test func nobodyWaitsForEver() {
        #expect(PodPlan.grace(.max) == .seconds(Int32.max) && PodPlan.grace(5) == .seconds(5))
        #expect(PodPlan.grace(nil) == .seconds(30))
    }

    @Test func sumsOfAnythingAreTheLargestNumber() throws {
        let total = ContainerResources.pod(
            try yaml(
                """
                containers:
                - {name: a, resources: {requests: {cpu: 8E, memory: 8E}, limits: {cpu: 8E, memory: 8E}}}
                - {name: b, resources: {requests: {cpu: 8E, memory: 8E}, limits: {cpu: 8E, memory: 8E}}}
                """))
        #expect(total.cpuRequest == .max && total.cpuLimit == .max)
        #expect(total.cgroup.cpuMax == .init(quota: (1 << 44) - 1))
        #expect(total.oomScore(.burstable, capacity: 1 << 30) == 3)
        #expect(total.oomScore(.burstable, capacity: 1) == 3)
        let all = Allocatable(milliCPU: 1000, memory: .max, ephemeralStorage: .max, pods: 110)
        #expect(all.milli("memory") == .max && all.milli("ephemeral-storage") == .max)
    }
}

@Suite struct VolumeTests {
    @Test func contentsChangeAtOnceAndKeepTheirLinks() async throws {
        try await withFolder { (folder: String) async throws in
            let one = ["a": VolumeFile(bytes: [1], mode: 0o644), "d/b": VolumeFile(bytes: [2], mode: 0o400)]
            #expect(try AtomicWriter.write(one, to: folder, group: nil, now: Timestamp(seconds: 1)))
            #expect(Files.symlinkTarget("\(folder)/a") == "..data/a")
            #expect(try Files.read("\(folder)/d/b") == [2])
            #expect(try Files.attributes("\(folder)/d/b").mode & 0o777 == 0o400)
            #expect(try false == AtomicWriter.write(one, to: folder, group: nil, now: Timestamp(seconds: 2)))
            let before = Files.symlinkTarget("\(folder)/..data")
            #expect(
                try AtomicWriter.write(
                    ["a": VolumeFile(bytes: [3], mode: 0o644)], to: folder, group: nil, now: Timestamp(seconds: 3)))
            #expect(Files.symlinkTarget("\(folder)/..data") != before)
            #expect(try Files.read("\(folder)/a") == [3])
            #expect(try Files.list(folder).sorted() == ["..1970_01_01_00_00_03.000000000", "..data", "a"])
        }
    }

    @Test func realVolumes() async throws {
        try await withFolder { (folder: String) async throws in
            let pod = try yaml(
                """
                metadata: {name: web, namespace: prod, uid: u1, labels: {app: shop}}
                spec:
                  securityContext: {fsGroup: 2000}
                  volumes:
                  - {name: scratch, emptyDir: {}}
                  - {name: memory, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
                  - {name: conf, configMap: {name: conf, defaultMode: 416, items: [{key: k, path: sub/k}]}}
                  - {name: pass, secret: {secretName: db}}
                  - name: all
                    projected:
                      sources:
                      - {configMap: {name: conf}}
                      - {downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}
                  - {name: host, hostPath: {path: \(folder)/made, type: DirectoryOrCreate}}
                """)
            let objects = [
                "conf": try yaml("{kind: ConfigMap, data: {k: v1}}"),
                "db": try yaml("{kind: Secret, stringData: {p: x}}"),
            ]
            let manager = VolumeManager(podDirectory: folder)
            let lookups = Lookups(object: { _, name in objects[name] })
            let sources = try await manager.setUp(pod, view: view(pod), lookups: lookups)
            #expect(sources.count == 6)
            let mounted = try MountTable.read().filter { $0.point.hasPrefix(folder + "/") }
            #expect(mounted.count == 4)
            #expect(mounted.allSatisfy { $0.fileSystem == "tmpfs" })
            let conf = try #require(sources["conf"])
            #expect(conf.readOnly)
            #expect(try Files.readText("\(conf.path)/sub/k") == "v1")
            let pass = try #require(sources["pass"]).path
            #expect(try Files.readText("\(pass)/p") == "x")
            let all = try #require(sources["all"]).path
            #expect(try Files.readText("\(all)/labels") == "app=\"shop\"")
            let scratch = try #require(sources["scratch"]).path
            #expect(try Files.attributes(scratch).mode & 0o7777 == 0o2777)
            #expect(Files.isDirectory("\(folder)/made"))

            // Again with a changed object: same mounts, new contents.
            let changed = try yaml("{kind: ConfigMap, data: {k: v2}}")
            _ = try await manager.setUp(
                pod, view: view(pod), lookups: Lookups(object: { _, name in name == "conf" ? changed : objects[name] }))
            #expect(try Files.readText("\(conf.path)/sub/k") == "v2")
            #expect(try MountTable.read().filter { $0.point.hasPrefix(folder + "/") }.count == 4)
        }
    }

    @Test func refusals() async throws {
        try await withFolder { (folder: String) async throws in
            for (volume, message) in [
                (
                    "{name: v, configMap: {name: gone}}",
                    "MountVolume.SetUp failed for volume \"v\" : configmap \"gone\" not found"
                ),
                (
                    "{name: v, hostPath: {path: /nowhere, type: File}}",
                    "MountVolume.SetUp failed for volume \"v\" : hostPath type check failed: /nowhere is not a file"
                ),
                (
                    "{name: v, nfs: {server: x}}",
                    "MountVolume.SetUp failed for volume \"v\" : nfs volumes are not supported yet"
                ),
                // CVE-2024-10220, CVE-2025-1767: no git runs on this node.
                (
                    "{name: v, gitRepo: {repository: 'https://example.org/x'}}",
                    "MountVolume.SetUp failed for volume \"v\" : gitRepo volumes are not supported yet"
                ),
                (
                    "{name: v, projected: {sources: [{serviceAccountToken: {path: t}}]}}",
                    "MountVolume.SetUp failed for volume \"v\" : service account tokens need an API server"
                ),
            ] {
                let pod = try yaml("metadata: {name: web}\nspec: {volumes: [\(volume)]}")
                do {
                    _ = try await VolumeManager(podDirectory: folder).setUp(
                        pod, view: view(pod), lookups: Lookups(object: { _, _ in nil }))
                    Issue.record("mounted \(volume)")
                } catch {
                    #expect("\(error)" == message)
                }
            }
        }
    }
}

@Suite struct LogTests {
    static func line(_ second: Int, _ text: String, _ tag: String = "F", stream: String = "stdout") -> String {
        "2026-11-21T03:04:\(second < 10 ? "0" : "")\(second).000000000Z \(stream) \(tag) \(text)\n"
    }

    actor Text {
        var text = ""
        func add(_ bytes: [UInt8]) { text += String(decoding: bytes, as: UTF8.self) }
    }

    func read(
        _ folder: String, attempt: Int = 0, _ change: (inout ContainerLogOptions) -> Void = { _ in }
    ) async throws -> String {
        var options = ContainerLogOptions()
        change(&options)
        let text = Text()
        let nothing: @Sendable () -> AsyncStream<Void> = { AsyncStream { $0.finish() } }
        try await LogReader(directory: folder, options: options, pod: nothing) { _ in .over }.run(attempt: attempt) {
            await text.add($0)
        }
        return await text.text
    }

    func write(_ path: String, _ text: String) throws {
        let file = try FileDescriptor.open(path, [.write, .create, .append], mode: 0o600)
        try file.write(all: Array(text.utf8))
    }

    @Test func options() async throws {
        try await withFolder { (folder: String) async throws in
            try write("\(folder)/0.log.20261121-030400", Self.line(1, "one") + Self.line(2, "two"))
            try write(
                "\(folder)/0.log", Self.line(3, "th", "P") + Self.line(3, "ree") + Self.line(4, "err", stream: "stderr")
            )
            #expect(try await read(folder) == "one\ntwo\nthree\nerr\n")
            #expect(try await read(folder) { $0.tailLines = 1 } == "err\n")
            #expect(try await read(folder) { $0.tailLines = 4 } == "two\nthree\nerr\n")
            #expect(try await read(folder) { $0.tailLines = 0 } == "")
            #expect(try await read(folder) { $0.tailLines = 100 } == "one\ntwo\nthree\nerr\n")
            #expect(try await read(folder) { $0.limitBytes = 5 } == "one\nt")
            #expect(try await read(folder) { $0.stream = "Stderr" } == "err\n")
            #expect(
                try await read(folder) { $0.sinceTime = Timestamp(rfc3339: "2026-11-21T03:04:03Z") } == "three\nerr\n")
            #expect(
                try await read(folder) {
                    $0.timestamps = true; $0.tailLines = 1
                } == "2026-11-21T03:04:04.000000000Z err\n")
            #expect(try await read(folder, attempt: 7) == "")
        }
    }

    @Test(.timeLimit(.minutes(5))) func followingAcrossRotationAndRestart() async throws {
        try await withFolder { (folder: String) async throws in
            try write("\(folder)/0.log", Self.line(1, "one"))
            var options = ContainerLogOptions()
            options.follow = true
            let text = Text()
            let stage = Stage()
            let reader = LogReader(directory: folder, options: options, pod: stage.changed.changes) { attempt in
                switch (attempt, await stage.value) {
                case (0, 0): .more
                case (0, _): .next(attempt: 1)
                case (_, 2): .over
                default: .more
                }
            }
            async let reading: Void = reader.run(attempt: 0) { await text.add($0) }
            try await until { await text.text == "one\n" }
            try write("\(folder)/0.log", Self.line(2, "two"))
            try Files.rename("\(folder)/0.log", to: "\(folder)/0.log.20261121-030402")
            try write("\(folder)/0.log", Self.line(3, "three"))
            try await until { await text.text == "one\ntwo\nthree\n" }
            try write("\(folder)/1.log", Self.line(4, "four"))
            await stage.set(1)
            try await until { await text.text == "one\ntwo\nthree\nfour\n" }
            await stage.set(2)
            try await reading
        }
    }

    actor Stage {
        nonisolated let changed = ChangeSignal()
        var value = 0
        func set(_ new: Int) {
            value = new
            changed.signal()
        }
    }

    @Test(.timeLimit(.minutes(5))) func aStreamWaitsForItsReaderAndEndsWithIt() async throws {
        let emitted = Mutex(0)
        let ended = ChangeSignal()
        let over = ended.changes()
        var stream: AsyncThrowingStream<[UInt8], any Error>? = Handoff.stream { emit in
            defer { ended.signal() }
            while true {
                try await emit([1])
                emitted.withLock { $0 += 1 }
            }
        }
        var count = 0
        for try await piece in stream! {
            #expect(piece == [1])
            count += 1
            if count == 3 { break }
        }
        // Nothing was made that nobody took.
        #expect(emitted.withLock { $0 } <= 3)
        stream = nil
        for await _ in over { break }
        #expect(emitted.withLock { $0 } <= 3)
        // Cancelling in the moment of handing over: a lock held while resuming would stop both for ever.
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<2000 {
                group.addTask {
                    let stream = Handoff<Int>.stream { emit in while true { try await emit(1) } }
                    let reader = Task { for try await _ in stream {} }
                    await Task.yield()
                    reader.cancel()
                    _ = try? await reader.value
                }
            }
        }
        // A failure comes after what was emitted before it.
        struct Failure: Error {}
        let failing = Handoff<Int>.stream { emit in
            try await emit(1)
            throw Failure()
        }
        var seen: [Int] = []
        await #expect(throws: Failure.self) { for try await piece in failing { seen.append(piece) } }
        #expect(seen == [1])
    }
}

@Suite struct SecurityPlanTests {
    private func plan(_ context: String, _ image: ResolvedImage? = nil) throws -> SecurityPlan {
        try SecurityPlan(
            container: try yaml("{name: c, securityContext: \(context)}"),
            pod: try yaml("{metadata: {name: p, namespace: shop, uid: u}, spec: {nodeName: n1, containers: []}}"),
            image: image ?? ResolvedImage(id: "sha256:1", rootLayers: []))
    }

    @Test("CVE-2023-2431: a seccomp profile that cannot be used never means none", arguments: [
        "{type: Localhost}", "{type: Localhost, localhostProfile: ''}", "{type: Localhost, localhostProfile: a.json}",
        "{type: Nonsense}",
    ])
    func seccompIsNeverDroppedInSilence(profile: String) {
        #expect(throws: KubeletError.self) { try plan("{seccompProfile: \(profile)}") }
    }

    @Test func seccompUnlessAskedOtherwise() throws {
        #expect(try plan("{}").seccomp == .runtimeDefault)
        #expect(try plan("{seccompProfile: {type: RuntimeDefault}}").seccomp == .runtimeDefault)
        #expect(try plan("{seccompProfile: {type: Unconfined}}").seccomp == .unconfined)
    }

    @Test("CVE-2024-40635: runAsNonRoot is judged by the number that the process gets", arguments: [
        "0", "root", "4294967296", "4294967295", "-1", "00", "",
    ])
    func rootByAnyOtherName(user: String) throws {
        let image = ResolvedImage(id: "sha256:1", rootLayers: [], user: user)
        #expect(throws: KubeletError.self) { try plan("{runAsNonRoot: true}", image) }
    }

    @Test(arguments: [
        ("{runAsNonRoot: true}", "container has runAsNonRoot and image will run as root"),
        ("{runAsNonRoot: true, runAsUser: 0}", "container's runAsUser breaks non-root policy"),
    ])
    func rootIsRefusedByName(context: String, fault: String) throws {
        let error = try #require(throws: KubeletError.self) { try plan(context) }
        #expect("\(error)" == "\(fault) (pod: \"p_shop(u)\", container: c)")
    }

    @Test("CVE-2026-53488: what an image says of itself does not become a sandbox's or a container's annotation")
    func labelsStayInTheImage() {
        // There is no way for them: an image as the kubelet sees it has none.
        let fields = Mirror(reflecting: ResolvedImage(id: "", rootLayers: [])).children.compactMap(\.label)
        #expect(
            Set(fields) == [
                "id", "rootLayers", "entrypoint", "command", "environment", "workingDirectory", "user", "stopSignal",
            ])
    }
}

@Suite(.timeLimit(.minutes(5))) struct HostPathTests {
    @Test func aDeadFileSystemHoldsUpNobodyElse() async throws {
        let server = Gate<Void>()
        let asked = Mutex(0)
        let paths = HostPath(limit: .milliseconds(50)) { path, type in
            guard path.hasPrefix("/dead") else { return try HostPath.check(path, type: type) }
            asked.withLock { $0 += 1 }
            server.wait()
        }
        for _ in 0..<20 {
            await #expect(throws: KubeletError.self) { try await paths.verify("/dead/x", type: "Directory") }
        }
        // One thread waits for it, whatever the number of tries.
        try await until { asked.withLock { $0 } == 1 }
        // Within the limit, unless this machine itself is slow.
        try await until { (try? await paths.verify("/tmp", type: "Directory")) != nil }
        await #expect(throws: KubeletError.self) { try await paths.verify("/tmp", type: "File") }
        let waiting = Task {
            try await HostPath(limit: .seconds(3600)) { _, _ in server.wait() }.verify("/dead", type: "")
        }
        waiting.cancel()
        await #expect(throws: CancellationError.self) { try await waiting.value }
        #expect(asked.withLock { $0 } == 1)
        server.open(())
        try await until { (try? await paths.verify("/dead/x", type: "Directory")) != nil }
    }
}

/// Waits for something that other tasks bring about; a minute at most.
func until(_ condition: () async throws -> Bool) async throws {
    for _ in 0..<6000 {
        if try await condition() { return }
        try await Task.sleep(for: .milliseconds(10))
    }
    Issue.record("waited in vain")
}
