// Pod Security: standards by level and version, what each mode does, and namespaces that become stricter.

import APIServer
import HTTP
import Objects
import Testing

@Suite struct PodSecurityTests {
    private func namespace(_ api: TestServer, _ labels: [String: String]) async -> Answer {
        var prefixed: [String: String] = [:]
        for (key, value) in labels { prefixed["pod-security.kubernetes.io/" + key] = value }
        return await api.send(
            "POST", "/api/v1/namespaces", ["metadata": ["name": "safe", "labels": JSON(prefixed)]])
    }

    private let pods = "/api/v1/namespaces/safe/pods"

    private func hardened(_ name: String) -> JSON {
        var object = pod(name)
        object.set("spec", "securityContext", to: ["runAsNonRoot": true, "seccompProfile": ["type": "RuntimeDefault"]])
        object.set(
            "spec", "containers",
            to: [[
                "name": "main", "image": "demo:1",
                "securityContext": ["allowPrivilegeEscalation": false, "capabilities": ["drop": ["ALL"]]],
            ]])
        return object
    }

    @Test func restrictedSaysAllThatIsWrong() async throws {
        let api = try await TestServer()
        #expect(await namespace(api, ["enforce": "restricted"]).status == 201)
        let refused = await api.send("POST", pods, pod("x"))
        #expect(refused.status == 403)
        #expect(
            refused.message
                == "pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation != "
                + "false (container \"main\" must set securityContext.allowPrivilegeEscalation=false), unrestricted "
                + "capabilities (container \"main\" must set securityContext.capabilities.drop=[\"ALL\"]), "
                + "runAsNonRoot != true (pod or container \"main\" must set securityContext.runAsNonRoot=true), "
                + "seccompProfile (pod or container \"main\" must set securityContext.seccompProfile.type to "
                + "\"RuntimeDefault\" or \"Localhost\")")
        #expect(await api.send("POST", pods, hardened("y")).status == 201)
        // A dry run is judged all the same.
        #expect(await api.send("POST", pods + "?dryRun=All", pod("z")).status == 403)
    }

    @Test func baselineForbidsWaysOut() async throws {
        let api = try await TestServer()
        #expect(await namespace(api, ["enforce": "baseline"]).status == 201)
        #expect(await api.send("POST", pods, pod("plain")).status == 201)
        var open = pod("open")
        open.set("spec", "hostNetwork", to: true)
        open.set("spec", "volumes", to: [["name": "root", "hostPath": ["path": "/"]]])
        open.set(
            "spec", "containers",
            to: [[
                "name": "main", "image": "demo:1", "ports": [["containerPort": 80, "hostPort": 80]],
                "securityContext": ["privileged": true, "capabilities": ["add": ["SYS_ADMIN", "CHOWN"]]],
            ]])
        #expect(
            await api.send("POST", pods, open).message
                == "pods \"open\" is forbidden: violates PodSecurity \"baseline:latest\": non-default capabilities "
                + "(container \"main\" must not include \"SYS_ADMIN\" in securityContext.capabilities.add), host "
                + "namespaces (hostNetwork=true), hostPath volumes (volume \"root\"), hostPort (container \"main\" "
                + "uses hostPort 80), privileged (container \"main\" must not set securityContext.privileged=true)")
    }

    @Test func versionsDecideWhichChecksHold() async throws {
        let api = try await TestServer()
        #expect(await namespace(api, ["enforce": "baseline", "enforce-version": "v1.26"]).status == 201)
        var object = pod("p")
        object.set(
            "spec", "securityContext",
            to: ["sysctls": [["name": "net.ipv4.ip_local_reserved_ports", "value": "8080"]]])
        #expect(
            await api.send("POST", pods, object).message
                == "pods \"p\" is forbidden: violates PodSecurity \"baseline:v1.26\": forbidden sysctls "
                + "(net.ipv4.ip_local_reserved_ports)")
        let newer: JSON = ["metadata": ["labels": ["pod-security.kubernetes.io/enforce-version": "v1.27"]]]
        #expect(
            await api.send(
                "PATCH", "/api/v1/namespaces/safe", newer, headers: ["Content-Type": "application/merge-patch+json"]
            ).status == 200)
        #expect(await api.send("POST", pods, object).status == 201)
    }

    @Test func warningsForPodsAndForWhatMakesThem() async throws {
        let api = try await TestServer()
        #expect(await namespace(api, ["warn": "baseline", "warn-version": "v1.30"]).status == 201)
        var host = pod("p")
        host.set("spec", "hostPID", to: true)
        let warning = "299 - \"would violate PodSecurity \\\"baseline:v1.30\\\": host namespaces (hostPID=true)\""
        let made = await api.send("POST", pods, host)
        #expect(made.status == 201)
        #expect(made.headers["Warning"] == warning)
        let deployment: JSON = [
            "metadata": ["name": "d"],
            "spec": [
                "selector": ["matchLabels": ["a": "b"]],
                "template": [
                    "metadata": ["labels": ["a": "b"]],
                    "spec": ["hostPID": true, "containers": [["name": "main", "image": "demo:1"]]],
                ],
            ],
        ]
        let workload = await api.send("POST", "/apis/apps/v1/namespaces/safe/deployments", deployment)
        #expect(workload.status == 201)
        #expect(workload.headers["Warning"] == warning)
        #expect(await api.send("POST", pods, pod("q")).headers["Warning"] == nil)
    }

    @Test func namespacesAreChecked() async throws {
        let api = try await TestServer()
        let wrong = await namespace(api, ["enforce": "strict", "warn-version": "1.2"])
        #expect(wrong.status == 422)
        #expect(
            wrong.message
                == "Namespace \"safe\" is invalid: [metadata.labels[pod-security.kubernetes.io/enforce]: Invalid "
                + "value: \"strict\": must be one of privileged, baseline, restricted, "
                + "metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: \"1.2\": must be "
                + "\"latest\" or \"v1.x\"]")
        #expect(await namespace(api, [:]).status == 201)
        for name in ["b", "a"] {
            var object = pod(name)
            object.set("spec", "hostIPC", to: true)
            #expect(await api.send("POST", pods, object).status == 201)
        }
        let stricter = await api.send(
            "PATCH", "/api/v1/namespaces/safe",
            ["metadata": ["labels": ["pod-security.kubernetes.io/enforce": "baseline"]]],
            headers: ["Content-Type": "application/merge-patch+json"])
        #expect(stricter.status == 200)
        #expect(
            stricter.headers.filter { $0.name == "Warning" }.map(\.value) == [
                "299 - \"existing pods in namespace \\\"safe\\\" violate the new PodSecurity enforce level "
                    + "\\\"baseline:latest\\\"\"",
                "299 - \"a (and 1 other pod): host namespaces\"",
            ])
        // What is there already may still be labelled.
        let label = await api.send(
            "PATCH", pods + "/a", ["metadata": ["labels": ["x": "y"]]],
            headers: ["Content-Type": "application/merge-patch+json"])
        #expect(label.status == 200)
    }
}
