// Server-side apply and managedFields as values: objects in YAML in, objects and owners out.

import Testing

@testable import Objects

private let deployments = ResourceDeclaration(.deployments)
private let pods = ResourceDeclaration(.pods)
private let forms = ObjectForms(apiVersion: "apps/v1", root: deployments.schema.root)

private func yaml(_ text: String) throws -> JSON {
    var duplicates: [String] = []
    return try YAML.parse(Array(text.utf8), duplicates: &duplicates)[0]
}

private func set(_ text: String) throws -> FieldSet { try FieldSet(fieldsV1: JSON.parse(Array(text.utf8))) }

private func deployment(_ spec: String, metadata: String = "{name: web, namespace: default}") throws -> JSON {
    try yaml("{apiVersion: apps/v1, kind: Deployment, metadata: \(metadata), spec: \(spec)}")
}

private func apply(
    _ config: JSON, to live: JSON?, as manager: String, force: Bool = false, at second: Int = 0
) throws -> JSON {
    let empty: JSON = ["apiVersion": "apps/v1", "kind": "Deployment", "metadata": [:]]
    return try ServerSideApply.apply(
        config, to: live ?? empty, forms,
        by: FieldOwner(manager: manager, operation: .apply, apiVersion: "apps/v1"), force: force, time: time(second))
}

private func time(_ second: Int) -> String { "2026-01-02T03:04:\(second < 10 ? "0" : "")\(second)Z" }

/// The fields of a manager; nil when it has no entry.
private func fields(_ object: JSON, _ manager: String) -> String? {
    object.at("metadata", "managedFields")?.array?.first { $0["manager"]?.string == manager }?["fieldsV1"]?.text
}

private func entry(_ object: JSON, _ manager: String) -> JSON? {
    object.at("metadata", "managedFields")?.array?.first { $0["manager"]?.string == manager }
}

