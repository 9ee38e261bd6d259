// The registry: strategies at create and update, field selection, discovery, OpenAPI.

import Objects
import System
import Testing

@Suite struct RegistryTests {
    @Test func newPodsArePendingAndClassed() throws {
        let declaration = try declaration(.pods)
        func created(_ resources: String) throws -> JSON {
            var pod = try declaration.decode(
                object(
                    #"{"metadata":{"name":"a","namespace":"d","resourceVersion":"7"},"status":{"phase":"Running"},"spec":{"containers":[{"name":"a","image":"x","resources":"#
                        + resources + "}]}}")
            ).object
            declaration.prepareForCreate(&pod, uid: "u", now: Timestamp(seconds: 0))
            return pod
        }
        #expect(try created("{}")["status"] == ["phase": "Pending", "qosClass": "BestEffort"])
        #expect(try created(#"{"requests":{"cpu":"1"}}"#).at("status", "qosClass") == "Burstable")
        #expect(try created(#"{"limits":{"cpu":"1","memory":"1Gi"}}"#).at("status", "qosClass") == "Guaranteed")
        let pod = try created("{}")
        #expect(pod.at("metadata", "generation") == 1 && pod.at("metadata", "uid") == "u")
        #expect(pod.at("metadata", "creationTimestamp") == "1970-01-01T00:00:00Z")
        #expect(pod.at("metadata", "resourceVersion") == nil)
    }

    @Test func specAndStatusHaveFacesOfTheirOwn() throws {
        let declaration = try declaration(.deployments)
        var old = try declaration.decode(object(deploymentText)).object
        declaration.prepareForCreate(&old, uid: "u", now: Timestamp(seconds: 0))
        var main = old
        main.set("spec", "replicas", to: 3)
        main.set("status", "replicas", to: 9)
        declaration.prepareForUpdate(&main, old: old)
        #expect(main.at("metadata", "generation") == 2)
        #expect(main.at("spec", "replicas") == 3 && main.at("status", "replicas") == nil)
        var status = old
        status.set("spec", "replicas", to: 3)
        status.set("status", "replicas", to: 9)
        declaration.prepareForUpdate(&status, old: old, target: .subresource("status"))
        #expect(status.at("metadata", "generation") == 1)
        #expect(status.at("spec", "replicas") == 1 && status.at("status", "replicas") == 9)
        var labelled = old
        labelled.set("metadata", "labels", "a", to: "b")
        declaration.prepareForUpdate(&labelled, old: old)
        #expect(labelled.at("metadata", "generation") == 1)
    }

