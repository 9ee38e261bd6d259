// Status messages and names, word for word as Kubernetes has them.

import Objects
import Testing

@Suite struct StatusTests {
    @Test func messages() {
        #expect(APIStatus.notFound(.pods, "x").message == #"pods "x" not found"#)
        #expect(APIStatus.notFound(.deployments, "x").message == #"deployments.apps "x" not found"#)
        #expect(APIStatus.alreadyExists(.configMaps, "c").message == #"configmaps "c" already exists"#)
        #expect(
            APIStatus.conflict(.deployments, "d").message
                == #"Operation cannot be fulfilled on deployments.apps "d": the object has been modified; please apply your changes to the latest version and try again"#
        )
        #expect(APIStatus.forbidden(.pods, "", "no").message == "pods is forbidden: no")
        #expect(APIStatus.forbidden(.pods, "x", "no").message == #"pods "x" is forbidden: no"#)
        #expect(APIStatus.internalError("boom").message == "Internal error occurred: boom")
        #expect(APIStatus.tooLarge(limit: 3145728).code == 413)
        #expect(APIStatus.expired("too old").code == 410)
    }

    @Test func invalidListsItsErrors() {
        let path: FieldPath = "spec.template.spec"
        let one = APIStatus.invalid(.deployment, "x", [.required(path.child("containers").index(0).child("name"))])
        #expect(
            one.message == #"Deployment.apps "x" is invalid: spec.template.spec.containers[0].name: Required value"#)
        #expect(one.code == 422)
        let two = APIStatus.invalid(
            .pod, "p",
            [
                .invalid("metadata.name", "A", "bad"),
                .notSupported("spec.restartPolicy", "Never!", ["OnFailure", "Always"]),
                .invalid("metadata.name", "A", "bad"), .invalid("spec.x", 3, "must be 4"), .duplicate("spec.y[1]", "q"),
            ])
        #expect(
            two.message
                == #"Pod "p" is invalid: [metadata.name: Invalid value: "A": bad, spec.restartPolicy: Unsupported value: "Never!": supported values: "Always", "OnFailure", spec.x: Invalid value: 3: must be 4, spec.y[1]: Duplicate value: "q"]"#
        )
        #expect(two.details?.causes.count == 5)
        #expect(
            two.details?.causes.first
                == APIStatus.Cause(
                    reason: "FieldValueInvalid", message: #"Invalid value: "A": bad"#, field: "metadata.name"))
    }

    @Test func jsonRoundTrips() throws {
        var status = APIStatus.invalid(.pod, "p", [.required("spec")])
        #expect(
            status.json.text
                == #"{"apiVersion":"v1","code":422,"details":{"causes":[{"field":"spec","message":"Required value","reason":"FieldValueRequired"}],"kind":"Pod","name":"p"},"kind":"Status","message":"Pod \"p\" is invalid: spec: Required value","metadata":{},"reason":"Invalid","status":"Failure"}"#
        )
        status.continueToken = "abc"
        #expect(APIStatus(status.json) == status)
        #expect(APIStatus(["kind": "Pod"]) == nil)
        #expect(APIStatus(APIStatus.success(.pods, "x", uid: "u")) == nil)
    }

    @Test func identity() {
        #expect(ResourceID.deployments.apiVersion == "apps/v1")
        #expect(ResourceID.pods.description == "v1/pods")
        #expect(GroupVersionKind(apiVersion: "apps/v1", kind: "Deployment") == .deployment)
        #expect(GroupVersionKind(apiVersion: "v1", kind: "Pod") == .pod)
        #expect(GroupVersionKind(apiVersion: "a/b/c", kind: "X") == nil)
        #expect(GroupVersionKind(apiVersion: "", kind: "X") == nil)
    }

    @Test func names() {
        let long = String(repeating: "a", count: 64)
        for good in ["a", "my-name", "123-abc", String(repeating: "a", count: 63)] {
            #expect(Names.dns1123Label(good) == [], "\(good)")
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "ä"] { #expect(Names.dns1123Label(bad).count == 1, "\(bad)") }
        #expect(Names.dns1123Label(long) == ["must be no more than 63 bytes"])
        #expect(
            Names.dns1123Label("Web")
                == [
                    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
                ])
        #expect(Names.dns1123Subdomain("a.b-c.d1") == [])
        for bad in ["", "a..b", ".a", "a.", "a.-b", "Example.com"] {
            #expect(!Names.dns1123Subdomain(bad).isEmpty, "\(bad)")
        }
        #expect(Names.dns1035Label("1a").count == 1)
        #expect(Names.dns1035Label("").count == 1)
        for good in ["a", "A.b_c-1", "example.com/Name"] { #expect(Names.qualifiedName(good) == [], "\(good)") }
        for bad in ["", "/a", "a/", "a/b/c", "-a", "Ex.com/a", "a b"] {
            #expect(!Names.qualifiedName(bad).isEmpty, "\(bad)")
        }
        #expect(Names.labelValue("") == [])
        #expect(Names.labelValue("-x").count == 1)
        #expect(Names.configMapKey("..data") == ["must not start with '..'"])
        #expect(Names.configMapKey("a/b").count == 1)
        #expect(Names.portName("http") == [])
        for bad in ["", "80", "a--b", "-a", "HTTP", "a-name-too-long-by-one"] {
            #expect(!Names.portName(bad).isEmpty, "\(bad)")
        }
        #expect(Names.portNumber(0) == ["must be between 1 and 65535, inclusive"])
        #expect(Names.environmentVariable("A=B").count == 1)
        #expect(Names.environmentVariable("my.var-1") == [])
    }
}
