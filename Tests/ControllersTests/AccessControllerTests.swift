// Aggregated roles, token Secrets and certificate requests: the controllers behind who may do what.

import APIServer
import Client
import Objects
import System
import Testing

@testable import Controllers

@Suite struct RoleAggregationTests {
    private func role(_ name: String, labels: JSON = [:], resources: JSON) -> JSON {
        [
            "metadata": ["name": .string(name), "labels": labels],
            "rules": [["apiGroups": [""], "resources": resources, "verbs": ["get"]]],
        ]
    }

    @Test func anAggregateHoldsTheRulesOfAllThatMatch() {
        let aggregate: JSON = [
            "metadata": ["name": "all"],
            "aggregationRule": [
                "clusterRoleSelectors": [["matchLabels": ["a": "1"]], ["matchExpressions": [["key": "b", "operator": "Exists"]]]]
            ],
        ]
        let roles = [
            role("z", labels: ["a": "1"], resources: ["pods"]), role("y", labels: ["b": ""], resources: ["nodes"]),
            role("x", labels: ["a": "2"], resources: ["secrets"]), role("w", labels: ["a": "1"], resources: ["pods"]),
            aggregate,
        ]
        let rules = ClusterRoleAggregationController.rules(of: aggregate, from: roles)
        #expect(rules.map { $0["resources"] } == [["pods"], ["nodes"]])
    }

    @Test func theDefaultRolesGrowWithLabelledOnes() async throws {
        try await Cluster.run { cluster in
            try await cluster.eventually("view can list pods") {
                let view = try await cluster.client.get(.clusterRoles, ObjectKey(name: "view"))
                return (view["rules"]?.array ?? []).contains { $0["resources"]?.strings?.contains("pods") == true }
            }
            _ = try await cluster.client.create(
                .clusterRoles,
                [
                    "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
                    "metadata": ["name": "things-view", "labels": ["rbac.authorization.k8s.io/aggregate-to-view": "true"]],
                    "rules": [["apiGroups": ["example.com"], "resources": ["things"], "verbs": ["get"]]],
                ])
            // edit gathers view, admin gathers edit.
            for name in ["view", "edit", "admin"] {
                try await cluster.eventually("\(name) has the new rule") {
                    let role = try await cluster.client.get(.clusterRoles, ObjectKey(name: name))
                    return (role["rules"]?.array ?? []).contains { $0["apiGroups"] == ["example.com"] }
                }
            }
        }
    }
}

@Suite struct TokenSecretTests {
    @Test func aSecretOfNoAccountIsDeleted() async throws {
        try await Cluster.run { cluster in
            _ = try await cluster.client.create(
                .secrets,
                [
                    "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
                    "metadata": [
                        "name": "t", "namespace": "default", "annotations": ["kubernetes.io/service-account.name": "nobody"],
                    ],
                ])
            try await cluster.eventually("the Secret is gone") {
                try await cluster.client.list(.secrets, namespace: "default").items.isEmpty
            }
        }
    }
}

@Suite struct CertificateRequestTests {
    private let kubelet = CertificateRequest(commonName: "system:node:n1", organizations: ["system:nodes"])

    @Test func signersKeepTheirRules() {
        let client = ["digital signature", "client auth"]
        #expect(KubernetesSigner.kubeletClient.problem(kubelet, usages: client) == nil)
        #expect(KubernetesSigner.kubeletClient.problem(kubelet, usages: client + ["key encipherment"]) == nil)
        #expect(KubernetesSigner.kubeletClient.problem(kubelet, usages: client + ["server auth"]) != nil)
        var named = kubelet
        named.dnsNames = ["n1"]
        #expect(KubernetesSigner.kubeletClient.problem(named, usages: client) == "DNS subjectAltNames are not allowed")
        let server = ["digital signature", "server auth"]
        #expect(KubernetesSigner.kubeletServing.problem(named, usages: server) == nil)
        #expect(KubernetesSigner.kubeletServing.problem(kubelet, usages: server) == "DNS or IP subjectAltName is required")
        let jane = CertificateRequest(commonName: "jane", organizations: ["dev"])
        #expect(KubernetesSigner.kubeletClient.problem(jane, usages: client) != nil)
        #expect(KubernetesSigner.client.problem(jane, usages: ["client auth"]) == nil)
        #expect(KubernetesSigner.client.problem(jane, usages: ["server auth"]) != nil)
        let root = CertificateRequest(commonName: "root", organizations: ["system:masters"])
        #expect(KubernetesSigner.client.problem(root, usages: ["client auth"]) != nil)
    }

    @Test func oldRequestsGo() {
        let start = Timestamp(seconds: 1_000_000)
        func end(_ conditions: JSON, certificate: JSON? = nil) -> Int64? {
            var object: JSON = [
                "metadata": ["creationTimestamp": .string(start.rfc3339)], "status": ["conditions": conditions],
            ]
            object.set("status", "certificate", to: certificate)
            return CertificateCleaner.end(of: CertificateRequestState(object)).map { $0 - start.seconds }
        }
        let later = JSON.string(start.advanced(by: .seconds(100)).rfc3339)
        #expect(end([]) == 86_400)
        #expect(end([["type": "Denied", "lastUpdateTime": later]]) == 3700)
        #expect(end([["type": "Approved", "lastUpdateTime": later]]) == 86_500)
        #expect(end([["type": "Approved", "lastUpdateTime": later]], certificate: "eA==") == 3700)
    }
}
