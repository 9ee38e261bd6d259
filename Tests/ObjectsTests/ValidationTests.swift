// Validation: the words and paths that users of Kubernetes know.

import Objects
import System
import Testing

/// Errors of a new object, after defaults and what the server decides.
func errors(_ id: ResourceID, _ text: String) throws -> [String] {
    let declaration = try declaration(id)
    var object = try declaration.decode(object(text)).object
    declaration.prepareForCreate(&object, uid: "u", now: Timestamp(seconds: 0))
    return declaration.validateCreate(object).map(\.description)
}

/// Errors of a change of a stored object.
func errors(
    _ id: ResourceID, _ text: String, changed: (inout JSON) -> Void, target: WriteTarget = .main
) throws -> [String] {
    let declaration = try declaration(id)
    var old = try declaration.decode(object(text)).object
    declaration.prepareForCreate(&old, uid: "u", now: Timestamp(seconds: 0))
    var new = old
    changed(&new)
    new = try declaration.decode(new).object
    declaration.prepareForUpdate(&new, old: old, target: target)
    return declaration.validateUpdate(new, old: old, target: target).map(\.description)
}

let podText = #"{"metadata":{"name":"a","namespace":"d"},"spec":{"containers":[{"name":"a","image":"x"}]}}"#
let deploymentText = """
    {"metadata":{"name":"a","namespace":"d"},"spec":{"selector":{"matchLabels":{"app":"a"}},"template":{
      "metadata":{"labels":{"app":"a"}},"spec":{"containers":[{"name":"a","image":"x"}]}}}}
    """
let serviceText = #"{"metadata":{"name":"a","namespace":"d"},"spec":{"clusterIP":"10.43.0.9","ports":[{"port":80}]}}"#

@Suite struct ValidationTests {
    @Test func goodObjectsPass() throws {
        #expect(try errors(.pods, podText) == [])
        #expect(try errors(.deployments, deploymentText) == [])
        #expect(try errors(.replicaSets, deploymentText) == [])
        #expect(try errors(.services, serviceText) == [])
        #expect(try errors(.namespaces, #"{"metadata":{"name":"a"}}"#) == [])
        #expect(try errors(.configMaps, #"{"metadata":{"name":"a","namespace":"d"},"data":{"a.b":"c"}}"#) == [])
        #expect(
            try errors(.events, #"{"metadata":{"name":"a","namespace":"d"},"involvedObject":{"namespace":"d"}}"#) == [])
    }

    @Test func metadata() throws {
        #expect(
            try errors(.configMaps, #"{"metadata":{"namespace":"d"}}"#) == [
                "metadata.name: Required value: name or generateName is required"
            ])
        #expect(
            try errors(.configMaps, #"{"metadata":{"name":"A_b","namespace":"d"}}"#) == [
                "metadata.name: Invalid value: \"A_b\": a lowercase RFC 1123 subdomain must consist of lower case "
                    + "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character "
                    + "(e.g. 'example.com', regex used for validation is "
                    + "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ])
        let labelled = try errors(
            .configMaps, #"{"metadata":{"name":"a","namespace":"d","labels":{"a b":"c d"},"finalizers":["x"]}}"#)
        #expect(labelled.count == 3)
        #expect(labelled[0].hasPrefix("metadata.labels: Invalid value: \"a b\": name part must consist of"))
        #expect(labelled[1].hasPrefix("metadata.labels: Invalid value: \"c d\": a valid label must be"))
        #expect(
            labelled[2]
                == "metadata.finalizers: Invalid value: \"x\": name is neither a standard finalizer name nor is it fully qualified"
        )
        #expect(
            try errors(.namespaces, #"{"metadata":{"name":"a","namespace":"d"}}"#) == [
                "metadata.namespace: Forbidden: not allowed on this type"
            ])
        let owned = try errors(
            .configMaps,
            #"{"metadata":{"name":"a","namespace":"d","ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"p"}]}}"#
        )
        #expect(owned == ["metadata.ownerReferences.uid: Invalid value: \"\": uid must not be empty"])
        let renamed = try errors(
            .configMaps, #"{"metadata":{"name":"a","namespace":"d"}}"#, changed: { $0.set("metadata", "name", to: "b") }
        )
        #expect(renamed == ["metadata.name: Invalid value: \"b\": field is immutable"])
    }