    @Test func nodesRegisterWithTheirStatus() throws {
        let declaration = try declaration(.nodes)
        var node = try declaration.decode(object(#"{"metadata":{"name":"n"},"status":{"capacity":{"cpu":"2"}}}"#))
            .object
        declaration.prepareForCreate(&node, uid: "u", now: Timestamp(seconds: 0))
        #expect(node.at("status", "allocatable", "cpu") == "2")
        #expect(node.at("metadata", "generation") == nil)
    }

    @Test func namespacesKeepTheirFinalizer() throws {
        let declaration = try declaration(.namespaces)
        var old = try declaration.decode(object(#"{"metadata":{"name":"a"}}"#)).object
        declaration.prepareForCreate(&old, uid: "u", now: Timestamp(seconds: 0))
        #expect(old.at("spec", "finalizers") == ["kubernetes"] && old.at("status", "phase") == "Active")
        var new = old
        new.set("spec", "finalizers", to: [])
        declaration.prepareForUpdate(&new, old: old)
        #expect(new.at("spec", "finalizers") == ["kubernetes"])
        new.set("spec", "finalizers", to: [])
        declaration.prepareForUpdate(&new, old: old, target: .subresource("finalize"))
        #expect(new.at("spec", "finalizers") == [])
    }

    @Test func nodePortsStay() throws {
        let declaration = try declaration(.services)
        let text =
            #"{"metadata":{"name":"a","namespace":"d"},"spec":{"type":"NodePort","clusterIP":"10.43.0.9","ports":[{"port":80,"nodePort":30080}]}}"#
        var old = try declaration.decode(object(text)).object
        declaration.prepareForCreate(&old, uid: "u", now: Timestamp(seconds: 0))
        #expect(old.at("spec", "clusterIPs") == ["10.43.0.9"] && old.at("spec", "ipFamilies") == ["IPv4"])
        var new = try declaration.decode(
            object(#"{"metadata":{"name":"a","namespace":"d"},"spec":{"type":"NodePort","ports":[{"port":80}]}}"#)
        ).object
        declaration.prepareForUpdate(&new, old: old)
        #expect(new.at("spec", "ports")?[0]?["nodePort"] == 30080 && new.at("spec", "clusterIP") == "10.43.0.9")
        new.set("spec", "type", to: "ClusterIP")
        declaration.prepareForUpdate(&new, old: old)
        #expect(new.at("spec", "ports")?[0]?["nodePort"] == nil)
    }

    @Test func bindingScaleAndDeletion() throws {
        let pod = try object(podText)
        let binding = try object(#"{"target":{"kind":"Node","name":"n1"}}"#)
        let bound = try PodStrategy.bind(pod, binding)
        #expect(bound.at("spec", "nodeName") == "n1")
        #expect(throws: APIStatus.self) { try PodStrategy.bind(bound, binding) }
        let controller = try object(#"{"apiVersion":"v1","spec":{"replicas":1,"selector":{"a":"b"}}}"#)
        #expect(ScaleView.scale(of: controller).at("status", "selector") == "a=b")
        let scale = ScaleView.scale(of: try object(deploymentText))
        #expect(scale["kind"] == "Scale" && scale.at("status", "selector") == "app=a")
        let declaration = try declaration(.pods)
        #expect(declaration.gracePeriod(pod, requested: nil) == 0)
        #expect(declaration.gracePeriod(bound, requested: nil) == 30)
        #expect(declaration.gracePeriod(bound, requested: 5) == 5)
        var leaving = bound
        ResourceDeclaration.markDeleted(&leaving, grace: 30, now: Timestamp(seconds: 0))
        #expect(leaving.at("metadata", "deletionTimestamp") == "1970-01-01T00:00:30Z")
    }

    @Test func eventsHaveTwoViews() throws {
        let view = try declaration(.groupEvents)
        #expect(view.storage == .events)
        let event = try object(
            #"{"apiVersion":"v1","kind":"Event","involvedObject":{"name":"p"},"message":"hello","count":2}"#)
        let shown = view.strategy.fromStorage(event)
        #expect(shown["apiVersion"] == "events.k8s.io/v1" && shown["note"] == "hello" && shown["deprecatedCount"] == 2)
        #expect(view.strategy.toStorage(shown) == event)
    }

    @Test func fieldsToSelectBy() throws {
        let pods = try declaration(.pods)
        var pod = try object(podText)
        pod.set("spec", "nodeName", to: "n1")
        #expect(pods.supportsField("spec.nodeName") && !pods.supportsField("spec.containers"))
        #expect(pods.fieldValue("spec.nodeName", of: pod) == "n1")
        #expect(pods.fieldValues(of: pod)["spec.hostNetwork"] == "false")
        #expect(pods.fieldValues(of: pod)["metadata.namespace"] == "d")
        for declaration in Registry.builtIn where declaration.storage == declaration.id {
            #expect(
                Set(declaration.strategy.fieldLabels).isSubset(of: FieldSelector.supported(for: declaration.id)),
                "\(declaration.id)")
        }
    }

    @Test func discovery() throws {
        let core = try #require(Discovery.resources(.standard, group: "", version: "v1"))
        let names = (core["resources"]?.array ?? []).compactMap { $0["name"]?.string }
        #expect(names.contains("pods") && names.contains("pods/log") && names.contains("namespaces/finalize"))
        let apps = try #require(Discovery.resources(.standard, group: "apps", version: "v1"))
        let scale = try #require(apps["resources"]?.array?.first { $0["name"] == "deployments/scale" })
        #expect(scale["group"] == "autoscaling" && scale["kind"] == "Scale")
        #expect(Discovery.resources(.standard, group: "apps", version: "v2") == nil)
        #expect(Discovery.group(.standard, "apps")?.at("preferredVersion", "groupVersion") == "apps/v1")
        let aggregated = Discovery.aggregated(.standard, core: false)
        #expect((aggregated["items"]?.array ?? []).count == Registry.standard.groups.count - 1)
    }

    @Test func everyKindIsDescribed() throws {
        let v2 = OpenAPI.v2(.standard, version: "v1.36.1")
        for declaration in Registry.builtIn {
            let kind = v2.at("definitions", declaration.schema.openAPIName)
            #expect(kind?["description"]?.string?.isEmpty == false, "\(declaration.id)")
            let reference = kind?.at("properties", "spec", "$ref")?.string ?? ""
            let spec = v2.at("definitions", String(reference.split(separator: "/").last ?? ""))
            for owner in [kind, spec] {
                for (name, field) in owner?["properties"]?.object ?? JSONObject() {
                    #expect(field["description"] != nil, "\(declaration.id) \(name)")
                }
            }
        }
    }

    /// The names and messages of a protobuf message's length-delimited fields of one number.
    private func fields(_ number: Int, in bytes: ArraySlice<UInt8>) -> [ArraySlice<UInt8>] {
        var (rest, found) = (bytes, [ArraySlice<UInt8>]())
        func varint() -> Int {
            var (value, shift) = (0, 0)
            while let byte = rest.popFirst() {
                value |= Int(byte & 0x7F) << shift
                shift += 7
                if byte & 0x80 == 0 { break }
            }
            return value
        }
        while !rest.isEmpty {
            let tag = varint()
            guard tag & 7 == 2 else {
                _ = varint()
                continue
            }
            let length = varint()
            if tag >> 3 == number { found.append(rest.prefix(length)) }
            rest = rest.dropFirst(length)
        }
        return found
    }

    @Test func openAPIAsProtobufNamesEveryKind() throws {
        let document = OpenAPI.v2(.standard, version: "v1.36.1")
        let bytes = OpenAPIProtobuf.encode(document)[...]
        #expect(fields(1, in: bytes).map { String(decoding: $0, as: UTF8.self) } == ["2.0"])
        let definitions = try #require(fields(9, in: bytes).first)
        var kinds: Set<String> = []
        for entry in fields(1, in: definitions) {
            let schema = try #require(fields(2, in: entry).first)
            for note in fields(31, in: schema) {
                let name = fields(1, in: note).map { String(decoding: $0, as: UTF8.self) }
                guard name == ["x-kubernetes-group-version-kind"] else { continue }
                let yaml = try #require(fields(2, in: note).first.flatMap { fields(2, in: $0).first })
                for kind in try JSON.parse(Array(yaml)).array ?? [] {
                    kinds.insert(
                        "\(kind["group"]?.string ?? "")/\(kind["version"]?.string ?? "")/\(kind["kind"]?.string ?? "")")
                }
            }
        }
        for declaration in Registry.builtIn {
            #expect(kinds.contains("\(declaration.id.group)/\(declaration.id.version)/\(declaration.kind)"))
        }
        let paths = try #require(fields(8, in: bytes).first)
        #expect(fields(2, in: paths).count == document["paths"]?.object?.count)
    }

    @Test func openAPIReferencesResolve() throws {
        let documents = OpenAPI.v3(.standard, version: "v1.36.1")
        #expect(documents.map(\.path).contains("apis/apps/v1"))
        for document in documents { try checkReferences(JSON.parse(document.bytes), "components", "schemas") }
        let v2 = OpenAPI.v2(.standard, version: "v1.36.1")
        checkReferences(v2, "definitions")
        let apps = try JSON.parse(try #require(documents.first { $0.path == "apis/apps/v1" }).bytes)
        let patch = apps.at("paths", "/apis/apps/v1/namespaces/{namespace}/deployments/{name}", "patch")
        #expect((patch?["parameters"]?.array ?? []).contains { $0["name"] == "fieldValidation" })
        #expect(patch?.at("requestBody", "content", "application/strategic-merge-patch+json") != nil)
        #expect(patch?["x-kubernetes-group-version-kind"] == ["group": "apps", "version": "v1", "kind": "Deployment"])
        let containers = apps.at(
            "components", "schemas", "io.k8s.api.core.v1.PodSpec", "properties", "containers")
        #expect(containers?["x-kubernetes-patch-merge-key"] == "name")
        print("OpenAPI: \(documents.map { "\($0.path) \($0.bytes.count)" }.joined(separator: ", "))")
    }

    private func checkReferences(_ document: JSON, _ place: String...) {
        let prefix = "#/" + place.joined(separator: "/") + "/"
        let known = Set(document.at(place)?.object?.keys ?? [])
        var pending = [document]
        while let value = pending.popLast() {
            pending += value.array ?? value.object?.values ?? []
            if let reference = value["$ref"]?.string {
                #expect(
                    reference.hasPrefix(prefix) && known.contains(String(reference.dropFirst(prefix.count))),
                    "\(reference)")
            }
        }
    }
}
