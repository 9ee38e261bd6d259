// YAML: what plain scalars mean to Kubernetes' users, documents, merges, and what is refused.

import Objects
import Testing

@Suite struct YAMLTests {
    @Test func readsAManifest() throws {
        let documents = try YAML.parse(
            """
            # comment
            apiVersion: v1
            kind: Pod
            metadata: {name: web, labels: {app: "web", num: '1'}}
            spec:
              containers:
              - name: c
                image: demo:v1
                args: ["-c", 'x: y']
                env:
                - {name: A, value: ""}
              script: |
                line 1
                  line 2
              folded: >-
                one
                two
            ---
            ---
            kind: List
            items: []
            """)
        let pod: JSON = [
            "apiVersion": "v1", "kind": "Pod", "metadata": ["name": "web", "labels": ["app": "web", "num": "1"]],
            "spec": [
                "containers": [
                    ["name": "c", "image": "demo:v1", "args": ["-c", "x: y"], "env": [["name": "A", "value": ""]]]
                ],
                "script": "line 1\n  line 2\n", "folded": "one two",
            ],
        ]
        #expect(documents == [pod, ["kind": "List", "items": []] as JSON])
    }

    @Test(
        arguments: [
            ("", JSON.null), ("~", .null), ("null", .null), ("yes", true), ("On", true), ("n", false), ("off", false),
            ("True", true),
            ("tRUE", "tRUE"), ("12", 12), ("+12", 12), ("-7", -7), ("0644", 420), ("0o644", 420), ("0x1F", 31),
            ("0b101", 5),
            ("1_000", 1000), ("089", 89), ("1.5", 1.5), (".5", 0.5), ("1e3", 1000), ("1.", 1), ("1e300", 1e300),
            ("1.2.3", "1.2.3"),
            ("10.0.0.1", "10.0.0.1"), ("100m", "100m"), ("1Gi", "1Gi"), ("2001-12-14", "2001-12-14"),
            ("12:30:45", "12:30:45"),
            ("9223372036854775808", 9223372036854775808.0), ("+", "+"), (".", "."), ("0x", "0x"), ("0x-1", "0x-1"),
            ("'12'", "12"), ("\"yes\"", "yes"), ("!!str 12", "12"), ("!!binary aGk=", "hi"), ("1e", "1e"),
            ("v1.30", "v1.30"), ("a: b", ["a": "b"]),
        ] as [(String, JSON)]) func scalarsMean(text: String, value: JSON) throws
    {
        let expected: JSON = ["x": value]
        #expect(try YAML.parse("x:\n  \(text)") == [expected])
    }

    @Test func keysBecomeStrings() throws {
        let expected: JSON = ["1": "a", "true": "b", "1.5": "c", "d": "e"]
        #expect(try YAML.parse("1: a\ntrue: b\n1.5: c\n'd': e") == [expected])
        #expect(throws: JSONError.self) { try YAML.parse("? [a]\n: b") }
        #expect(throws: JSONError.self) { try YAML.parse("~: b") }
    }

    @Test func anchorsAndMergesExpand() throws {
        let documents = try YAML.parse(
            """
            base: &base {a: 1, b: 2}
            list: &list [x, z]
            one: {<<: *base, b: 3}
            two: {<<: [*base, {c: 4}], a: 0}
            same: *list
            """)
        #expect(documents.first?["one"] == ["a": 1, "b": 3])
        #expect(documents.first?["two"] == ["a": 0, "b": 2, "c": 4])
        #expect(documents.first?["same"] == ["x", "z"])
    }

    @Test func aliasBombsAreRefused() {
        var text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for level in 1...12 {
            let list = Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", ")
            text += "a\(level): &a\(level) [\(list)]\n"
        }
        let error = #expect(throws: JSONError.self) { try YAML.parse(text) }
        #expect(error?.reason == "document contains excessive aliasing")
        #expect(throws: JSONError.self) { try YAML.parse("a: *missing") }
        #expect(throws: JSONError.self) { try YAML.parse("a: &a [*a]") }
    }

    @Test func duplicateKeysAreRefusedOrReported() throws {
        let text = "a: 1\nb:\n  c: 1\n  c: 2\na: 3\n"
        let error = #expect(throws: JSONError.self) { try YAML.parse(text) }
        #expect(error?.line == 4)
        #expect(error?.reason == #"key "c" already set in map"#)
        var duplicates: [String] = []
        let documents = try YAML.parse(Array(text.utf8), duplicates: &duplicates)
        #expect(duplicates == [#"line 4: key "c" already set in map"#, #"line 5: key "a" already set in map"#])
        let expected: JSON = ["a": 3, "b": ["c": 2]]
        #expect(documents == [expected])
    }

    @Test(arguments: ["a: [", "a: b: c", "\tx: 1", "a: .inf", "- a\nb: c", "a: \"x", "%FOO", "a: !!binary ü", "{a"])
    func refuses(text: String) {
        #expect(throws: JSONError.self) { try YAML.parse(text) }
    }

    @Test func errorsSayWhere() {
        let error = #expect(throws: JSONError.self) { try YAML.parse("a: 1\nb:\n  - x\n c: 2\n") }
        #expect(error?.line == 4)
    }

    @Test func depthAndEncodingAreChecked() {
        #expect(throws: JSONError.self) { try YAML.parse(String(repeating: "[", count: 100_000)) }
        #expect(throws: JSONError.self) { try YAML.parse(String(repeating: "- ", count: 600) + "x", limits: .body) }
        #expect(throws: JSONError.self) { try YAML.parse([0x61, 0x3A, 0x20, 0xFF]) }
    }

    @Test func jsonIsYAML() throws {
        let value: JSON = ["a": [1, "x\n\u{e9}", .null, true, 1.5], "b": [:]]
        #expect(try YAML.parse(value.text) == [value])
    }

    /// A key before its colon has 1024 characters at most, as it is written.
    @Test(arguments: ["k", "\""])
    func longKeysAreAnnounced(_ character: String) throws {
        func key(_ count: Int) -> String { String(repeating: character, count: count) }
        for count in [500, 1024, 1025, 5000] {
            let value: JSON = [
                key(count): ["a": 1], "list": [[key(count): [1, 2], "z": .null], [key(count): [:]]], "nested": [key(count): "x"],
            ]
            #expect(try YAML.parse(value.encodeYAML()) == [value])
        }
    }
}