@Suite struct FieldSetTests {
    @Test func operationsKeepPlacesAndWhatIsBelowApart() throws {
        let a = try set(#"{"f:a":{},"f:b":{".":{},"f:c":{}},"f:d":{"f:e":{}}}"#)
        let b = try set(#"{"f:b":{"f:c":{}},"f:d":{},"f:x":{}}"#)
        #expect(a.union(b).fieldsV1.text == #"{"f:a":{},"f:b":{".":{},"f:c":{}},"f:d":{".":{},"f:e":{}},"f:x":{}}"#)
        #expect(a.intersection(b).fieldsV1.text == #"{"f:b":{"f:c":{}}}"#)
        #expect(a.subtracting(b).fieldsV1.text == #"{"f:a":{},"f:b":{},"f:d":{"f:e":{}}}"#)
        #expect(a.subtracting(a).isEmpty)
        #expect(FieldSet().union(a) == a)
        #expect(a.intersection(FieldSet()).isEmpty)
    }

    @Test func clientsElementsAreCheckedAndNormal() throws {
        let loose = try set(#"{"f:ports":{"k:{\"protocol\":\"TCP\", \"containerPort\":80}":{"f:name":{}}}}"#)
        #expect(
            loose.fieldsV1.text == #"{"f:ports":{"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{"f:name":{}}}}"#)
        #expect(throws: FieldElementError.self) { try set(#"{"x:ports":{}}"#) }
        #expect(throws: FieldElementError.self) { try set(#"{"k:name":{}}"#) }
        #expect(throws: FieldElementError.self) { try set(#"{"i:-1":{}}"#) }
        #expect(throws: FieldElementError.self) { try set(#"{"f:a":3}"#) }
    }

    @Test func pathsPrintAsKubernetesPrintsThem() throws {
        let fields = try set(
            #"{"f:s":{"k:{\"a\":\"x\",\"b\":2}":{"f:image":{}},"v:\"f\"":{},"i:3":{}}}"#)
        #expect(fields.paths.map { FieldElement.shown($0) } == [".s[3]", #".s[a="x",b=2].image"#, #".s[="f"]"#])
    }

    /// The laws of sets, over random trees.
    @Test func operationsFollowTheLawsOfSets() {
        var random = SystemRandomNumberGenerator()
        func tree(_ depth: Int) -> JSONObject {
            var object = JSONObject()
            for name in ["f:a", "f:b", "k:{\"n\":1}"] where Bool.random(using: &random) {
                object[name] = .object(depth == 0 ? JSONObject() : tree(depth - 1))
            }
            if !object.isEmpty, Bool.random(using: &random) { object["."] = .object(JSONObject()) }
            return object
        }
        for _ in 0..<300 {
            let a = FieldSet(root: .object(tree(2)))
            let b = FieldSet(root: .object(tree(2)))
            let (left, right) = (Set(a.paths), Set(b.paths))
            #expect(Set(a.union(b).paths) == left.union(right))
            #expect(Set(a.intersection(b).paths) == left.intersection(right))
            #expect(Set(a.subtracting(b).paths) == left.subtracting(right))
            #expect(a.union(b) == b.union(a))
        }
    }
}

@Suite struct FieldWalkTests {
    @Test func aCreatorOwnsWhatKubernetesSaysItOwns() throws {
        let object = try deployment(
            """
            {replicas: 1, selector: {matchLabels: {app: web}}, strategy: {type: RollingUpdate, rollingUpdate: \
            {maxSurge: 1}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: i, \
            args: [a], resources: {}, ports: [{containerPort: 80, protocol: TCP}]}]}}}
            """, metadata: "{name: web, namespace: default, uid: u, generation: 1, labels: {app: web}}")
        #expect(
            FieldWalk.created(object, deployments.schema.root).fieldsV1.text
                == #"{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:replicas":{},"f:selector":{},"#
                + #""f:strategy":{"f:rollingUpdate":{".":{},"f:maxSurge":{}},"f:type":{}},"f:template":{"#
                + #""f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":"#
                + #"{".":{},"f:args":{},"f:image":{},"f:name":{},"f:ports":{".":{},"#
                + #""k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{},"f:protocol":{}}},"#
                + #""f:resources":{}}}}}}}"#)
    }

    @Test func anApplierOwnsLeavesAndItems() throws {
        let object = try deployment(
            "{template: {spec: {containers: [{name: c, ports: [{containerPort: 80}], resources: {limits: {cpu: 1}}}]}}}",
            metadata: "{name: web, labels: {app: web}, finalizers: [a/b]}")
        #expect(
            FieldWalk.applied(object, deployments.schema.root).fieldsV1.text
                == #"{"f:metadata":{"f:finalizers":{"v:\"a/b\"":{}},"f:labels":{"f:app":{}}},"f:spec":{"f:template":"#
                + #"{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:name":{},"f:ports":{"#
                + #""k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}},"#
                + #""f:resources":{"f:limits":{"f:cpu":{}}}}}}}}}"#)
    }

    @Test func aComparisonNamesWhatChangedAndNothingElse() throws {
        let old = try deployment(
            "{replicas: 1, paused: true, template: {spec: {containers: [{name: a, image: x}, {name: b, image: y}]}}}")
        let new = try deployment(
            "{replicas: 2, template: {spec: {containers: [{name: b, image: y}, {name: a, image: z}, {name: c}]}}}",
            metadata: "{name: web, namespace: default, resourceVersion: '7', annotations: {k: v}}")
        let comparison = FieldComparison(old, new, deployments.schema.root)
        #expect(
            comparison.changed.fieldsV1.text
                == #"{"f:metadata":{"f:annotations":{".":{},"f:k":{}}},"f:spec":{"f:replicas":{},"f:template":{"#
                + #""f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{"f:image":{}},"k:{\"name\":\"c\"}":"#
                + #"{".":{},"f:name":{}}}}}}}"#)
        #expect(comparison.removed.fieldsV1.text == #"{"f:spec":{"f:paused":{}}}"#)
    }
}

@Suite struct ServerSideApplyTests {
    @Test func whatIsAppliedNoMoreGoes() throws {
        let first = try apply(
            try deployment("{replicas: 3, paused: true, template: {metadata: {labels: {a: b, c: d}}}}"), to: nil, as: "me")
        let second = try apply(try deployment("{replicas: 3, template: {metadata: {labels: {a: b}}}}"), to: first, as: "me")
        #expect(second["spec"]?.text == #"{"replicas":3,"template":{"metadata":{"labels":{"a":"b"}}}}"#)
        let third = try apply(try deployment("{replicas: 3}"), to: second, as: "me")
        #expect(third["spec"]?.text == #"{"replicas":3}"#)
        #expect(fields(third, "me") == #"{"f:spec":{"f:replicas":{}}}"#)
    }

    @Test func whatAnotherOwnsTooStays() throws {
        let first = try apply(try deployment("{replicas: 3, paused: true}"), to: nil, as: "me")
        let second = try apply(try deployment("{replicas: 3}"), to: first, as: "you", at: 1)
        let third = try apply(try deployment("{paused: true}"), to: second, as: "me", at: 2)
        #expect(third["spec"]?.text == #"{"paused":true,"replicas":3}"#)
        #expect(fields(third, "me") == #"{"f:spec":{"f:paused":{}}}"#)
        #expect(fields(third, "you") == #"{"f:spec":{"f:replicas":{}}}"#)
    }

    @Test func conflictsNameFieldAndManager() throws {
        let first = try apply(try deployment("{replicas: 3, paused: true}"), to: nil, as: "me")
        let error = #expect(throws: APIStatus.self) {
            try apply(try deployment("{replicas: 4}"), to: first, as: "you")
        }
        #expect(error?.code == 409)
        #expect(error?.reason == .conflict)
        #expect(error?.message == #"Apply failed with 1 conflict: conflict with "me": .spec.replicas"#)
        #expect(
            error?.details?.causes
                == [.init(reason: "FieldManagerConflict", message: #"conflict with "me""#, field: ".spec.replicas")])
        let two = #expect(throws: APIStatus.self) {
            try apply(try deployment("{replicas: 4, paused: false}"), to: first, as: "you")
        }
        #expect(
            two?.message
                == "Apply failed with 2 conflicts: conflicts with \"me\":\n- .spec.paused\n- .spec.replicas")
    }

    @Test func forceTakesAndEqualValuesAreShared() throws {
        let first = try apply(try deployment("{replicas: 3, paused: true}"), to: nil, as: "me")
        let taken = try apply(try deployment("{replicas: 4}"), to: first, as: "you", force: true, at: 1)
        #expect(fields(taken, "me") == #"{"f:spec":{"f:paused":{}}}"#)
        #expect(fields(taken, "you") == #"{"f:spec":{"f:replicas":{}}}"#)
        let shared = try apply(try deployment("{paused: true, replicas: 4}"), to: taken, as: "you", at: 2)
        #expect(fields(shared, "me") == #"{"f:spec":{"f:paused":{}}}"#)
        #expect(fields(shared, "you") == #"{"f:spec":{"f:paused":{},"f:replicas":{}}}"#)
    }

    @Test func anApplyThatChangesNothingIsTheSameObject() throws {
        let config = try deployment("{replicas: 3, template: {spec: {containers: [{name: c, image: i}]}}}")
        let first = try apply(config, to: nil, as: "me", at: 1)
        #expect(try apply(config, to: first, as: "me", at: 9) == first)
    }

    @Test func listsMergeByKeyAndKeepTheirOrder() throws {
        let first = try apply(
            try deployment("{template: {spec: {containers: [{name: a, image: x}, {name: b}, {name: c}]}}}"), to: nil, as: "me")
        let second = try apply(
            try deployment("{template: {spec: {containers: [{name: d}, {name: c, image: z}]}}}"), to: first, as: "you")
        let containers = second.at("spec", "template", "spec", "containers")?.array
        #expect(containers?.compactMap { $0["name"]?.string } == ["a", "b", "d", "c"])
        #expect(containers?.last?["image"]?.string == "z")
        // An item goes for everybody when its owner stops applying it, unless another owns the item too.
        let third = try apply(
            try deployment("{template: {spec: {containers: [{name: a, image: x}]}}}"), to: second, as: "me")
        #expect(
            third.at("spec", "template", "spec", "containers")?.array?.compactMap { $0["name"]?.string }
                == ["a", "d", "c"])
    }

    @Test func atomicValuesAreOwnedAsOne() throws {
        let first = try apply(try deployment("{selector: {matchLabels: {a: b}}}"), to: nil, as: "me")
        #expect(fields(first, "me") == #"{"f:spec":{"f:selector":{}}}"#)
        let error = #expect(throws: APIStatus.self) {
            try apply(try deployment("{selector: {matchLabels: {c: d}}}"), to: first, as: "you")
        }
        #expect(error?.message == #"Apply failed with 1 conflict: conflict with "me": .spec.selector"#)
        let replaced = try apply(try deployment("{selector: {matchLabels: {c: d}}}"), to: first, as: "you", force: true)
        #expect(replaced.at("spec", "selector")?.text == #"{"matchLabels":{"c":"d"}}"#)
    }

    @Test func listsThatCannotMergeAreRefused() throws {
        let twice = #expect(throws: APIStatus.self) {
            try apply(
                try deployment("{template: {spec: {containers: [{name: a}, {name: a}]}}}"), to: nil, as: "me")
        }
        #expect(
            twice?.message == "failed to create typed patch object (default/web; apps/v1, Kind=Deployment): "
                + #".spec.template.spec.containers: duplicate entries for key [name="a"]"#)
        let missing = #expect(throws: APIStatus.self) {
            try apply(try deployment("{template: {spec: {containers: [{image: a}]}}}"), to: nil, as: "me")
        }
        #expect(missing?.message.contains(".spec.template.spec.containers: element 0: ") == true)
        #expect(missing?.message.contains(#"omits key field "name""#) == true)
    }

    @Test func anObjectWithoutOwnersIsClaimedFirst() throws {
        let live = try deployment("{replicas: 3, paused: true}")
        let shared = try apply(try deployment("{replicas: 3}"), to: live, as: "me")
        #expect(fields(shared, "before-first-apply") == #"{"f:spec":{"f:paused":{},"f:replicas":{}}}"#)
        #expect(fields(shared, "me") == #"{"f:spec":{"f:replicas":{}}}"#)
        let error = #expect(throws: APIStatus.self) { try apply(try deployment("{replicas: 4}"), to: live, as: "me") }
        #expect(
            error?.message == "Apply failed with 1 conflict: conflict with \"before-first-apply\" using apps/v1: "
                + ".spec.replicas")
    }
}

