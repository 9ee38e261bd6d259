// Schemas: the embedded declarations, the messages of the decoder, pruning, strictness.

import Objects
import System
import Testing

func object(_ text: String) throws -> JSON { try JSON.parse(text) }

func declaration(_ id: ResourceID) throws -> ResourceDeclaration { try #require(Registry.standard.find(id)) }

/// The message of the 400 that decoding throws.
func refusal(_ id: ResourceID, _ text: String, _ validation: FieldValidation = .strict) throws -> String {
    let declaration = try declaration(id)
    let body = try object(text)
    do {
        _ = try declaration.decode(body, validation: validation)
        return "accepted"
    } catch {
        #expect(error.code == 400)
        return error.message
    }
}

@Suite struct SchemaTests {
    @Test func everyDeclarationIsThere() throws {
        #expect(Set(Registry.builtIn.map(\.id)).count == Registry.builtIn.count)
        let streams: Set<String> = ["exec", "attach", "log", "portforward", "proxy"]
        for declaration in Registry.builtIn {
            #expect(!declaration.kind.isEmpty && !declaration.verbs.isEmpty, "\(declaration.id)")
            #expect(!declaration.columns.isEmpty, "\(declaration.id)")
            for sub in declaration.subresources where !streams.contains(sub.name) {
                #expect(Registry.schema(of: sub.kind) != nil, "\(declaration.id)/\(sub.name)")
            }
        }
    }

    @Test func wrongTypesAreWordedAsKubernetesDoes() throws {
        let prefix = "Deployment in version \"v1\" cannot be handled as a Deployment: "
        #expect(
            try refusal(.deployments, #"{"spec":{"replicas":"three"}}"#)
                == prefix
                + "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32")
        #expect(
            try refusal(.deployments, #"{"spec":{"replicas":3000000000}}"#)
                == prefix
                + "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32"
        )
        #expect(
            try refusal(.deployments, #"{"spec":{"replicas":1.5}}"#)
                == prefix
                + "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32")
        #expect(
            try refusal(
                .deployments,
                #"{"spec":{"template":{"spec":{"containers":[{"name":"a","env":[{"name":"A","value":5}]}]}}}}"#)
                == prefix
                + "json: cannot unmarshal number into Go struct field EnvVar.spec.template.spec.containers.env.value of type string"
        )
        #expect(
            try refusal(.pods, #"{"spec":{"containers":"none"}}"#)
                == "Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal string into Go struct field "
                + "PodSpec.spec.containers of type []v1.Container")
        #expect(
            try refusal(.pods, #"{"metadata":{"labels":{"a":true}}}"#).hasSuffix(
                "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string"))
        #expect(
            try refusal(.pods, #"{"spec":{"restartPolicy":1}}"#).hasSuffix(
                "json: cannot unmarshal number into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy"
            ))
    }

    @Test func textsWithASyntaxAreChecked() throws {
        #expect(
            try refusal(
                .pods, #"{"spec":{"containers":[{"resources":{"limits":{"cpu":"lots"}}}]}}"#
            ).hasSuffix(
                "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"))
        #expect(try refusal(.secrets, #"{"data":{"a":"%%"}}"#).hasSuffix("illegal base64 data at input byte 0"))
        #expect(try refusal(.secrets, #"{"data":{"a":"YQ"}}"#).hasSuffix("illegal base64 data at input byte 2"))
        #expect(try refusal(.pods, #"{"metadata":{"creationTimestamp":"now"}}"#).contains("parsing time \"now\""))
        #expect(
            try refusal(.services, #"{"spec":{"ports":[{"targetPort":true}]}}"#).hasSuffix(
                "json: cannot unmarshal bool into Go value of type int32"))
    }

    @Test func unknownFieldsAreRefusedWarnedOfOrIgnored() throws {
        let text = #"{"metadata":{"name":"a"},"spec":{"replicsa":1,"template":{"spec":{"containers":[{"imag":"x"}]}}}}"#
        #expect(
            try refusal(.deployments, text)
                == "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: "
                + "unknown field \"spec.replicsa\", unknown field \"spec.template.spec.containers[0].imag\"")
        let warned = try declaration(.deployments).decode(object(text), validation: .warn)
        #expect(warned.warnings.first == "unknown field \"spec.replicsa\"")
        #expect(warned.object.at("spec", "replicsa") == nil)
        #expect(warned.object["kind"] == "Deployment" && warned.object["apiVersion"] == "apps/v1")
        let ignored = try declaration(.deployments).decode(object(text), validation: .ignore)
        #expect(ignored.warnings.isEmpty && ignored.object == warned.object)
        #expect(throws: APIStatus.self) {
            try declaration(.configMaps).decode(object("{}"), duplicates: ["data.a"], validation: .strict)
        }
    }

    @Test func nullMeansNotGiven() throws {
        let decoded = try declaration(.configMaps).decode(object(#"{"metadata":{"name":"a"},"data":null}"#))
        #expect(decoded.object["data"] == nil)
    }

    @Test func kindAndVersionMustFit() throws {
        #expect(
            try refusal(.pods, #"{"apiVersion":"apps/v1","kind":"Pod"}"#)
                == "the API version in the data (apps/v1) does not match the expected API version (v1)")
        #expect(
            try refusal(.pods, #"{"kind":"Service"}"#)
                == "Service in version \"v1\" cannot be handled as a Pod: "
                + "converting (v1.Service) to (core.Pod): unknown conversion")
        #expect(try refusal(.pods, #"{"kind":"Pot"}"#).contains("no kind \"Pot\" is registered for version \"v1\""))
        #expect(try refusal(.pods, "[]").hasPrefix("couldn't get version/kind"))
    }

    @Test func patchSchemaKnowsMergeKeys() throws {
        let root: any PatchSchema = try declaration(.deployments).schema.root
        let containers = root.patchField("spec")?.patchField("template")?.patchField("spec")?.patchField("containers")
        #expect(containers?.patchMergeKey == "name")
        #expect(containers?.patchStrategies == ["merge"])
        #expect(containers?.patchElement?.patchField("ports")?.patchMergeKey == "containerPort")
        #expect(root.patchField("spec")?.patchField("strategy")?.patchStrategies == ["retainKeys"])
        #expect(root.patchField("metadata")?.patchField("finalizers")?.patchStrategies == ["merge"])
    }
}
