// Rows of the less common kinds, as kubectl prints them, and that every row has as many cells as its kind has columns.

import Objects
import System
import Testing

@Suite struct TableKindTests {
    private let now = Timestamp(rfc3339: "2026-11-21T12:00:00Z")!

    private func row(_ id: ResourceID, _ yaml: String) throws -> [String] {
        let declaration = try declaration(id)
        let metadata = "metadata: {name: x, namespace: d, creationTimestamp: 2026-11-21T11:55:00Z}\n"
        let object = try #require(try YAML.parse(metadata + yaml).first)
        return TableRow.cells(for: declaration.gvk, object, now: now).map { $0.string ?? $0.text }
    }

    @Test func everyRowFitsItsColumns() throws {
        for declaration in Registry.builtIn {
            let cells = TableRow.cells(for: declaration.gvk, ["metadata": ["name": "x"]], now: now)
            #expect(cells.count == declaration.columns.count, "\(declaration.id)")
        }
    }

    @Test(
        arguments: [
            (
                .jobs, "spec: {completions: 3}\nstatus: {succeeded: 1, startTime: 2026-11-21T11:58:00Z}",
                ["x", "Running", "1/3", "2m", "5m", "", "", "<none>"]
            ),
            (
                .jobs, "spec: {parallelism: 2}\nstatus: {conditions: [{type: Suspended, status: 'True'}]}",
                ["x", "Suspended", "0/1 of 2", "", "5m", "", "", "<none>"]
            ),
            (
                .cronJobs, "spec: {schedule: '* * * * *', suspend: false}\nstatus: {active: [{}]}",
                ["x", "* * * * *", "<none>", "False", "1", "<none>", "5m", "", "", "<none>"]
            ),
            (
                .statefulSets, "spec: {replicas: 2, template: {spec: {containers: [{name: a, image: i}]}}}",
                ["x", "0/2", "5m", "a", "i"]
            ),
            (
                .daemonSets, "status: {desiredNumberScheduled: 2, numberReady: 1}",
                ["x", "2", "0", "1", "0", "0", "<none>", "5m", "", "", "<none>"]
            ),
            (
                .ingresses, "spec: {rules: [{host: a}, {host: b}, {host: c}, {host: d}], tls: [{}]}",
                ["x", "<none>", "a,b,c + 1 more...", "", "80, 443", "5m"]
            ),
            (.networkPolicies, "spec: {podSelector: {matchLabels: {a: b}}}", ["x", "a=b", "5m"]),
            (
                .endpoints, "subsets: [{addresses: [{ip: 10.0.0.1}, {ip: 10.0.0.2}], ports: [{port: 80}, {port: 81}]}]",
                ["x", "10.0.0.1:80,10.0.0.2:80,10.0.0.1:81 + 1 more...", "5m"]
            ),
            (
                .persistentVolumes,
                "spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteMany, ReadWriteOnce], claimRef: {namespace: team, name: c}}\nstatus: {phase: Bound}",
                ["x", "1Gi", "RWO,RWX", "", "Bound", "team/c", "", "<unset>", "", "5m", "<unset>"]
            ),
            (
                .persistentVolumeClaims, "spec: {storageClassName: s}\nstatus: {phase: Pending}",
                ["x", "Pending", "", "", "", "s", "<unset>", "5m", "<unset>"]
            ),
            (
                .podDisruptionBudgets, "spec: {minAvailable: 50%}\nstatus: {disruptionsAllowed: 1}",
                ["x", "50%", "N/A", "1", "5m"]
            ),
            (
                .horizontalPodAutoscalersV1,
                "apiVersion: autoscaling/v1\nspec: {scaleTargetRef: {kind: Deployment, name: w}, targetCPUUtilizationPercentage: 70, maxReplicas: 4}",
                ["x", "Deployment/w", "cpu: <unknown>/70%", "<unset>", "4", "0", "5m"]
            ),
            (
                .roleBindings,
                "roleRef: {kind: Role, name: r}\nsubjects: [{kind: User, name: u}, {kind: ServiceAccount, namespace: team, name: s}]",
                ["x", "Role/r", "5m", "u", "", "team/s"]
            ),
            (
                .resourceQuotas, "status: {hard: {limits.cpu: '2', pods: '4'}, used: {pods: '1'}}",
                ["x", "pods: 1/4", "limits.cpu: 0/2", "5m"]
            ),
            (
                .certificateSigningRequests,
                "spec: {signerName: s, username: u, expirationSeconds: 3600}\nstatus: {conditions: [{type: Approved}], certificate: YQ==}",
                ["x", "5m", "s", "u", "60m", "Approved,Issued"]
            ),
        ] as [(ResourceID, String, [String])]) func rows(id: ResourceID, yaml: String, cells: [String]) throws
    {
        #expect(try row(id, yaml) == cells)
    }

    @Test func autoscalersKeepEverythingThroughTheirOldView() throws {
        let object = try #require(
            try YAML.parse(
                """
                apiVersion: autoscaling/v2
                kind: HorizontalPodAutoscaler
                metadata: {name: x, annotations: {mine: kept}}
                spec:
                  maxReplicas: 4
                  scaleTargetRef: {kind: Deployment, name: w}
                  metrics:
                  - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 60}}}
                  - {type: Pods, pods: {metric: {name: m, selector: {matchLabels: {a: b}}}, target: {type: AverageValue, averageValue: 10}}}
                  - type: Object
                    object: {describedObject: {kind: Ingress, name: i}, metric: {name: r}, target: {type: Value, value: 2k}}
                  behavior: {scaleDown: {selectPolicy: Min, policies: [{type: Pods, value: 1, periodSeconds: 60}]}}
                status: {currentReplicas: 1, desiredReplicas: 2, conditions: [{type: AbleToScale, status: 'True'}]}
                """
            ).first)
        let strategy = try declaration(.horizontalPodAutoscalersV1).strategy
        let shown = strategy.fromStorage(object)
        #expect(shown.at("spec", "targetCPUUtilizationPercentage") == 60 && shown.at("spec", "metrics") == nil)
        #expect(strategy.toStorage(shown) == object)
    }
}