@Suite struct OwnerTrackingTests {
    private func update(_ old: JSON, _ new: JSON, _ manager: String, _ second: Int, subresource: String = "") -> JSON {
        var managed = ManagedFields(stored: old)
        managed.update(
            from: old, to: new, forms,
            by: FieldOwner(manager: manager, operation: .update, apiVersion: "apps/v1", subresource: subresource),
            time: time(second))
        var result = new
        result.set("metadata", "managedFields", to: managed.json)
        return result
    }

    @Test func aWriteTakesWhatItChangesAndDropsWhatItRemoves() throws {
        let first = try apply(try deployment("{replicas: 3, paused: true}"), to: nil, as: "me", at: 1)
        var changed = first
        changed.set("spec", "replicas", to: 5)
        changed.set("spec", "paused", to: nil)
        let second = update(first, changed, "hpa", 2, subresource: "scale")
        #expect(fields(second, "me") == nil)
        #expect(fields(second, "hpa") == #"{"f:spec":{"f:replicas":{}}}"#)
        #expect(entry(second, "hpa")?["subresource"]?.string == "scale")
        #expect(entry(second, "hpa")?["time"]?.string == time(2))
    }

    @Test func timeStandsStillWithoutChange() throws {
        let first = try apply(try deployment("{replicas: 3}"), to: nil, as: "me", at: 1)
        var changed = first
        changed.set("spec", "paused", to: true)
        let second = update(first, changed, "you", 2)
        #expect(update(second, second, "you", 3) == second)
    }

