// Typical mistakes in kinds that are seldom written by hand: what is refused, and where it says the mistake is.

import Objects
import System
import Testing

@Suite struct RefusedKindsTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let id: ResourceID
        let yaml: String
        let errors: [String]
        var testDescription: String { "\(id.resource): \(yaml)" }

        init(_ id: ResourceID, _ yaml: String, _ errors: String...) {
            (self.id, self.yaml, self.errors) = (id, yaml, errors)
        }
    }

    private static let task = "template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}"
    private static let volume = "capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce]"
    private static let hook = "name: a.b.c, sideEffects: None, admissionReviewVersions: [v1]"
    private static let pool = "pool: {name: p, generation: 1, resourceSliceCount: 1}"

    static let devices: [Case] = [
        Case(.resourceClaims, "{requests: [{name: r, exactly: {deviceClassName: a.b}}]}"),
        Case(
            .resourceClaims, "{requests: [{name: r}]}",
            "requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required"),
        Case(
            .resourceClaims, "{requests: [{name: r, exactly: {}}]}",
            "requests[0].exactly.deviceClassName: Required value"),
        Case(
            .resourceClaims, "{requests: [{name: r, exactly: {deviceClassName: a.b, allocationMode: X}}]}",
            #"requests[0].exactly.allocationMode: Unsupported value: "X": supported values: "All", "ExactCount""#),
        Case(
            .resourceClaims, "{requests: [{name: r, exactly: {deviceClassName: a.b, count: -1}}]}",
            "requests[0].exactly.count: Invalid value: -1: must be greater than zero"),
        Case(
            .resourceClaims, "{requests: [{name: r, exactly: {deviceClassName: a.b, allocationMode: All, count: 2}}]}",
            "requests[0].exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'"),
        Case(
            .resourceClaims,
            "{requests: [{name: r, exactly: {deviceClassName: a.b}}, {name: r, exactly: {deviceClassName: a.b}}]}",
            #"requests[1].name: Duplicate value: "r""#),
        Case(
            .resourceClaims,
            "{requests: [{name: r, exactly: {deviceClassName: a.b, selectors: [{}]}}], config: [{requests: [z]}]}",
            "requests[0].exactly.selectors[0].cel: Required value",
            #"config[0].requests[0]: Invalid value: "z": must be the name of a request in the claim"#,
            "config[0].opaque: Required value"),
        Case(
            .resourceClaims,
            "{requests: [{name: r, firstAvailable: [{name: s, deviceClassName: a.b}]}], "
                + "constraints: [{requests: [r/s, r/t], matchAttribute: a.b/c}]}",
            #"constraints[0].requests[1]: Invalid value: "r/t": must be the name of a request in the claim"#),
    ]

    static let cases: [Case] = [
        Case(.deviceClasses, "spec: {selectors: [{}]}", "spec.selectors[0].cel: Required value"),
        Case(.resourceSlices, "spec: {driver: a.b, nodeName: one, \(pool)}"),
        Case(
            .resourceSlices, "spec: {driver: a.b, \(pool)}",
            "spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` "
                + "is required"),
        Case(
            .resourceSlices, "spec: {driver: a.b, nodeName: one, \(pool), devices: [{name: a}, {name: a}]}",
            #"spec.devices[1].name: Duplicate value: "a""#),
        Case(
            .csiNodes, "spec: {drivers: [{name: a.b, nodeID: x}, {name: a.b, nodeID: ''}]}",
            "spec.drivers[1].nodeID: Required value", #"spec.drivers[1].name: Duplicate value: "a.b""#),
        Case(
            .csiStorageCapacities, "{storageClassName: x, capacity: '-1'}",
            #"capacity: Invalid value: "-1": must be greater than or equal to 0"#),
        Case(
            .csiDrivers, "spec: {tokenRequests: [{audience: a}, {audience: a, expirationSeconds: 5}]}",
            #"spec.tokenRequests[1].audience: Duplicate value: "a""#,
            "spec.tokenRequests[1].expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes"
        ),
        Case(
            .volumeAttributesClasses, "driverName: a.b",
            "parameters: Required value: must contain at least one key/value pair"),
        Case(
            .persistentVolumes, "spec: {\(volume), csi: {driver: '', volumeHandle: ''}}",
            "spec.csi.driver: Required value", "spec.csi.volumeHandle: Required value"),
        Case(
            .persistentVolumes, "spec: {\(volume), nfs: {server: '', path: b}}",
            "spec.nfs.server: Required value", #"spec.nfs.path: Invalid value: "b": must be an absolute path"#),
        Case(
            .persistentVolumes,
            "spec: {\(volume), hostPath: {path: /x}, nodeAffinity: {required: {nodeSelectorTerms: []}}}",
            "spec.nodeAffinity.required.nodeSelectorTerms: Required value: must have at least one node selector term"),
        Case(
            .persistentVolumeClaims,
            "spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}, dataSource: {kind: ''}}",
            "spec.dataSource.name: Required value", "spec.dataSource.kind: Required value"),
        Case(
            .jobs, "spec: {managedBy: x, \(task)}",
            #"spec.managedBy: Invalid value: "x": must be a domain-prefixed path (such as "acme.io/foo")"#),
        Case(
            .jobs, "spec: {completionMode: Indexed, completions: 3, maxFailedIndexes: 5, \(task)}",
            "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
            "spec.maxFailedIndexes: Invalid value: 5: must be less than or equal to completions"),
        Case(
            .jobs, "spec: {successPolicy: {rules: []}, \(task)}",
            #"spec.successPolicy: Invalid value: {"rules":[]}: requires indexed completion mode"#),
        Case(
            .limitRanges, "spec: {limits: [{type: X}]}",
            #"spec.limits[0].type: Invalid value: "X": must be a standard limit type or fully qualified"#),
        Case(
            .serviceCIDRs, "spec: {cidrs: [10.0.0.0/24, 10.1.0.0/24]}",
            #"spec.cidrs: Invalid value: ["10.0.0.0/24","10.1.0.0/24"]: may specify no more than one IP for each IP "#
                + "family, i.e 192.168.0.0/24 and 2001:db8::/64"),
        Case(
            .endpointSlices,
            "{addressType: IPv4, endpoints: [{addresses: [10.0.0.1], hints: {forZones: [{name: a b}]}}]}",
            #"endpoints[0].hints.forZones[0].name: Invalid value: "a b": "# + Names.labelValue("a b")[0]),
        Case(
            .flowSchemas,
            "spec: {priorityLevelConfiguration: {name: x}, matchingPrecedence: 1, rules: [{subjects: []}]}",
            "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
            "spec.rules[0].subjects: Required value: subjects must contain at least one value",
            "spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty"),
        Case(
            .priorityLevelConfigurations,
            "spec: {type: Limited, limited: {lendablePercent: 101, "
                + "limitResponse: {type: Queue, queuing: {queues: 2}}}}",
            "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
            "spec.limited.limitResponse.queuing.handSize: Invalid value: 8: should not be greater than queues (2)"),
        Case(
            .validatingAdmissionPolicyBindings,
            "spec: {policyName: x, paramRef: {parameterNotFoundAction: Deny}, validationActions: [Deny, Deny]}",
            "spec.paramRef: Required value: one of name or selector must be specified",
            #"spec.validationActions[1]: Duplicate value: "Deny""#),
        Case(
            .validatingWebhookConfigurations, "webhooks: [{\(hook), clientConfig: {url: 'https://u@x/?a#b'}}]",
            #"webhooks[0].clientConfig.url: Invalid value: "b": fragments are not permitted in the URL"#,
            #"webhooks[0].clientConfig.url: Invalid value: "a": query parameters are not permitted in the URL"#,
            #"webhooks[0].clientConfig.url: Invalid value: "u": user information is not permitted in the URL"#),
        Case(
            .mutatingWebhookConfigurations,
            "webhooks: [{\(hook), clientConfig: {url: 'https://x'}, matchConditions: [{name: '', expression: ''}]}]",
            "webhooks[0].matchConditions[0].expression: Required value",
            "webhooks[0].matchConditions[0].name: Required value"),
        Case(
            .services, "spec: {ports: [{port: 80}], healthCheckNodePort: 5, trafficDistribution: X}",
            "spec.healthCheckNodePort: Invalid value: 5: may only be set when `type` is 'LoadBalancer' and "
                + "`externalTrafficPolicy` is 'Local'",
            "spec.trafficDistribution: Unsupported value: \"X\": supported values: \"PreferClose\", "
                + "\"PreferSameNode\", \"PreferSameZone\""),
    ]

    private func decoded(_ id: ResourceID, _ yaml: String) throws -> JSON {
        let body = try #require(try YAML.parse(yaml).first)
        var object = try declaration(id).decode(body).object
        object.set("metadata", "name", to: "x")
        if try declaration(id).isNamespaced { object.set("metadata", "namespace", to: "d") }
        try declaration(id).prepareForCreate(&object, uid: "u1", now: Timestamp(rfc3339: "2026-11-21T12:00:00Z")!)
        return object
    }

    @Test(arguments: cases) func refused(_ mistake: Case) throws {
        let object = try decoded(mistake.id, mistake.yaml)
        #expect(try declaration(mistake.id).validateCreate(object).map(\.description) == mistake.errors)
    }

    @Test(arguments: devices) func devicesOfClaimsAndTemplates(_ mistake: Case) throws {
        for (id, yaml, path) in [
            (ResourceID.resourceClaims, "spec: {devices: \(mistake.yaml)}", "spec.devices."),
            (ResourceID.resourceClaimTemplates, "spec: {spec: {devices: \(mistake.yaml)}}", "spec.spec.devices."),
        ] {
            let object = try decoded(id, yaml)
            let wanted = mistake.errors.map { path + $0 }
            #expect(try declaration(id).validateCreate(object).map(\.description) == wanted)
        }
    }

    @Test func claimsSayHowManyAndStay() throws {
        let yaml = "spec: {devices: {requests: [{name: r, exactly: {deviceClassName: a.b}}]}}"
        let claim = try decoded(.resourceClaims, yaml)
        let request = claim.at("spec", "devices", "requests")?.array?.first?["exactly"]
        #expect(request == ["allocationMode": "ExactCount", "count": 1, "deviceClassName": "a.b"])
        let declaration = try declaration(.resourceClaims)
        // One that was stored before there were defaults may be written again.
        var plain = claim
        plain["spec"] = try #require(try YAML.parse(yaml).first?["spec"])
        #expect(plain != claim)
        #expect(declaration.validateUpdate(claim, old: plain).isEmpty)
        var changed = claim
        changed.set("spec", "devices", "requests", to: [])
        let errors = declaration.validateUpdate(changed, old: claim).map(\.description)
        #expect(errors.count == 1)
        #expect(errors.first?.hasPrefix("spec: Invalid value: ") == true)
    }
}