    @Test func generatedNames() throws {
        let declaration = try declaration(.pods)
        var pod = try object(#"{"metadata":{"generateName":"web-"}}"#)
        declaration.prepareForCreate(&pod, uid: "u", now: Timestamp(seconds: 0))
        let name = try #require(pod.at("metadata", "name")?.string)
        #expect(name.hasPrefix("web-") && name.utf8.count == 9)
    }

    @Test func containers() throws {
        #expect(
            try errors(.deployments, deploymentText.replacing(#""name":"a","image":"x""#, #""image":"x""#)) == [
                "spec.template.spec.containers[0].name: Required value"
            ])
        #expect(
            try errors(.pods, #"{"metadata":{"name":"a","namespace":"d"},"spec":{"containers":[]}}"#) == [
                "spec.containers: Required value"
            ])
        let bad = try errors(
            .pods,
            """
            {"metadata":{"name":"a","namespace":"d"},"spec":{"restartPolicy":"Sometimes","containers":[
             {"name":"a","image":"x","imagePullPolicy":"Maybe","ports":[{"containerPort":70000},{"containerPort":0}],
              "volumeMounts":[{"name":"none","mountPath":"/x"}],
              "resources":{"requests":{"cpu":"2"},"limits":{"cpu":"1"}},"livenessProbe":{"periodSeconds":-1},
              "env":[{"name":"A","value":"b","valueFrom":{"fieldRef":{"fieldPath":"spec.nothing"}}}]},
             {"name":"a"}]}}
            """)
        #expect(
            bad == [
                "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
                "spec.containers[0].ports[1].containerPort: Required value",
                "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"spec.nothing\": "
                    + "error converting fieldPath: field label not supported: spec.nothing",
                "spec.containers[0].env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty",
                "spec.containers[0].volumeMounts[0].name: Not found: \"none\"",
                "spec.containers[0].imagePullPolicy: Unsupported value: \"Maybe\": supported values: \"Always\", "
                    + "\"IfNotPresent\", \"Never\"",
                "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
                "spec.containers[0].livenessProbe: Required value: must specify a handler type",
                "spec.containers[0].livenessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0",
                "spec.containers[1].name: Duplicate value: \"a\"",
                "spec.containers[1].image: Required value",
                "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"Never\", \"OnFailure\"",
            ])
    }

    @Test func resourceNames() throws {
        let pod = podText.replacing(#""image":"x""#, #""image":"x","resources":{"limits":{"pids":"1"}}"#)
        #expect(
            try errors(.pods, pod) == [
                "spec.containers[0].resources.limits[pids]: Invalid value: \"pids\": must be a standard resource type or "
                    + "fully qualified",
                "spec.containers[0].resources.limits[pids]: Invalid value: \"pids\": must be a standard resource for containers",
                "spec.containers[0].resources.requests[pids]: Invalid value: \"pids\": must be a standard resource type or "
                    + "fully qualified",
                "spec.containers[0].resources.requests[pids]: Invalid value: \"pids\": must be a standard resource for containers",
            ])
    }

    @Test func podUpdates() throws {
        #expect(
            try errors(.pods, podText, changed: { $0.modifyContainer { $0["image"] = "y" } }) == [])
        let changed = try errors(.pods, podText, changed: { $0.modifyContainer { $0["workingDir"] = "/" } })
        #expect(changed.count == 1)
        #expect(
            changed[0].hasPrefix(
                "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"))
        let added = try errors(.pods, podText, changed: { $0.set("spec", "tolerations", to: [["operator": "Exists"]]) })
        #expect(added == [])
        let more = try errors(
            .pods, podText,
            changed: { pod in
                pod.set(
                    "spec", "containers",
                    to: .array((pod.at("spec", "containers")?.array ?? []) + [["name": "b", "image": "x"]]))
            })
        #expect(more == ["spec.containers: Forbidden: pod updates may not add or remove containers"])
    }

    @Test func deployments() throws {
        let moved = try errors(
            .deployments, deploymentText, changed: { $0.set("spec", "selector", "matchLabels", "app", to: "b") })
        #expect(
            moved == [
                "spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does not match template `labels`",
                "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"b\"}}: field is immutable",
            ])
        let bad = try errors(
            .deployments, deploymentText,
            changed: { deployment in
                deployment.set("spec", "replicas", to: -1)
                deployment.set(
                    "spec", "strategy",
                    to: ["type": "RollingUpdate", "rollingUpdate": ["maxSurge": 0, "maxUnavailable": 0]])
                deployment.set("spec", "template", "spec", "restartPolicy", to: "Never")
            })
        #expect(
            bad == [
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
                "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0",
            ])
        #expect(
            try errors(
                .deployments,
                #"{"metadata":{"name":"a","namespace":"d"},"spec":{"template":{"spec":{"containers":[{"name":"a","image":"x"}]}}}}"#
            ) == ["spec.selector: Required value"])
    }

    @Test func services() throws {
        let bad = try errors(
            .services,
            #"{"metadata":{"name":"1a","namespace":"d"},"spec":{"type":"Pigeon","ports":[{"port":0},{"port":80,"name":"a","nodePort":5}]}}"#
        )
        #expect(bad[0].hasPrefix("metadata.name: Invalid value: \"1a\": a DNS-1035 label must consist of"))
        #expect(bad.contains("spec.ports[0].name: Required value"))
        #expect(bad.contains("spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"))
        #expect(
            bad.contains(
                "spec.ports[1].nodePort: Invalid value: 5: provided port is not in the valid range. The range of valid ports is 30000-32767"
            ))
        #expect(
            bad.contains(
                "spec.type: Unsupported value: \"Pigeon\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\""
            ))
        let moved = try errors(
            .services, serviceText,
            changed: { service in
                service.set("spec", "clusterIP", to: "10.43.0.10")
                service.set("spec", "clusterIPs", to: ["10.43.0.10"])
            })
        #expect(moved == ["spec.clusterIPs[0]: Invalid value: [\"10.43.0.10\"]: may not change once set"])
        // Left out, as in a manifest that is applied again: kept.
        let kept = try errors(
            .services, serviceText,
            changed: { service in
                for key in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                    service.set("spec", key, to: nil)
                }
            })
        #expect(kept == [])
    }

    @Test func dataOfConfigMapsAndSecrets() throws {
        let map = #"{"metadata":{"name":"a","namespace":"d"},"data":{"a":"b"},"immutable":true}"#
        #expect(
            try errors(.configMaps, map, changed: { $0.set("data", "a", to: "c") }) == [
                "data: Forbidden: field is immutable when `immutable` is set"
            ])
        #expect(
            try errors(.configMaps, #"{"metadata":{"name":"a","namespace":"d"},"data":{"a/b":"c"}}"#)[0].hasPrefix(
                "data[a/b]: Invalid value: \"a/b\": a valid config key must consist of"))
        let large = JSON.object(JSONObject([("a", .string(String(repeating: "x", count: 1 << 20 | 1)))]))
        let tooLong = try errors(
            .configMaps, #"{"metadata":{"name":"a","namespace":"d"}}"#, changed: { $0["data"] = large })
        #expect(tooLong == ["[]: Too long: may not be more than 1048576 bytes"])
        #expect(
            try errors(.secrets, #"{"metadata":{"name":"a","namespace":"d"},"type":"kubernetes.io/tls"}"#) == [
                "data[tls.crt]: Required value", "data[tls.key]: Required value",
            ])
        let retyped = try errors(
            .secrets, #"{"metadata":{"name":"a","namespace":"d"}}"#, changed: { $0["type"] = "x/y" })
        #expect(retyped == ["type: Invalid value: \"x/y\": field is immutable"])
    }

    @Test func endpointSlicesAndLeases() throws {
        let slice = try errors(
            .endpointSlices,
            #"{"metadata":{"name":"a","namespace":"d"},"addressType":"IPv4","endpoints":[{"addresses":["fd00::1"]},{"addresses":[]}],"ports":[{"port":80},{"port":81}]}"#
        )
        #expect(
            slice == [
                "endpoints[0].addresses[0]: Invalid value: \"fd00::1\": must be an IPv4 address",
                "endpoints[1].addresses: Required value: must contain at least 1 address",
                "ports[1].name: Duplicate value: \"\"",
            ])
        #expect(
            try errors(.leases, #"{"metadata":{"name":"a","namespace":"d"},"spec":{"leaseDurationSeconds":0}}"#) == [
                "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"
            ])
    }
}

extension String {
    fileprivate func replacing(_ part: String, _ other: String) -> String {
        guard let range = firstRange(of: part) else { return self }
        return String(self[..<range.lowerBound]) + other + String(self[range.upperBound...])
    }
}

extension JSON {
    fileprivate mutating func modifyContainer(_ body: (inout JSON) -> Void) {
        guard var containers = at("spec", "containers")?.array else { return }
        body(&containers[0])
        set("spec", "containers", to: .array(containers))
    }
}
