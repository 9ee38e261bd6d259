// Admission of everything but pod security and quota: namespaces, accounts, priorities, classes, limits, nodes.

import APIServer
import HTTP
import Objects
import Testing

@Suite struct AdmissionTests {
    let pods = "/api/v1/namespaces/default/pods"

    @Test func namespacesComeFirst() async throws {
        let api = try await TestServer()
        let missing = await api.send("POST", "/api/v1/namespaces/nowhere/configmaps", configMap("c"))
        #expect(missing.status == 404)
        #expect(missing.message == "namespaces \"nowhere\" not found")
        for name in ["default", "kube-system", "kube-public"] {
            let kept = await api.send("DELETE", "/api/v1/namespaces/\(name)")
            #expect(kept.status == 403)
            #expect(kept.message == "namespaces \"\(name)\" is forbidden: this namespace may not be deleted")
        }
        await api.namespace("going")
        #expect(await api.send("DELETE", "/api/v1/namespaces/going").status == 200)
        let late = await api.send("POST", "/api/v1/namespaces/going/configmaps", configMap("c"))
        #expect(late.status == 403)
        #expect(
            late.message == "configmaps \"c\" is forbidden: unable to create new content in namespace going because "
                + "it is being terminated")
        #expect(late.json.at("details", "causes")?[0]?["reason"] == "NamespaceTerminating")
    }

    @Test func podsRunAsAnAccountThatExists() async throws {
        let api = try await TestServer()
        let account: JSON = [
            "metadata": ["name": "robot"], "imagePullSecrets": [["name": "registry"]],
        ]
        #expect(await api.send("POST", "/api/v1/namespaces/default/serviceaccounts", account).status == 201)
        var named = pod("p")
        named.set("spec", "serviceAccountName", to: "robot")
        let created = await api.send("POST", pods, named)
        #expect(created.json.at("spec", "imagePullSecrets") == [["name": "registry"]])

        #expect(await api.send("DELETE", "/api/v1/namespaces/default/serviceaccounts/default").status == 200)
        let orphan = await api.send("POST", pods, pod("q"))
        #expect(orphan.status == 403)
        #expect(
            orphan.message == "pods \"q\" is forbidden: error looking up service account default/default: "
                + "serviceaccount \"default\" not found")

        var mirror = pod("m")
        mirror.set("metadata", "annotations", "kubernetes.io/config.mirror", to: "x")
        mirror.set("spec", "serviceAccountName", to: "robot")
        let refused = await api.send("POST", pods, mirror)
        #expect(refused.message == "pods \"m\" is forbidden: a mirror pod may not reference service accounts")
    }

    @Test func containersFindATokenUnlessSomebodySaysNo() async throws {
        let api = try await TestServer()
        var object = pod("p")
        let own: JSON = ["name": "own", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"]
        object.set("spec", "volumes", to: [["name": "own", "emptyDir": [:]]])
        object.set(
            "spec", "containers",
            to: [["name": "a", "image": "demo:1"], ["name": "b", "image": "demo:1", "volumeMounts": [own]]])
        let spec = await api.send("POST", pods, object).json["spec"]
        let volume = try #require(spec?["volumes"]?[1])
        let name = volume["name"]?.string ?? ""
        #expect(name.hasPrefix("kube-api-access-") && name.utf8.count == "kube-api-access-".utf8.count + 5)
        #expect(volume.at("projected", "defaultMode") == 420)
        #expect(
            volume.at("projected", "sources") == [
                ["serviceAccountToken": ["path": "token", "expirationSeconds": 3607]],
                ["configMap": ["name": "kube-root-ca.crt", "items": [["key": "ca.crt", "path": "ca.crt"]]]],
                [
                    "downwardAPI": [
                        "items": [
                            ["path": "namespace", "fieldRef": ["apiVersion": "v1", "fieldPath": "metadata.namespace"]]
                        ]
                    ]
                ],
            ])
        #expect(
            spec?["containers"]?[0]?["volumeMounts"] == [
                [
                    "name": .string(name), "readOnly": true,
                    "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
                ]
            ])
        // What is mounted there already stays.
        #expect(spec?["containers"]?[1]?["volumeMounts"] == [own])

        var without = pod("q")
        without.set("spec", "automountServiceAccountToken", to: false)
        #expect(await api.send("POST", pods, without).json.at("spec", "volumes") == nil)
        let silent: JSON = ["metadata": ["name": "silent"], "automountServiceAccountToken": false]
        #expect(await api.send("POST", "/api/v1/namespaces/default/serviceaccounts", silent).status == 201)
        var quiet = pod("r")
        quiet.set("spec", "serviceAccountName", to: "silent")
        #expect(await api.send("POST", pods, quiet).json.at("spec", "volumes") == nil)
        quiet.set("metadata", "name", to: "s")
        quiet.set("spec", "automountServiceAccountToken", to: true)
        #expect(await api.send("POST", pods, quiet).json.at("spec", "volumes")?.array?.count == 1)
    }

    @Test func prioritiesComeFromClasses() async throws {
        let api = try await TestServer()
        let classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
        #expect(await api.send("GET", classes + "/system-node-critical").json["value"] == 2_000_001_000)
        let high: JSON = [
            "metadata": ["name": "high"], "value": 1000, "preemptionPolicy": "Never", "description": "",
        ]
        #expect(await api.send("POST", classes, high).status == 201)
        var urgent = pod("urgent")
        urgent.set("spec", "priorityClassName", to: "high")
        let created = await api.send("POST", pods, urgent)
        #expect(created.json.at("spec", "priority") == 1000)
        #expect(created.json.at("spec", "preemptionPolicy") == "Never")

        urgent.set("metadata", "name", to: "wrong")
        urgent.set("spec", "priority", to: 7)
        #expect(
            await api.send("POST", pods, urgent).message
                == "pods \"wrong\" is forbidden: the integer value of priority (7) must not be provided in pod spec; "
                + "priority admission controller computed 1000 from the given PriorityClass name")
        urgent.set("spec", "priority", to: nil)
        urgent.set("spec", "priorityClassName", to: "none")
        #expect(
            await api.send("POST", pods, urgent).message
                == "pods \"wrong\" is forbidden: no PriorityClass with name none was found")

        let usual: JSON = ["metadata": ["name": "usual"], "value": 5, "globalDefault": true]
        #expect(await api.send("POST", classes, usual).status == 201)
        let plain = await api.send("POST", pods, pod("plain"))
        #expect(plain.json.at("spec", "priorityClassName") == "usual")
        #expect(plain.json.at("spec", "priority") == 5)
        let second: JSON = ["metadata": ["name": "second"], "value": 6, "globalDefault": true]
        #expect(
            await api.send("POST", classes, second).message
                == "priorityclasses.scheduling.k8s.io \"second\" is forbidden: PriorityClass usual is already marked "
                + "as default. Only one default can exist")
    }

    @Test func limitRangesFillInAndHold() async throws {
        let api = try await TestServer()
        let range: JSON = [
            "metadata": ["name": "limits"],
            "spec": [
                "limits": [
                    [
                        "type": "Container", "default": ["cpu": "500m"], "defaultRequest": ["cpu": "100m"],
                        "min": ["cpu": "50m"], "max": ["cpu": "1"], "maxLimitRequestRatio": ["cpu": "8"],
                    ],
                    ["type": "Pod", "max": ["cpu": "1500m"]],
                    ["type": "PersistentVolumeClaim", "min": ["storage": "1Gi"], "max": ["storage": "2Gi"]],
                ]
            ],
        ]
        #expect(await api.send("POST", "/api/v1/namespaces/default/limitranges", range).status == 201)
        let filled = await api.send("POST", pods, pod("p"))
        #expect(
            filled.json.at("spec", "containers")?[0]?["resources"]
                == ["limits": ["cpu": "500m"], "requests": ["cpu": "100m"]])
        #expect(
            filled.json.at("metadata", "annotations", "kubernetes.io/limit-ranger")
                == "LimitRanger plugin set: cpu request for container main; cpu limit for container main")

        func refusal(_ requests: String, _ limits: String) async -> String {
            var object = pod("q")
            object.set(
                "spec", "containers",
                to: [[
                    "name": "main", "image": "demo:1",
                    "resources": ["requests": ["cpu": .string(requests)], "limits": ["cpu": .string(limits)]],
                ]])
            return await api.send("POST", pods, object).message
        }
        let prefix = "pods \"q\" is forbidden: "
        #expect(
            await refusal("600m", "2")
                == prefix + "[maximum cpu usage per Container is 1, but limit is 2, maximum cpu usage per Pod is "
                + "1500m, but limit is 2]")
        #expect(await refusal("10m", "60m") == prefix + "minimum cpu usage per Container is 50m, but request is 10m")
        #expect(
            await refusal("100m", "900m")
                == prefix + "cpu max limit to request ratio per Container is 8, but provided ratio is 9.000000")

        let claim: JSON = [
            "metadata": ["name": "c"],
            "spec": ["accessModes": ["ReadWriteOnce"], "resources": ["requests": ["storage": "3Gi"]]],
        ]
        #expect(
            await api.send("POST", "/api/v1/namespaces/default/persistentvolumeclaims", claim).message
                == "persistentvolumeclaims \"c\" is forbidden: maximum storage usage per PersistentVolumeClaim is "
                + "2Gi, but request is 3Gi")
    }

    @Test func claimsGetClassAndProtection() async throws {
        let api = try await TestServer()
        let claims = "/api/v1/namespaces/default/persistentvolumeclaims"
        let standard: JSON = [
            "metadata": [
                "name": "standard", "annotations": ["storageclass.kubernetes.io/is-default-class": "true"],
            ], "provisioner": "example.com/disk",
        ]
        #expect(await api.send("POST", "/apis/storage.k8s.io/v1/storageclasses", standard).status == 201)
        func claim(_ name: String) -> JSON {
            [
                "metadata": ["name": .string(name)],
                "spec": ["accessModes": ["ReadWriteOnce"], "resources": ["requests": ["storage": "1Gi"]]],
            ]
        }
        let made = await api.send("POST", claims, claim("a"))
        #expect(made.json.at("spec", "storageClassName") == "standard")
        #expect(made.json.at("metadata", "finalizers") == ["kubernetes.io/pvc-protection"])
        var none = claim("b")
        none.set("spec", "storageClassName", to: "")
        #expect(await api.send("POST", claims, none).json.at("spec", "storageClassName") == "")

        let grown: JSON = ["spec": ["resources": ["requests": ["storage": "2Gi"]]]]
        let merge: HTTPHeaders = ["Content-Type": "application/merge-patch+json"]
        #expect(
            await api.send("PATCH", claims + "/a", grown, headers: merge).message
                == "PersistentVolumeClaim \"a\" is invalid: spec: Forbidden: spec is immutable after creation except "
                + "resources.requests and volumeAttributesClassName for bound claims")
        #expect(
            await api.send("PATCH", claims + "/a/status", ["status": ["phase": "Bound"]], headers: merge).status
                == 200)
        #expect(
            await api.send("PATCH", claims + "/a", grown, headers: merge).message
                == "persistentvolumeclaims \"a\" is forbidden: only dynamically provisioned pvc can be resized and "
                + "the storageclass that provisions the pvc must support resize")
    }

    @Test func runtimeClassesBringOverheadAndPlace() async throws {
        let api = try await TestServer()
        let sandbox: JSON = [
            "metadata": ["name": "sandbox"], "handler": "sandbox", "overhead": ["podFixed": ["cpu": "250m"]],
            "scheduling": [
                "nodeSelector": ["kind": "virtual"],
                "tolerations": [["key": "virtual", "operator": "Exists", "effect": "NoSchedule"]],
            ],
        ]
        #expect(await api.send("POST", "/apis/node.k8s.io/v1/runtimeclasses", sandbox).status == 201)
        var object = pod("p")
        object.set("spec", "runtimeClassName", to: "sandbox")
        let made = await api.send("POST", pods, object)
        #expect(made.json.at("spec", "overhead") == ["cpu": "250m"])
        #expect(made.json.at("spec", "nodeSelector") == ["kind": "virtual"])
        #expect(made.json.at("spec", "tolerations")?.array?.count == 3)
        object.set("metadata", "name", to: "q")
        object.set("spec", "nodeSelector", to: ["kind": "metal"])
        #expect(await api.send("POST", pods, object).status == 403)
        object.set("spec", "runtimeClassName", to: "other")
        #expect(
            await api.send("POST", pods, object).message
                == "pods \"q\" is forbidden: pod rejected: RuntimeClass \"other\" not found")
        var bare = pod("r")
        bare.set("spec", "overhead", to: ["cpu": "1"])
        #expect(
            await api.send("POST", pods, bare).message
                == "pods \"r\" is forbidden: pod rejected: Pod Overhead set without corresponding RuntimeClass "
                + "defined Overhead")
    }

    // MARK: - Nodes

    private func kubelet(_ node: String) -> Peer {
        Peer(
            address: "127.0.0.1",
            certificate: ClientCertificate(
                commonName: "system:node:\(node)", organizations: ["system:nodes", "system:masters"]))
    }

    @Test func nodesStartTainted() async throws {
        let api = try await TestServer()
        let node = await api.send("POST", "/api/v1/nodes", ["metadata": ["name": "n1"]])
        #expect(node.json.at("spec", "taints") == [["key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"]])
    }

    @Test func aKubeletWritesOnlyWhatIsItsOwn() async throws {
        let api = try await TestServer()
        let merge: HTTPHeaders = ["Content-Type": "application/merge-patch+json"]
        #expect(
            await api.send(
                "POST", "/api/v1/nodes", ["metadata": ["name": "n1", "labels": ["kubernetes.io/os": "linux"]]],
                peer: kubelet("n1")
            ).status == 201)
        let other = await api.send("POST", "/api/v1/nodes", ["metadata": ["name": "n2"]], peer: kubelet("n1"))
        #expect(other.status == 403)
        #expect(other.message == "nodes \"n2\" is forbidden: node \"n1\" is not allowed to modify node \"n2\"")
        let label: JSON = ["metadata": ["labels": ["node-restriction.kubernetes.io/tier": "secret"]]]
        #expect(
            await api.send("PATCH", "/api/v1/nodes/n1", label, headers: merge, peer: kubelet("n1")).message
                == "nodes \"n1\" is forbidden: is not allowed to modify labels: node-restriction.kubernetes.io/tier")
        #expect(
            await api.send(
                "PATCH", "/api/v1/nodes/n1", ["spec": ["taints": []]], headers: merge, peer: kubelet("n1")
            ).message == "nodes \"n1\" is forbidden: node \"n1\" is not allowed to modify taints")

        #expect(await api.send("POST", pods, pod("mine", node: "n1")).status == 201)
        #expect(await api.send("POST", pods, pod("theirs", node: "n2")).status == 201)
        let status: JSON = ["status": ["phase": "Running"]]
        #expect(
            await api.send("PATCH", pods + "/mine/status", status, headers: merge, peer: kubelet("n1")).status == 200)
        #expect(
            await api.send("PATCH", pods + "/theirs/status", status, headers: merge, peer: kubelet("n1")).message
                == "pods \"theirs\" is forbidden: node \"n1\" can only update pod status for pods with spec.nodeName "
                + "set to itself")
        #expect(await api.send("DELETE", pods + "/theirs", peer: kubelet("n1")).status == 403)
        #expect(
            await api.send("POST", pods, pod("own", node: "n1"), peer: kubelet("n1")).message
                == "pods \"own\" is forbidden: pod does not have \"kubernetes.io/config.mirror\" annotation, node "
                + "\"n1\" can only create mirror pods")
        #expect(
            await api.send(
                "POST", pods + "/theirs/eviction", ["metadata": ["name": "theirs"]], peer: kubelet("n1")
            ).status == 403)

        let tokens = "/api/v1/namespaces/default/serviceaccounts/default/token"
        func token(_ pod: String) async -> Answer {
            let uid = await api.send("GET", pods + "/" + pod).json.at("metadata", "uid") ?? ""
            let reference: JSON = ["apiVersion": "v1", "kind": "Pod", "name": .string(pod), "uid": uid]
            return await api.send("POST", tokens, ["spec": ["boundObjectRef": reference]], peer: kubelet("n1"))
        }
        #expect(await token("mine").status == 201)
        #expect(
            await token("theirs").message
                == "serviceaccounts \"default\" is forbidden: node requested token bound to a pod scheduled on a "
                + "different node")
        #expect(
            await api.send("POST", tokens, ["spec": [:]], peer: kubelet("n1")).message
                == "serviceaccounts \"default\" is forbidden: node requested token not bound to a pod")

        let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        #expect(
            await api.send("POST", leases, ["metadata": ["name": "n1"], "spec": [:]], peer: kubelet("n1")).status
                == 201)
        #expect(
            await api.send("POST", leases, ["metadata": ["name": "n2"], "spec": [:]], peer: kubelet("n1")).status
                == 403)
    }
}
