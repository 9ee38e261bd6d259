// Typed views: defaults on reading, omission on writing, and that nothing unknown is lost.

import Objects
import System
import Testing

@Suite struct ViewTests {
    @Test func readsWithDefaults() throws {
        let pod = Pod(
            try #require(
                try YAML.parse(
                    """
                    metadata: {name: web, namespace: prod, labels: {app: web}, deletionTimestamp: 2026-11-21T12:00:00Z}
                    spec:
                      containers:
                      - name: c
                        env:
                        - {name: A, value: x}
                        - {name: B, valueFrom: {configMapKeyRef: {name: cm, key: k, optional: true}}}
                        - {name: C, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
                        envFrom: [{prefix: P_, secretRef: {name: s}}]
                        resources: {requests: {cpu: 100m, memory: 1Gi}}
                        ports: [{name: http, containerPort: 8080}]
                        readinessProbe: {httpGet: {port: http}, periodSeconds: 2}
                        volumeMounts: [{name: v, mountPath: /x, subPath: a}]
                      volumes:
                      - {name: v, configMap: {name: cm, items: [{key: k, path: p}]}}
                      - {name: w}
                      tolerations: [{operator: Exists}]
                    """
                ).first))
        #expect(pod.metadata.isDeleted)
        #expect(pod.metadata.deletionTimestamp?.rfc3339 == "2026-11-21T12:00:00Z")
        let spec = pod.spec
        #expect(spec.restartPolicy == "Always" && spec.dnsPolicy == "ClusterFirst" && spec.enableServiceLinks)
        #expect(spec.gracePeriod == 30 && !spec.hostNetwork)
        let container = try #require(spec.containers.first)
        #expect(container.env.map(\.name) == ["A", "B", "C"])
        #expect(container.env[1].valueFrom?.configMapKeyRef?.optional == true)
        #expect(container.env[2].valueFrom?.fieldRef?.fieldPath == "status.podIP")
        #expect(container.envFrom.first?.secretRef?.name == "s")
        #expect(container.resources.requests["memory"]?.value == 1 << 30)
        #expect(container.ports.first?.protocol == "TCP")
        #expect(container.livenessProbe == nil)
        let probe = try #require(container.readinessProbe)
        #expect((probe.periodSeconds, probe.timeoutSeconds, probe.failureThreshold) == (2, 1, 3))
        #expect(probe.httpGet?.port == "http" && probe.httpGet?.path == "/")
        #expect(spec.volumes.map(\.source) == ["configMap", ""])
        #expect(spec.volumes[0].configMap?.items.first?.path == "p")
    }

    @Test func writesWithoutLosingAnything() throws {
        var pod = Pod(
            try JSON.parse(
                #"{"metadata":{"name":"a","x":1},"spec":{"containers":[{"name":"c","new":true}]},"zzz":[1]}"#))
        pod.metadata.labels["a"] = "b"
        pod.metadata.finalizers = []
        pod.spec.nodeName = "n1"
        pod.spec.containers[0].image = "i"
        pod.status.phase = "Running"
        pod.status.podIPs = [IPItem(["ip": "10.0.0.1"])]
        pod.status.conditions = [Condition(type: "Ready", status: "True", now: Timestamp(seconds: 0))]
        #expect(
            pod.json.text
                == #"{"metadata":{"labels":{"a":"b"},"name":"a","x":1},"spec":{"containers":[{"image":"i","name":"c","new":true}],"nodeName":"n1"},"status":{"conditions":[{"lastTransitionTime":"1970-01-01T00:00:00Z","status":"True","type":"Ready"}],"phase":"Running","podIPs":[{"ip":"10.0.0.1"}]},"zzz":[1]}"#
        )
        pod.spec.nodeName = ""
        pod.metadata.labels = [:]
        #expect(pod.json.at("spec", "nodeName") == nil && pod.json.at("metadata", "labels") == nil)
        #expect(pod.status.condition("Ready")?.isTrue == true)
    }

    @Test func ownersAndLeases() {
        var set = ReplicaSet(namespace: "d", name: "rs")
        set.metadata.uid = "u"
        let owner = OwnerReference(controller: set)
        #expect(
            owner.json.text
                == #"{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"ReplicaSet","name":"rs","uid":"u"}"#
        )
        var pod = Pod(namespace: "d", name: "p")
        pod.metadata.ownerReferences = [owner]
        #expect(pod.metadata.controller?.uid == "u")
        var lease = Lease(namespace: "kube-node-lease", name: "n")
        lease.spec.renewTime = Timestamp(seconds: 1, nanoseconds: 5000)
        #expect(lease.json.at("spec", "renewTime") == "1970-01-01T00:00:01.000005Z")
        #expect(lease.spec.renewTime == Timestamp(seconds: 1, nanoseconds: 5000))
        var secret = Secret(namespace: "d", name: "s")
        secret.data = ["a": Array("hi".utf8)]
        #expect(secret.json["data"] == ["a": "aGk="])
        #expect(
            DeleteOptions(gracePeriodSeconds: 0, uid: "u").json == [
                "gracePeriodSeconds": 0, "preconditions": ["uid": "u"],
            ])
    }

    @Test func tolerations() {
        let taint = Taint("k", value: "v", effect: "NoSchedule")
        func tolerates(_ json: JSON) -> Bool { Toleration(json).tolerates(taint) }
        #expect(tolerates(["operator": "Exists"]))
        #expect(tolerates(["key": "k", "operator": "Exists"]))
        #expect(tolerates(["key": "k", "value": "v"]))
        #expect(tolerates(["key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"]))
        #expect(!tolerates(["key": "k", "value": "w"]))
        #expect(!tolerates(["key": "k", "operator": "Exists", "effect": "NoExecute"]))
        #expect(!tolerates(["key": "x", "operator": "Exists"]))
        #expect(!tolerates([:]))
    }
}
