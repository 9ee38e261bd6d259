// CustomResourceDefinitions on a running API server: served the moment they are created, validated, pruned, defaulted,
// converted, shown, and gone with their objects.

import APIServer
import HTTP
import Objects
import Store
import Testing

/// A namespaced definition of widgets.example.com with one version.
func definition(
    plural: String = "widgets", kind: String = "Widget", group: String = "example.com", schema: JSON? = nil,
    version: JSON = [:], spec more: JSON = [:]
) -> JSON {
    let standard: JSON = [
        "type": "object",
        "properties": [
            "spec": [
                "type": "object", "required": ["size"],
                "properties": [
                    "size": ["type": "integer", "format": "int32", "minimum": 1, "maximum": 10],
                    "color": ["type": "string", "enum": ["red", "green"], "default": "red"],
                    "name": ["type": "string", "pattern": "^[a-z]+$", "maxLength": 5],
                    "replicas": ["type": "integer", "default": 1],
                    "ports": [
                        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                        "items": [
                            "type": "object", "required": ["name"],
                            "properties": [
                                "name": ["type": "string"],
                                "port": ["x-kubernetes-int-or-string": true],
                                "protocol": ["type": "string", "default": "TCP"],
                            ],
                        ],
                    ],
                    "extra": ["type": "object", "x-kubernetes-preserve-unknown-fields": true],
                    "labels": ["type": "object", "additionalProperties": ["type": "string"]],
                    "note": ["type": "string", "nullable": true],
                ],
            ],
            "status": [
                "type": "object",
                "properties": ["replicas": ["type": "integer"], "phase": ["type": "string"], "selector": ["type": "string"]],
            ],
        ],
    ]
    var only: JSON = [
        "name": "v1", "served": true, "storage": true, "schema": ["openAPIV3Schema": schema ?? standard],
        "subresources": ["status": [:]],
    ]
    for (key, value) in version.object ?? JSONObject() { only[key] = value }
    var body: JSON = [
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": ["name": .string("\(plural).\(group)")],
        "spec": [
            "group": .string(group), "scope": "Namespaced",
            "names": ["plural": .string(plural), "kind": .string(kind), "shortNames": ["wd"], "categories": ["all"]],
            "versions": [only],
        ],
    ]
    for (key, value) in more.object ?? JSONObject() { body.set("spec", key, to: value) }
    return body
}

func widget(_ name: String, _ spec: JSON, version: String = "v1") -> JSON {
    [
        "apiVersion": .string("example.com/\(version)"), "kind": "Widget", "metadata": ["name": .string(name)], "spec": spec,
    ]
}

@Suite struct CustomResourceTests {
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    let widgets = "/apis/example.com/v1/namespaces/default/widgets"

    func condition(_ object: JSON, _ type: String) -> JSON? {
        object.at("status", "conditions")?.array?.first { $0["type"]?.string == type }
    }

    @Test func servedAtOnce() async throws {
        let api = try await TestServer()
        #expect(await api.send("GET", widgets).status == 404)
        let created = await api.send("POST", definitions, definition())
        #expect(created.status == 201)
        let stored = await api.send("GET", definitions + "/widgets.example.com")
        #expect(condition(stored.json, "Established")?["status"] == "True")
        #expect(condition(stored.json, "NamesAccepted")?["reason"] == "NoConflicts")
        #expect(stored.json.at("status", "acceptedNames", "listKind") == "WidgetList")
        #expect(stored.json.at("status", "acceptedNames", "singular") == "widget")
        #expect(stored.json.at("status", "storedVersions") == ["v1"])
        let list = await api.send("GET", widgets)
        #expect(list.status == 200)
        #expect(list.json["kind"] == "WidgetList")
        let resources = await api.send("GET", "/apis/example.com/v1")
        #expect(resources.json["resources"]?.array?.compactMap { $0["name"]?.string } == ["widgets", "widgets/status"])
        #expect(resources.json["resources"]?[0]?["shortNames"] == ["wd"])
        let groups = await api.send("GET", "/apis")
        #expect(groups.json["groups"]?.array?.contains { $0["name"] == "example.com" } == true)
    }