    @Test func oldUpdatersBecomeOne() throws {
        var object = try apply(try deployment("{replicas: 3}"), to: nil, as: "me", at: 1)
        for index in 0..<14 {
            var changed = object
            changed.set("metadata", "annotations", "a\(index)", to: "x")
            object = update(object, changed, "m\(index)", 10 + index)
        }
        let entries = object.at("metadata", "managedFields")?.array ?? []
        let updates = entries.filter { $0["operation"]?.string == "Update" }
        #expect(updates.count == 10)
        #expect(entries.first?["manager"]?.string == "me")
        #expect(
            fields(object, "ancient-changes")
                == #"{"f:metadata":{"f:annotations":{".":{},"f:a0":{},"f:a1":{},"f:a2":{},"f:a3":{},"f:a4":{}}}}"#)
    }

    @Test func managersOfAVersionThatIsGoneAreDropped() throws {
        var first = try apply(try deployment("{replicas: 3}"), to: nil, as: "me", at: 1)
        var list = first.at("metadata", "managedFields")?.array ?? []
        list.append([
            "manager": "old", "operation": "Update", "apiVersion": "apps/v1beta1", "fieldsType": "FieldsV1",
            "fieldsV1": ["f:spec": ["f:replicas": [:]]],
        ])
        first.set("metadata", "managedFields", to: .array(list))
        var changed = first
        changed.set("spec", "paused", to: true)
        #expect(fields(update(first, changed, "you", 2), "old") == nil)
    }
}

@Suite struct FieldOwnerTests {
    @Test func namesAreCheckedAndTakenFromUserAgents() {
        #expect(FieldOwner.check(manager: "kubectl edit", "fieldManager").isEmpty)
        #expect(FieldOwner.check(manager: String(repeating: "x", count: 129), "fieldManager").count == 1)
        #expect(
            FieldOwner.check(manager: "a\u{1}", "fieldManager").first?.detail == "invalid character U+0001 (at position 1)")
        #expect(FieldOwner.manager(userAgent: "kubectl/v1.37.0 (linux/amd64)") == "kubectl")
        #expect(FieldOwner.manager(userAgent: "a\u{7}b") == "ab")
    }
}
