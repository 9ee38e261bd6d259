// What kubectl get prints: durations, the pod's status column in its many states, and a row of every kind.

import Objects
import System
import Testing

@Suite struct TableTests {
    private let now = Timestamp(rfc3339: "2026-11-21T12:00:00Z")!

    private func row(_ kind: GroupVersionKind, _ yaml: String) throws -> [String] {
        let object = try #require(try YAML.parse(yaml).first)
        return TableRow.cells(for: kind, object, now: now).map { $0.string ?? $0.text }
    }

    @Test(
        arguments: [
            (-2, "<invalid>"), (-1, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (123, "2m3s"), (599, "9m59s"),
            (600, "10m"),
            (10799, "179m"), (10800, "3h"), (10860, "3h1m"), (28799, "7h59m"), (28800, "8h"), (172799, "47h"),
            (172800, "2d"),
            (183600, "2d3h"), (691200, "8d"), (62_985_600, "729d"), (63_072_000, "2y"), (63_158_400, "2y1d"),
            (300_000_000, "9y"),
        ] as [(Int64, String)]) func durations(seconds: Int64, text: String)
    {
        #expect(HumanDuration.text(seconds: seconds) == text)
    }

    /// Status of a pod with two containers and two init containers: phase, then the fields of its status.
    private func podStatus(_ status: String, deleted: Bool = false) throws -> [String] {
        let deletion = deleted ? ", deletionTimestamp: 2026-11-21T12:00:30Z" : ""
        return Array(
            try row(
                .pod,
                """
                metadata: {name: p, creationTimestamp: 2026-11-21T11:55:00Z\(deletion)}
                spec:
                  nodeName: n1
                  initContainers: [{name: i1}, {name: i2}]
                  containers: [{name: a}, {name: b}]
                status: \(status)
                """)[1...3])
    }

    @Test(
        arguments: [
            ("{phase: Pending}", "0/2", "Pending", "0"),
            (
                "{phase: Pending, conditions: [{type: PodScheduled, status: 'False', reason: SchedulingGated}]}", "0/2",
                "SchedulingGated", "0"
            ),
            (
                "{phase: Pending, initContainerStatuses: [{name: i1, state: {running: {}}}, {name: i2, state: {waiting: {reason: PodInitializing}}}]}",
                "0/2", "Init:0/2", "0"
            ),
            (
                "{phase: Pending, initContainerStatuses: [{name: i1, state: {terminated: {exitCode: 0}}}, {name: i2, state: {running: {}}}]}",
                "0/2", "Init:1/2", "0"
            ),
            (
                "{phase: Pending, initContainerStatuses: [{name: i1, restartCount: 3, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {finishedAt: '2026-11-21T11:58:55Z'}}}]}",
                "0/2", "Init:CrashLoopBackOff", "3 (65s ago)"
            ),
            (
                "{phase: Pending, initContainerStatuses: [{name: i1, state: {terminated: {exitCode: 1}}}]}", "0/2",
                "Init:ExitCode:1", "0"
            ),
            (
                "{phase: Pending, initContainerStatuses: [{name: i1, state: {terminated: {exitCode: 137, signal: 9}}}]}",
                "0/2", "Init:Signal:9", "0"
            ),
            (
                "{phase: Pending, initContainerStatuses: [{name: i1, state: {terminated: {exitCode: 1, reason: Error}}}]}",
                "0/2", "Init:Error", "0"
            ),
            (
                "{phase: Pending, containerStatuses: [{name: a, state: {waiting: {reason: ContainerCreating}}}, {name: b, state: {waiting: {reason: ContainerCreating}}}]}",
                "0/2", "ContainerCreating", "0"
            ),
            (
                "{phase: Pending, containerStatuses: [{name: a, state: {waiting: {reason: ImagePullBackOff}}}, {name: b, ready: true, state: {running: {}}}]}",
                "1/2", "ImagePullBackOff", "0"
            ),
            (
                "{phase: Running, containerStatuses: [{name: a, ready: true, state: {running: {}}}, {name: b, ready: true, restartCount: 1, state: {running: {}}}]}",
                "2/2", "Running", "1"
            ),
            (
                "{phase: Running, containerStatuses: [{name: a, ready: true, restartCount: 2, state: {running: {}}, lastState: {terminated: {finishedAt: '2026-11-21T11:57:00Z'}}}, {name: b, state: {waiting: {reason: CrashLoopBackOff}}, restartCount: 5, lastState: {terminated: {finishedAt: '2026-11-21T11:59:00Z'}}}]}",
                "1/2", "CrashLoopBackOff", "7 (60s ago)"
            ),
            (
                "{phase: Running, containerStatuses: [{name: a, state: {terminated: {exitCode: 0, reason: Completed}}}, {name: b, ready: true, state: {running: {}}}]}",
                "1/2", "NotReady", "0"
            ),
            (
                "{phase: Running, conditions: [{type: Ready, status: 'True'}], containerStatuses: [{name: a, state: {terminated: {exitCode: 0, reason: Completed}}}, {name: b, ready: true, state: {running: {}}}]}",
                "1/2", "Running", "0"
            ),
            (
                "{phase: Failed, containerStatuses: [{name: a, state: {terminated: {exitCode: 2}}}, {name: b, state: {terminated: {exitCode: 0, reason: Completed}}}]}",
                "0/2", "ExitCode:2", "0"
            ),
            ("{phase: Failed, reason: Evicted}", "0/2", "Evicted", "0"),
        ] as [(String, String, String, String)]) func podStates(
            status: String, ready: String, state: String, restarts: String
        ) throws
    {
        #expect(try podStatus(status) == [ready, state, restarts])
    }

    @Test func deletedPods() throws {
        #expect(try podStatus("{phase: Running}", deleted: true)[1] == "Terminating")
        #expect(try podStatus("{phase: Running, reason: NodeLost}", deleted: true)[1] == "Unknown")
        #expect(try podStatus("{phase: Succeeded}", deleted: true)[1] == "Succeeded")
    }

    @Test func sidecarsCount() throws {
        #expect(
            try row(
                .pod,
                """
                metadata: {name: p, creationTimestamp: 2026-11-21T11:55:00Z}
                spec: {initContainers: [{name: s, restartPolicy: Always}], containers: [{name: a}], readinessGates: [{conditionType: g}, {conditionType: h}]}
                status:
                  phase: Running
                  podIPs: [{ip: 10.42.0.5}, {ip: fd00::5}]
                  conditions: [{type: Initialized, status: 'True'}, {type: g, status: 'True'}]
                  initContainerStatuses: [{name: s, started: true, ready: true, restartCount: 2, state: {running: {}}}]
                  containerStatuses: [{name: a, ready: true, state: {running: {}}}]
                """) == ["p", "2/2", "Running", "2", "5m", "10.42.0.5", "<none>", "<none>", "1/2"])
    }

