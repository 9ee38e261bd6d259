// LimitRange, ResourceQuota and PriorityClass: defaults and rules.

import Objects
import Testing

@Suite struct PolicyRulesTests {
    private func errors(_ id: ResourceID, _ object: JSON) throws -> [String] {
        let declaration = try #require(Registry.standard.find(id))
        var whole = object
        if whole["metadata"] == nil { whole["metadata"] = ["name": "x", "namespace": "default"] }
        return declaration.validateCreate(try declaration.decode(whole).object).map(\.description)
    }

    @Test func limitRangesFillTheirOwnDefaults() throws {
        let declaration = try #require(Registry.standard.find(.limitRanges))
        let item: JSON = ["type": "Container", "max": ["cpu": "2", "memory": "1Gi"], "min": ["storage": "1"],
                          "default": ["cpu": "1"]]
        let made = try declaration.decode(["metadata": ["name": "l"], "spec": ["limits": [item]]]).object
        let filled = made.at("spec", "limits")?[0]
        #expect(filled?["default"] == ["cpu": "1", "memory": "1Gi"])
        #expect(filled?["defaultRequest"] == ["cpu": "1", "memory": "1Gi", "storage": "1"])
    }

    @Test func limitRangeRules() throws {
        let limits: JSON = [
            ["type": "Container", "min": ["cpu": "2"], "max": ["cpu": "1"]],
            ["type": "Pod", "default": ["cpu": "1"]],
            ["type": "PersistentVolumeClaim"],
        ]
        let found = try errors(.limitRanges, ["spec": ["limits": limits]])
        #expect(
            found.contains(
                "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1"))
        #expect(found.contains("spec.limits[1].default: Forbidden: may not be specified when `type` is 'Pod'"))
        #expect(
            found.contains(
                "spec.limits[2].limits: Required value: either minimum or maximum storage value is required, but "
                    + "neither was provided"))
    }

    @Test func quotaRules() throws {
        #expect(
            try errors(.resourceQuotas, ["spec": ["hard": ["pods": "1500m", "potatoes": "1", "cpu": "-1"]]]) == [
                "spec.hard[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
                "spec.hard[pods]: Invalid value: \"1500m\": must be an integer",
                "spec.hard[potatoes]: Invalid value: \"potatoes\": must be a standard resource for quota",
            ])
        #expect(
            try errors(
                .resourceQuotas, ["spec": ["hard": ["secrets": "1"], "scopes": ["BestEffort", "NotBestEffort"]]]
            ).contains("spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\"]: conflicting scopes"))
        #expect(try errors(.resourceQuotas, ["spec": ["hard": ["count/widgets.example.com": "3"]]]) == [])
    }

    @Test func priorityClassRules() throws {
        func found(_ name: String, _ value: Int64) throws -> [String] {
            try errors(.priorityClasses, ["metadata": ["name": .string(name)], "value": .int(value)])
        }
        #expect(try found("high", 1_000_000_000) == [])
        #expect(
            try found("high", 1_000_000_001)
                == ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"])
        #expect(try found("system-node-critical", 2_000_001_000) == [])
        #expect(
            try found("system-mine", 1) == [
                "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use "
                    + "only. error: system-mine is not a known system priority class"
            ])
    }
}
