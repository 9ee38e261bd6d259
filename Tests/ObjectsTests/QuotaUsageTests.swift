// What objects count in a quota, and what a pod asks for in all.

import Objects
import Testing

@Suite struct QuotaUsageTests {
    private func container(_ name: String, cpu: String, limit: String? = nil, restart: String? = nil) -> JSON {
        var container: JSON = ["name": .string(name), "resources": ["requests": ["cpu": .string(cpu)]]]
        if let limit { container.set("resources", "limits", to: ["cpu": .string(limit)]) }
        if let restart { container["restartPolicy"] = .string(restart) }
        return container
    }

    @Test func aPodNeedsTheLargerOfItsTwoPhases() {
        let spec: JSON = [
            "containers": [container("a", cpu: "200m"), container("b", cpu: "300m")],
            "initContainers": [
                container("proxy", cpu: "100m", restart: "Always"), container("migrate", cpu: "1"),
            ],
            "overhead": ["cpu": "50m"],
        ]
        // migrate with the proxy started before it: 1100m; the rest together: 600m.
        #expect(PodResources.total(spec, "requests") == ["cpu": Quantity(milli: 1150)])
        #expect(PodResources.total(spec, "limits") == [:])
        var whole = spec
        whole.set("resources", "requests", to: ["cpu": "2"])
        #expect(PodResources.total(whole, "requests") == ["cpu": Quantity(milli: 2050)])
    }

    @Test func podsCountComputeUntilTheyEnd() {
        var pod: JSON = [
            "spec": [
                "containers": [
                    [
                        "name": "a",
                        "resources": [
                            "requests": ["memory": "1Gi", "example.com/gpu": "2", "hugepages-2Mi": "4Mi"],
                            "limits": ["memory": "2Gi"],
                        ],
                    ]
                ]
            ]
        ]
        #expect(
            QuotaUsage.of(.pods, pod).text
                == "count/pods=1,hugepages-2Mi=4Mi,limits.memory=2Gi,memory=1Gi,pods=1,requests.example.com/gpu=2,"
                + "requests.hugepages-2Mi=4Mi,requests.memory=1Gi")
        pod.set("status", "phase", to: "Failed")
        #expect(QuotaUsage.of(.pods, pod).text == "count/pods=1")
    }

    @Test func claimsAndServices() {
        let claim: JSON = ["spec": ["storageClassName": "fast", "resources": ["requests": ["storage": "5Gi"]]]]
        #expect(
            QuotaUsage.of(.persistentVolumeClaims, claim).text
                == "count/persistentvolumeclaims=1,fast.storageclass.storage.k8s.io/persistentvolumeclaims=1,"
                + "fast.storageclass.storage.k8s.io/requests.storage=5Gi,persistentvolumeclaims=1,requests.storage=5Gi")
        var service: JSON = ["spec": ["type": "LoadBalancer", "ports": [["port": 1], ["port": 2, "nodePort": 30001]]]]
        #expect(
            QuotaUsage.of(.services, service).text
                == "count/services=1,services=1,services.loadbalancers=1,services.nodeports=2")
        service.set("spec", "allocateLoadBalancerNodePorts", to: false)
        #expect(QuotaUsage.of(.services, service)["services.nodeports"] == Quantity(1))
        #expect(QuotaUsage.of(.deployments, [:]).text == "count/deployments.apps=1")
    }

    @Test func missingIsToldByResource() {
        let pod: JSON = [
            "spec": [
                "containers": [container("a", cpu: "1"), container("b", cpu: "1", limit: "1")],
                "initContainers": [["name": "i"]],
            ]
        ]
        #expect(
            QuotaUsage.missing(pod, hard: ["limits.cpu", "requests.cpu", "pods"])
                == "must specify limits.cpu for: a,i; requests.cpu for: i")
        #expect(QuotaUsage.missing(pod, hard: ["pods"]) == nil)
    }

    @Test func scopes() {
        let crossing: JSON = [
            "spec": [
                "priorityClassName": "high",
                "affinity": [
                    "podAntiAffinity": [
                        "requiredDuringSchedulingIgnoredDuringExecution": [["topologyKey": "x", "namespaces": ["other"]]]
                    ]
                ],
            ]
        ]
        func matches(_ scope: String, _ op: String, _ values: [String] = []) -> Bool {
            QuotaScopes([
                "scopeSelector": [
                    "matchExpressions": [
                        [
                            "scopeName": .string(scope), "operator": .string(op),
                            "values": .array(values.map { .string($0) }),
                        ]
                    ]
                ]
            ]).match(.pods, crossing)
        }
        #expect(matches("CrossNamespacePodAffinity", "Exists"))
        #expect(matches("PriorityClass", "In", ["high"]))
        #expect(!matches("PriorityClass", "NotIn", ["high"]))
        #expect(!matches("PriorityClass", "DoesNotExist"))
        #expect(!QuotaScopes(["scopes": ["NotBestEffort"]]).match(.pods, crossing))
        #expect(QuotaScopes(["scopes": ["BestEffort", "NotTerminating"]]).match(.pods, crossing))
        #expect(!QuotaScopes(["scopes": ["BestEffort"]]).match(.services, [:]))
        #expect(QuotaScopes(nil).match(.services, [:]))
    }
}