    @Test func workloads() throws {
        #expect(
            try row(
                .deployment,
                """
                metadata: {name: web, creationTimestamp: 2026-11-20T12:00:00Z}
                spec:
                  replicas: 3
                  selector: {matchLabels: {app: web}}
                  template: {spec: {containers: [{name: a, image: x:1}, {name: b, image: z}]}}
                status: {readyReplicas: 2, updatedReplicas: 3, availableReplicas: 2}
                """) == ["web", "2/3", "3", "2", "24h", "a,b", "x:1,z", "app=web"])
        #expect(
            try row(
                .replicaSet,
                """
                metadata: {name: web-1}
                spec: {replicas: 3, selector: {matchExpressions: [{key: a, operator: Exists}]}, template: {spec: {containers: []}}}
                status: {replicas: 2, readyReplicas: 1}
                """) == ["web-1", "3", "2", "1", "<unknown>", "", "", "a"])
    }

    @Test func services() throws {
        let common = "metadata: {name: s, creationTimestamp: 2026-11-21T11:59:59Z}\nspec: "
        func service(_ spec: String, _ status: String = "{}") throws -> [String] {
            try row(.service, common + spec + "\nstatus: \(status)")
        }
        #expect(
            try service(
                "{type: ClusterIP, clusterIP: 10.43.0.9, clusterIPs: [10.43.0.9], ports: [{port: 80, protocol: TCP}], selector: {b: '2', a: '1'}}"
            )
                == ["s", "ClusterIP", "10.43.0.9", "<none>", "80/TCP", "1s", "a=1,b=2"])
        #expect(
            try service(
                "{type: NodePort, clusterIP: 10.43.0.9, ports: [{port: 80, nodePort: 30080, protocol: TCP}, {port: 53, protocol: UDP}]}"
            )
                == ["s", "NodePort", "10.43.0.9", "<none>", "80:30080/TCP,53/UDP", "1s", "<none>"])
        #expect(try service("{type: LoadBalancer, clusterIP: 10.43.0.9}")[3] == "<pending>")
        #expect(try service("{type: LoadBalancer}", "{loadBalancer: {ingress: [{ip: 1.2.3.4}]}}")[3] == "1.2.3.4")
        #expect(
            try service("{type: ExternalName, externalName: a.example}") == [
                "s", "ExternalName", "<none>", "a.example", "<none>", "1s", "<none>",
            ])
        #expect(try service("{clusterIP: None}")[2] == "None")
        #expect(
            try row(
                .endpointSlice,
                """
                metadata: {name: s-1}
                addressType: IPv4
                ports: [{port: 80}, {name: dyn}]
                endpoints: [{addresses: [10.0.0.1, 10.0.0.2]}, {addresses: [10.0.0.3]}, {addresses: [10.0.0.4]}]
                """) == ["s-1", "IPv4", "80,dyn", "10.0.0.1,10.0.0.2,10.0.0.3 + 1 more...", "<unknown>"])
        #expect(try row(.endpointSlice, "metadata: {name: e}\naddressType: IPv4")[2] == "<unset>")
    }

    @Test func nodes() throws {
        #expect(
            try row(
                .node,
                """
                metadata: {name: n1, labels: {node-role.kubernetes.io/worker: "", node-role.kubernetes.io/control-plane: "true"}}
                spec: {unschedulable: true}
                status:
                  conditions: [{type: Ready, status: 'True'}]
                  addresses: [{type: InternalIP, address: 10.0.0.1}, {type: Hostname, address: n}]
                  nodeInfo: {kubeletVersion: v1.36.0, osImage: Debian, kernelVersion: 6.1.0, containerRuntimeVersion: 'noded://0.1'}
                """) == [
                    "n1", "Ready,SchedulingDisabled", "control-plane,worker", "<unknown>", "v1.36.0", "10.0.0.1",
                    "<none>", "Debian", "6.1.0", "noded://0.1",
                ])
        #expect(
            try row(.node, "metadata: {name: n}\nstatus: {conditions: [{type: Ready, status: Unknown}]}")[1...2] == [
                "NotReady", "<none>",
            ])
        #expect(try row(.node, "metadata: {name: n}")[1] == "Unknown")
    }

    @Test func smallKinds() throws {
        #expect(try row(.namespace, "metadata: {name: d}\nstatus: {phase: Active}") == ["d", "Active", "<unknown>"])
        #expect(
            try row(.configMap, "metadata: {name: c}\ndata: {a: x, b: y}\nbinaryData: {c: aGk=}") == [
                "c", "3", "<unknown>",
            ])
        #expect(
            try row(.secret, "metadata: {name: s}\ntype: Opaque\ndata: {a: aGk=}") == ["s", "Opaque", "1", "<unknown>"])
        #expect(try row(.serviceAccount, "metadata: {name: s}") == ["s", "<unknown>"])
        #expect(try row(.lease, "metadata: {name: l}\nspec: {holderIdentity: n1}") == ["l", "n1", "<unknown>"])
        #expect(
            try row(
                .event,
                """
                metadata: {name: e.1}
                involvedObject: {kind: Pod, name: web, fieldPath: 'spec.containers{a}'}
                type: Warning
                reason: BackOff
                message: " text "
                source: {component: kubelet, host: n1}
                firstTimestamp: 2026-11-21T11:50:00Z
                lastTimestamp: 2026-11-21T11:59:00Z
                count: 4
                """) == [
                    "60s", "Warning", "BackOff", "pod/web", "spec.containers{a}", "kubelet, n1", "text", "10m", "4",
                    "e.1",
                ])
        #expect(
            try row(
                .event,
                """
                metadata: {name: e.2}
                involvedObject: {kind: Node}
                reportingComponent: noded
                eventTime: 2026-11-21T11:59:30.000000Z
                """) == ["30s", "", "", "node", "", "noded", "", "30s", "1", "e.2"])
        #expect(
            try row(
                GroupVersionKind(group: "x", version: "v1", kind: "Y"), "metadata: {name: q, creationTimestamp: '2026'}"
            ) == ["q", "2026"])
    }
}
