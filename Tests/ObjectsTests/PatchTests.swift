// Patches: the examples of RFC 6902 and RFC 7386, and strategic merge with a small schema like a pod's.

import Objects
import Testing

/// container, env, ports … as the declarations say it of a pod.
private struct PodLikeSchema: PatchSchema {
    var fields: [String: PodLikeSchema] = [:]
    var element: [PodLikeSchema] = []
    var patchMergeKey: String?
    var patchStrategies: [String] = []
    func patchField(_ name: String) -> (any PatchSchema)? { fields[name] }
    var patchElement: (any PatchSchema)? { element.first }

    static func list(_ key: String?, _ element: PodLikeSchema? = nil) -> PodLikeSchema {
        PodLikeSchema(element: element.map { [$0] } ?? [], patchMergeKey: key, patchStrategies: ["merge"])
    }

    static let object = PodLikeSchema(fields: [
        "spec": PodLikeSchema(fields: [
            "containers": list("name", PodLikeSchema(fields: ["env": list("name"), "ports": list("containerPort")])),
            "finalizers": list(nil),
            "tolerations": PodLikeSchema(),
            "strategy": PodLikeSchema(patchStrategies: ["retainKeys"]),
            "whole": PodLikeSchema(patchStrategies: ["replace"]),
        ])
    ])
}

@Suite struct PatchTests {
    private func json(_ text: String) throws -> JSON { try YAML.parse(text).first ?? .null }