    @Test func decodesAndValidates() async throws {
        let api = try await TestServer()
        _ = await api.send("POST", definitions, definition())
        let good = await api.send(
            "POST", widgets, widget("good", ["size": 3, "unknown": 1, "ports": [["name": "a", "port": "http"]], "extra": ["x": 1]]))
        #expect(good.status == 201)
        #expect(good.json.at("spec", "color") == "red")
        #expect(good.json.at("spec", "replicas") == 1)
        #expect(good.json.at("spec", "unknown") == nil)
        #expect(good.json.at("spec", "extra", "x") == 1)
        #expect(good.json["spec"]?["ports"]?[0]?["protocol"] == "TCP")
        #expect(good.json.at("metadata", "generation") == 1)
        #expect(good.headers["Warning"]?.contains("unknown field \\\"spec.unknown\\\"") == true)
        let strict = await api.send(
            "POST", widgets + "?fieldValidation=Strict", widget("strict", ["size": 3, "unknown": 1]))
        #expect(strict.status == 400)
        #expect(strict.message.contains("strict decoding error: unknown field \"spec.unknown\""))

        func message(_ spec: JSON) async -> String {
            let answer = await api.send("POST", widgets, widget("bad", spec))
            #expect(answer.status == 422)
            #expect(answer.reason == "Invalid")
            return answer.message
        }
        let prefix = "Widget.example.com \"bad\" is invalid: "
        #expect(
            await message(["size": "three"]) == prefix
                + "spec.size: Invalid value: \"string\": spec.size in body must be of type integer: \"string\"")
        #expect(await message([:]) == prefix + "spec.size: Required value")
        #expect(
            await message(["size": 11]) == prefix
                + "spec.size: Invalid value: 11: spec.size in body should be less than or equal to 10")
        #expect(
            await message(["size": 1, "color": "blue"]) == prefix
                + "spec.color: Unsupported value: \"blue\": supported values: \"red\", \"green\"")
        #expect(
            await message(["size": 1, "name": "A"]) == prefix
                + "spec.name: Invalid value: \"A\": spec.name in body should match '^[a-z]+$'")
        #expect(await message(["size": 1, "name": "abcdef"]) == prefix + "spec.name: Too long: may not be more than 5 bytes")
        #expect(
            await message(["size": 1, "ports": [["name": "a"], ["name": "a"]]]) == prefix
                + "spec.ports[1]: Duplicate value: {\"name\":\"a\"}")
        #expect(
            await message(["size": 1, "labels": ["a": 1]]) == prefix
                + "spec.labels.a: Invalid value: \"integer\": spec.labels.a in body must be of type string: \"integer\"")
        #expect(await api.send("POST", widgets, widget("null", ["size": 1, "note": .null, "color": .null])).status == 201)
        let null = await api.send("GET", widgets + "/null")
        #expect(null.json.at("spec", "color") == "red")
        #expect(null.json["spec"]?["note"] == .null)
    }

    @Test func statusGenerationAndScale() async throws {
        let api = try await TestServer()
        _ = await api.send(
            "POST", definitions,
            definition(
                version: [
                    "subresources": [
                        "status": [:],
                        "scale": [
                            "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
                            "labelSelectorPath": ".status.selector",
                        ],
                    ]
                ]))
        var body = widget("w", ["size": 1])
        body["status"] = ["phase": "Ignored"]
        var object = await api.send("POST", widgets, body)
        #expect(object.json["status"] == nil)
        var status = object.json
        status["status"] = ["phase": "Running", "replicas": 2, "selector": "app=w"]
        status.set("spec", "size", to: 9)
        object = await api.send("PUT", widgets + "/w/status", status)
        #expect(object.status == 200)
        #expect(object.json.at("status", "phase") == "Running")
        #expect(object.json.at("spec", "size") == 1)
        #expect(object.json.at("metadata", "generation") == 1)
        let scale = await api.send("GET", widgets + "/w/scale")
        #expect(scale.json.at("status", "selector") == "app=w")
        #expect(scale.json.at("status", "replicas") == 2)
        let patched = await api.send(
            "PATCH", widgets + "/w/scale", ["spec": ["replicas": 7]],
            headers: ["Content-Type": "application/merge-patch+json"])
        #expect(patched.json.at("spec", "replicas") == 7)
        object = await api.send("GET", widgets + "/w")
        #expect(object.json.at("spec", "replicas") == 7)
        #expect(object.json.at("metadata", "generation") == 2)
        let table = await api.send(
            "GET", widgets + "/w/scale", headers: ["Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"])
        #expect(
            table.json["columnDefinitions"]?.array?.compactMap { $0["name"] } == ["Name", "Desired", "Available", "Age"])
        #expect(table.json["rows"]?[0]?["cells"]?.array?.prefix(3) == ["w", 7, 2])
        #expect(table.json["rows"]?[0]?["object"]?["kind"] == "PartialObjectMetadata")
        let applied = await api.send(
            "PATCH", widgets + "/w/scale?fieldManager=hpa&force=true",
            ["apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": ["name": "w"], "spec": ["replicas": 5]],
            headers: ["Content-Type": "application/apply-patch+yaml"])
        #expect(applied.status == 200)
        #expect(applied.json.at("spec", "replicas") == 5)
        object = await api.send("GET", widgets + "/w")
        #expect(object.json.at("spec", "replicas") == 5)
        let owner = object.json.at("metadata", "managedFields")?.array?.first { $0["manager"] == "hpa" }
        #expect(owner?["subresource"] == "scale")
        #expect(owner?["operation"] == "Apply")
        let strategic = await api.send(
            "PATCH", widgets + "/w", ["spec": ["size": 2]],
            headers: ["Content-Type": "application/strategic-merge-patch+json"])
        #expect(strategic.status == 415)
        var bare = widget("w", ["size": 2])
        #expect(await api.send("PUT", widgets + "/w", bare).message.contains("metadata.resourceVersion"))
        bare.set("metadata", "resourceVersion", to: object.json.at("metadata", "resourceVersion"))
        #expect(await api.send("PUT", widgets + "/w", bare).json.at("spec", "replicas") == 1)
    }

    @Test func versionsSelectorsAndTable() async throws {
        let api = try await TestServer()
        var crd = definition(
            version: [
                "selectableFields": [["jsonPath": ".spec.color"]],
                "additionalPrinterColumns": [
                    ["name": "Size", "type": "integer", "jsonPath": ".spec.size"],
                    ["name": "Ports", "type": "string", "jsonPath": ".spec.ports[*].name", "priority": 1],
                    ["name": "Ready", "type": "string", "jsonPath": ".status.phase"],
                    ["name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"],
                ],
            ])
        let first = crd.at("spec", "versions")?[0] ?? [:]
        var second = first
        second["name"] = "v2"
        second["storage"] = false
        crd.set("spec", "versions", to: [first, second])
        #expect(await api.send("POST", definitions, crd).status == 201)
        _ = await api.send("POST", widgets, widget("a", ["size": 1, "ports": [["name": "x"], ["name": "y"]]]))
        let two = "/apis/example.com/v2/namespaces/default/widgets"
        let made = await api.send("POST", two, widget("b", ["size": 2, "color": "green"], version: "v2"))
        #expect(made.status == 201)
        #expect(made.json["apiVersion"] == "example.com/v2")
        #expect(await api.send("GET", widgets + "/b").json["apiVersion"] == "example.com/v1")
        #expect(await api.send("GET", two + "/a").json["apiVersion"] == "example.com/v2")
        let green = await api.send("GET", two + "?fieldSelector=spec.color%3Dgreen".replacing("%3D", with: "="))
        #expect(green.json["items"]?.array?.compactMap { $0.at("metadata", "name")?.string } == ["b"])
        #expect(green.json["items"]?[0]?["apiVersion"] == "example.com/v2")
        #expect(await api.send("GET", widgets + "?fieldSelector=spec.size=1").status == 400)
        let table = await api.send(
            "GET", widgets, headers: ["Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"])
        #expect(
            table.json["columnDefinitions"]?.array?.compactMap { $0["name"]?.string } == ["Name", "Size", "Ports", "Ready", "Age"])
        #expect(table.json["columnDefinitions"]?[2]?["priority"] == 1)
        let cells = table.json["rows"]?[0]?["cells"]?.array ?? []
        #expect(cells.prefix(4) == ["a", 1, "x y", .null])
        #expect(cells.last?.string?.hasSuffix("s") == true)
        let group = await api.send("GET", "/apis/example.com")
        #expect(group.json.at("preferredVersion", "version") == "v2")

        // The storage version moves; what was stored before is still there, in both versions.
        var moved = await api.send("GET", definitions + "/widgets.example.com").json
        var versions = moved.at("spec", "versions")?.array ?? []
        versions[0]["storage"] = false
        versions[1]["storage"] = true
        moved.set("spec", "versions", to: .array(versions))
        let updated = await api.send("PUT", definitions + "/widgets.example.com", moved)
        #expect(updated.status == 200)
        #expect(updated.json.at("status", "storedVersions") == ["v1", "v2"])
        #expect(await api.send("GET", widgets + "/a").json["apiVersion"] == "example.com/v1")
        #expect(await api.send("GET", two).json["items"]?.array?.count == 2)
        var removed = updated.json
        removed.set("spec", "versions", to: [versions[1]])
        let refused = await api.send("PUT", definitions + "/widgets.example.com", removed)
        #expect(refused.message.contains("status.storedVersions[0]: Invalid value: \"v1\": must appear in spec.versions"))
    }

    @Test func deprecatedVersionsSaySo() async throws {
        let api = try await TestServer()
        var crd = definition()
        let current = crd.at("spec", "versions")?[0] ?? [:]
        var old = current
        old["name"] = "v1beta1"
        old["storage"] = false
        old["deprecated"] = true
        var older = old
        older["name"] = "v1alpha1"
        older["deprecationWarning"] = "v1alpha1 goes \"soon\""
        crd.set("spec", "versions", to: [current, old, older])
        #expect(await api.send("POST", definitions, crd).status == 201)
        func warnings(_ method: String, _ version: String, _ tail: String = "", _ body: JSON? = nil) async -> [String] {
            await api.send(method, "/apis/example.com/\(version)/namespaces/default/widgets" + tail, body)
                .headers.values("Warning")
        }
        let said = ["299 - \"example.com/v1beta1 Widget is deprecated; use example.com/v1 Widget\""]
        #expect(await warnings("POST", "v1beta1", "", widget("a", ["size": 1], version: "v1beta1")) == said)
        #expect(await warnings("GET", "v1beta1", "/a") == said)
        #expect(await warnings("GET", "v1beta1") == said)
        #expect(await warnings("GET", "v1beta1", "/missing") == said)
        #expect(await warnings("DELETE", "v1alpha1", "/a") == ["299 - \"v1alpha1 goes \\\"soon\\\"\""])
        #expect(await warnings("GET", "v1") == [])
        guard case .stream(_, let headers, _) = api.request(
            "GET", "/apis/example.com/v1beta1/namespaces/default/widgets?watch=true")
        else {
            Issue.record("no watch")
            return
        }
        #expect(headers.values("Warning") == said)
    }

    @Test func newDefaultsReachStoredObjects() async throws {
        let store = MemoryStore()
        let api = try await TestServer(store: store)
        _ = await api.send("POST", definitions, definition())
        _ = await api.send("POST", widgets, widget("a", ["size": 1]))
        let before = await api.send("GET", widgets + "/a")
        var crd = await api.send("GET", definitions + "/widgets.example.com").json
        var versions = crd.at("spec", "versions")?.array ?? []
        versions[0].set(
            "schema", "openAPIV3Schema", "properties", "spec", "properties", "level",
            to: ["type": "string", "default": "low"])
        crd.set("spec", "versions", to: .array(versions))
        #expect(await api.send("PUT", definitions + "/widgets.example.com", crd).status == 200)
        let after = await api.send("GET", widgets + "/a")
        #expect(after.json.at("spec", "level") == "low")
        #expect(after.version == before.version)
    }

    @Test func deletionTakesItsObjects() async throws {
        let api = try await TestServer()
        _ = await api.send("POST", definitions, definition())
        for index in 0..<100 { _ = await api.send("POST", widgets, widget("w\(index)", ["size": 1])) }
        let watch = api.watch(widgets + "?watch=1&resourceVersion=0")
        _ = try await watch.events(atLeast: 100)
        let deleted = await api.send("DELETE", definitions + "/widgets.example.com")
        #expect(deleted.status == 200)
        #expect(await api.send("GET", definitions + "/widgets.example.com").status == 404)
        #expect(await api.send("GET", widgets).status == 404)
        #expect(await api.send("GET", "/apis/example.com").status == 404)
        let events = try await watch.events(atLeast: 200)
        #expect(events.suffix(100).allSatisfy { $0["type"] == "DELETED" })
        #expect(watch.isFinished)
        _ = await api.send("POST", definitions, definition())
        #expect(await api.send("GET", widgets).json["items"] == .array([]))
    }

    @Test func deletionWaitsForFinalizers() async throws {
        let api = try await TestServer()
        _ = await api.send("POST", definitions, definition())
        var held = widget("held", ["size": 1])
        held.set("metadata", "finalizers", to: ["example.com/hold"])
        _ = await api.send("POST", widgets, held)
        _ = await api.send("DELETE", definitions + "/widgets.example.com")
        let going = await api.send("GET", definitions + "/widgets.example.com")
        #expect(condition(going.json, "Terminating")?["status"] == "True")
        #expect(going.json.at("metadata", "finalizers") == ["customresourcecleanup.apiextensions.k8s.io"])
        let refused = await api.send("POST", widgets, widget("late", ["size": 1]))
        #expect(refused.status == 405)
        let upkeep = Task { await api.server.run() }
        defer { upkeep.cancel() }
        _ = await api.send(
            "PATCH", widgets + "/held", ["metadata": ["finalizers": .null]],
            headers: ["Content-Type": "application/merge-patch+json"])
        for _ in 0..<6000 {
            if await api.send("GET", definitions + "/widgets.example.com").status == 404 { break }
            try await Task.sleep(for: .milliseconds(10))
        }
        #expect(await api.send("GET", definitions + "/widgets.example.com").status == 404)
    }

    @Test func nameConflicts() async throws {
        let api = try await TestServer()
        _ = await api.send("POST", definitions, definition())
        _ = await api.send("POST", definitions, definition(plural: "gadgets", kind: "Widget"))
        let second = await api.send("GET", definitions + "/gadgets.example.com")
        #expect(condition(second.json, "NamesAccepted")?["status"] == "False")
        #expect(condition(second.json, "NamesAccepted")?["message"] == "\"widget\" is already in use")
        #expect(condition(second.json, "Established")?["status"] == "False")
        #expect(await api.send("GET", "/apis/example.com/v1/gadgets").status == 404)
        _ = await api.send("DELETE", definitions + "/widgets.example.com")
        #expect(await api.send("GET", "/apis/example.com/v1/gadgets").status == 200)
    }

    @Test func survivesARestart() async throws {
        let store = MemoryStore()
        let api = try await TestServer(store: store)
        _ = await api.send("POST", definitions, definition())
        _ = await api.send("POST", widgets, widget("a", ["size": 1]))
        try await store.close()
        let again = try await TestServer(store: store)
        #expect(await again.send("GET", widgets + "/a").json.at("spec", "color") == "red")
        #expect(await again.send("GET", "/openapi/v3/apis/example.com/v1").status == 200)
    }

    @Test func openAPIFollows() async throws {
        let api = try await TestServer()
        let before = await api.send("GET", "/openapi/v3")
        _ = await api.send("GET", "/openapi/v2")
        _ = await api.send("POST", definitions, definition())
        let after = await api.send("GET", "/openapi/v3", headers: ["If-None-Match": before.headers["ETag"] ?? ""])
        #expect(after.status == 200)
        #expect(after.json.at("paths", "apis/apps/v1") == before.json.at("paths", "apis/apps/v1"))
        let document = await api.send("GET", "/openapi/v3/apis/example.com/v1")
        let schema = document.json.at("components", "schemas", "com.example.v1.Widget")
        #expect(schema?.at("properties", "spec", "properties", "size", "maximum") == 10)
        #expect(schema?["x-kubernetes-group-version-kind"]?[0]?["kind"] == "Widget")
        let patch = document.json.at("paths", "/apis/example.com/v1/namespaces/{namespace}/widgets/{name}", "patch")
        #expect(patch?.at("requestBody", "content", "application/strategic-merge-patch+json") == nil)
        #expect(patch?.at("requestBody", "content", "application/merge-patch+json") != nil)
        let v2 = await api.send("GET", "/openapi/v2")
        #expect(v2.json.at("definitions", "com.example.v1.Widget") != nil)
        let aggregated = await api.send(
            "GET", "/apis", headers: ["Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"])
        #expect(aggregated.json["items"]?.array?.contains { $0.at("metadata", "name") == "example.com" } == true)
    }

    @Test func refusedDefinitions() async throws {
        let api = try await TestServer()
        func message(_ crd: JSON) async -> String {
            let answer = await api.send("POST", definitions, crd)
            #expect(answer.status == 422, "\(answer.text)")
            return answer.message
        }
        let path = "spec.versions[0].schema.openAPIV3Schema"
        var wrong = definition()
        wrong.set("metadata", "name", to: "other.example.com")
        #expect(await message(wrong).contains("metadata.name: Invalid value: \"other.example.com\": must be spec.names.plural+\".\"+spec.group"))
        func schema(_ spec: JSON) -> JSON { definition(schema: ["type": "object", "properties": ["spec": spec]]) }
        #expect(await message(schema([:])).contains("\(path).properties[spec].type: Required value: must not be empty for specified object fields"))
        #expect(await message(schema(["type": "array"])).contains("\(path).properties[spec].items: Required value: must be specified"))
        #expect(
            await message(schema(["type": "string", "pattern": "(?=x)"])).contains(
                "must be a valid regular expression, but isn't: error parsing regexp: invalid or unsupported Perl syntax"))
        #expect(await message(schema(["type": "integer", "default": "x"])).contains("\(path).properties[spec].default"))
        #expect(
            await message(schema(["type": "object", "anyOf": [["type": "object"]]])).contains(
                "\(path).properties[spec].anyOf[0].type: Forbidden: must be empty to be structural"))
        #expect(
            await message(schema(["type": "array", "items": ["type": "object"], "x-kubernetes-list-type": "map"])).contains(
                "\(path).properties[spec].x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map"))
        #expect(
            await message(definition(group: "apps.k8s.io")).contains(
                "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation"))
        let two: JSON = ["versions": .array([])]
        #expect(await message(definition(spec: two)).contains("must have exactly one version marked as storage version"))
    }

    @Test func rulesAreNamedAsNotEnforced() async throws {
        let api = try await TestServer()
        var crd = definition()
        var versions = crd.at("spec", "versions")?.array ?? []
        versions[0].set(
            "schema", "openAPIV3Schema", "properties", "spec", "x-kubernetes-validations",
            to: [["rule": "self.size > 2", "message": "too small"]])
        crd.set("spec", "versions", to: .array(versions))
        let created = await api.send("POST", definitions, crd)
        #expect(created.status == 201)
        let warning = created.headers["Warning"] ?? ""
        #expect(warning.contains("not enforced"))
        #expect(warning.contains("spec.versions[0].schema.openAPIV3Schema.properties[spec].x-kubernetes-validations[0]"))
    }

    @Test func largeDefinition() async throws {
        let api = try await TestServer()
        let crd = definition(schema: ["type": "object", "properties": ["spec": Self.bulky(depth: 4)]])
        let bytes = crd.encode().count
        #expect(bytes > 1_000_000 && bytes < 3_000_000)
        let clock = ContinuousClock()
        let start = clock.now
        let created = await api.send("POST", definitions, crd)
        print("a CustomResourceDefinition of \(bytes) bytes was registered in \(clock.now - start)")
        #expect(created.status == 201)
        #expect(await api.send("POST", widgets, widget("a", ["field0": ["field1": ["field2": ["field3": "x"]]]])).status == 201)
        #expect(await api.send("GET", "/openapi/v3/apis/example.com/v1").bytes.count > 1_000_000)
    }

    /// A schema like those of operators that embed pods: thousands of described fields.
    static func bulky(depth: Int) -> JSON {
        if depth == 0 {
            return [
                "type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63,
                "description": .string(String(repeating: "What this field is for, at length. ", count: 4)),
            ]
        }
        var properties = JSONObject()
        for index in 0..<8 { properties["field\(index)"] = bulky(depth: depth - 1) }
        return ["type": "object", "properties": .object(properties), "description": "A level."]
    }
}