    @Test(arguments: [
        (#"{"a":"b"}"#, #"{"a":"c"}"#, #"{"a":"c"}"#), (#"{"a":"b"}"#, #"{"b":"c"}"#, #"{"a":"b","b":"c"}"#),
        (#"{"a":"b"}"#, #"{"a":null}"#, "{}"), (#"{"a":["b"]}"#, #"{"a":"c"}"#, #"{"a":"c"}"#),
        (#"{"a":{"b":"c"}}"#, #"{"a":{"b":"d","c":null}}"#, #"{"a":{"b":"d"}}"#), ("[1]", #"{"a":1}"#, #"{"a":1}"#),
        (#"{"e":null}"#, #"{"a":1}"#, #"{"a":1,"e":null}"#), ("{}", #"{"a":{"bb":{"ccc":null}}}"#, #"{"a":{"bb":{}}}"#),
        ("{}", "3", "3"),
    ]) func mergePatch(target: String, patch: String, expected: String) throws {
        #expect(MergePatch.apply(try JSON.parse(patch), to: try JSON.parse(target)).text == expected)
    }

    @Test(arguments: [
        (#"{"foo":"bar"}"#, #"[{"op":"add","path":"/baz","value":"qux"}]"#, #"{"baz":"qux","foo":"bar"}"#),
        (#"{"foo":["a","b"]}"#, #"[{"op":"add","path":"/foo/1","value":"x"}]"#, #"{"foo":["a","x","b"]}"#),
        (#"{"foo":["a"]}"#, #"[{"op":"add","path":"/foo/-","value":["b"]}]"#, #"{"foo":["a",["b"]]}"#),
        (#"{"a":1,"b":2}"#, #"[{"op":"remove","path":"/a"}]"#, #"{"b":2}"#),
        (#"{"a":[1,2,3]}"#, #"[{"op":"remove","path":"/a/1"}]"#, #"{"a":[1,3]}"#),
        (#"{"a":1}"#, #"[{"op":"replace","path":"/a","value":null}]"#, #"{"a":null}"#),
        (#"{"a":{"b":1},"c":{}}"#, #"[{"op":"move","from":"/a/b","path":"/c/d"}]"#, #"{"a":{},"c":{"d":1}}"#),
        (#"{"a":[1,2,3,4]}"#, #"[{"op":"move","from":"/a/1","path":"/a/3"}]"#, #"{"a":[1,3,4,2]}"#),
        (#"{"a":{"b":1}}"#, #"[{"op":"copy","from":"/a","path":"/c"}]"#, #"{"a":{"b":1},"c":{"b":1}}"#),
        (
            #"{"a/b":1,"m~n":2}"#, #"[{"op":"test","path":"/a~1b","value":1.0},{"op":"remove","path":"/m~0n"}]"#,
            #"{"a/b":1}"#
        ),
        (#"{"~1":1}"#, #"[{"op":"remove","path":"/~01"}]"#, "{}"),
        (#"{"a":1}"#, #"[{"op":"replace","path":"","value":{"b":2}}]"#, #"{"b":2}"#),
        (#"{"":1}"#, #"[{"op":"replace","path":"/","value":2}]"#, #"{"":2}"#),
    ]) func jsonPatch(target: String, patch: String, expected: String) throws {
        #expect(try JSONPatch.apply(JSON.parse(patch), to: JSON.parse(target)).text == expected)
    }

    @Test(arguments: [
        #"{}"#, #"[{"path":"/a"}]"#, #"[{"op":"jump","path":"/a"}]"#, #"[{"op":"add","path":"/x"}]"#,
        #"[{"op":"remove","path":"/gone"}]"#, #"[{"op":"replace","path":"/gone","value":1}]"#,
        #"[{"op":"add","path":"/gone/x","value":1}]"#, #"[{"op":"add","path":"/l/3","value":1}]"#,
        #"[{"op":"add","path":"/l/01","value":1}]"#, #"[{"op":"remove","path":"/l/-"}]"#,
        #"[{"op":"test","path":"/a","value":2}]"#,
        #"[{"op":"add","path":"a","value":1}]"#, #"[{"op":"move","from":"/o","path":"/o/x"}]"#,
        #"[{"op":"remove","path":""}]"#,
        #"[{"op":"add","path":"/a/b","value":1}]"#,
    ]) func jsonPatchRefuses(patch: String) throws {
        let target = try JSON.parse(#"{"a":1,"l":[1,2],"o":{}}"#)
        let patch = try JSON.parse(patch)
        #expect(throws: PatchError.self) { try JSONPatch.apply(patch, to: target) }
    }

    @Test func copiesAreBounded() throws {
        let operation = #"{"op":"copy","from":"/a","path":"/a/-"}"#
        let patch = try JSON.parse("[" + Array(repeating: operation, count: 200).joined(separator: ",") + "]")
        #expect(throws: PatchError.self) { try JSONPatch.apply(patch, to: ["a": ["xxxxxxxxxxxxxxxx"]]) }
    }

    private func strategic(_ target: String, _ patch: String) throws -> JSON {
        try StrategicMergePatch.apply(json(patch), to: json(target), schema: PodLikeSchema.object)
    }

    @Test func listsMergeByKey() throws {
        let result = try strategic(
            """
            spec:
              containers:
              - {name: a, image: one, env: [{name: X, value: "1"}, {name: Y, value: "2"}]}
              - {name: b, image: two}
              tolerations: [{key: old}]
            """,
            """
            spec:
              containers:
              - {name: b, image: three}
              - {name: c, image: four, args: null}
              - {name: a, env: [{name: Y, value: "5"}, {name: X, $patch: delete}]}
              tolerations: [{key: new}]
            """)
        #expect(
            result
                == (try json(
                    """
                    spec:
                      containers:
                      - {name: b, image: three}
                      - {name: c, image: four}
                      - {name: a, image: one, env: [{name: Y, value: "5"}]}
                      tolerations: [{key: new}]
                    """)))
    }

    @Test func whatOnlyTheServerHasStaysWhereItStood() throws {
        let live = "spec: {containers: [{name: first}, {name: a}, {name: injected}, {name: b}, {name: last}]}"
        func names(_ value: JSON) -> [String] {
            value.at("spec", "containers")?.array?.compactMap { $0["name"]?.string } ?? []
        }
        #expect(
            names(try strategic(live, "spec: {containers: [{name: a, x: 1}, {name: b, x: 1}]}"))
                == ["first", "a", "injected", "b", "last"])
        #expect(
            names(
                try strategic(
                    live,
                    "spec: {$setElementOrder/containers: [{name: b}, {name: new}, {name: a}], containers: [{name: new}]}"
                ))
                == ["first", "injected", "b", "new", "a", "last"])
        #expect(
            names(
                try strategic(
                    "spec: {containers: [{name: a}, {name: b}]}",
                    "spec: {$setElementOrder/containers: [{name: b}, {name: a}]}")) == ["b", "a"])
    }

    @Test func directives() throws {
        #expect(
            try strategic(
                "spec: {containers: [{name: a}, {name: b}]}",
                "spec: {containers: [{name: c}, {$patch: replace}]}") == json("spec: {containers: [{name: c}]}"))
        #expect(
            try strategic(
                "spec: {containers: [{name: a}, {name: b}]}",
                "spec: {containers: [{name: a, $patch: delete}]}") == json("spec: {containers: [{name: b}]}"))
        #expect(
            try strategic(
                "spec: {finalizers: [a, b, c]}",
                "spec: {$deleteFromPrimitiveList/finalizers: [b], $setElementOrder/finalizers: [d, a, c], finalizers: [d]}"
            )
                == json("spec: {finalizers: [d, a, c]}"))
        #expect(
            try strategic(
                "spec: {strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1}}}",
                "spec: {strategy: {$retainKeys: [type], type: Recreate}}") == json("spec: {strategy: {type: Recreate}}")
        )
        #expect(try strategic("spec: {whole: {a: 1}}", "spec: {whole: {b: 2}}") == json("spec: {whole: {b: 2}}"))
        #expect(try strategic("spec: {x: {a: 1}}", "spec: {x: {$patch: replace, b: 2}}") == json("spec: {x: {b: 2}}"))
        #expect(
            try strategic("spec: {x: {a: 1}, y: 1}", "spec: {x: {$patch: delete}, y: null}") == json("spec: {x: {}}"))
        #expect(
            try strategic("{}", "spec: {new: {a: null, b: [{$patch: delete, name: q}, {name: r}]}}")
                == json("spec: {new: {b: [{name: r}]}}"))
    }

    @Test func nonsenseIsRefused() throws {
        for patch in [
            "spec: {containers: [{image: x}]}", "spec: {containers: [{name: a, $patch: explode}]}",
            "spec: {$patch: explode}", "spec: {strategy: {$retainKeys: [a], b: 1}}",
            "spec: {$deleteFromPrimitiveList/finalizers: 3}",
            "[]", "3",
        ] {
            #expect(throws: PatchError.self, "\(patch)") {
                try strategic("spec: {containers: [{name: a}], strategy: {}, finalizers: [a]}", patch)
            }
        }
    }
}
