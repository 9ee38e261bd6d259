// What custom resources bring along: patterns in linear time, formats, JSONPath, the ranking of versions.

import Testing

@testable import Objects

@Suite struct PatternTests {
    @Test(arguments: [
        ("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "my-name", true), ("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "-x", false),
        ("a|b", "xxb", true), ("^(a|b){2,3}$", "abab", false), ("^(a|b){2,3}$", "aba", true), ("^a{2}$", "aa", true),
        ("^x{,2}$", "x{,2}", true), ("^\\d+(\\.\\d+)?(ms|s)$", "1.5ms", true), ("^[^/]+$", "a/b", false),
        ("^[[:alpha:]_]\\w*$", "_a1", true), ("(?i)^TRUE$", "true", true), ("^\\pL+$", "åß", true),
        ("^\\p{Lu}$", "a", false), ("^[\\d.-]+$", "1.2-3", true), ("^$", "", true), ("\\bcat\\b", "a cat.", true),
        ("\\bcat\\b", "concat", false), ("^(?:a*)*$", "aaaa", true), ("^.$", "é", true), ("^[]a]+$", "]a", true),
        ("^(?P<x>a+)$", "aa", true), ("^\\x41$", "A", true), ("^a.c$", "a\nc", false), ("(?s)^a.c$", "a\nc", true),
        ("^([0-9]+h)?([0-9]+m)?([0-9]+s)?$", "1h3s", true), ("^[\\w\\-\\/]+$", "a-b/c", true),
    ])
    func matches(_ pattern: String, _ text: String, _ expected: Bool) throws {
        #expect(try Pattern(pattern).matches(text) == expected, "\(pattern) on \(text)")
    }

    @Test(arguments: ["(", ")", "[a", "a**", "*", "(?=a)", "(?!a)", "(?<=a)b", "\\1", "a{2,1}", "a{1001}", "\\p{Greek}", "[b-a]", "\\"])
    func refuses(_ pattern: String) {
        #expect(throws: Pattern.Failure.self, "\(pattern)") { try Pattern(pattern) }
    }

    /// A backtracking engine needs 2^30 steps for this.
    @Test func isLinear() throws {
        let pattern = try Pattern("^(a|a)*(a|aa)+b$")
        #expect(!pattern.matches(String(repeating: "a", count: 5_000)))
        #expect(throws: Pattern.Failure.self) { try Pattern("((a{100}){100}){100}") }
        #expect(throws: Pattern.Failure.self) { try Pattern(String(repeating: "(", count: 10_000)) }
    }
}

@Suite struct ValueFormatTests {
    @Test(arguments: [
        ("date-time", "2026-11-21T07:00:00Z", true), ("date-time", "yesterday", false), ("date", "2026-02-30", false),
        ("date", "2026-02-28", true), ("duration", "1h30m", true), ("duration", "2 weeks", true), ("duration", "1x", false),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", true), ("uuid", "123e4567", false), ("ipv4", "10.0.0.1", true),
        ("ipv4", "::1", false), ("ipv6", "fe80::1", true), ("cidr", "10.0.0.0/8", true), ("cidr", "10.0.0.0/33", false),
        ("hostname", "a.example.com", true), ("hostname", "-a", false), ("email", "a@b.c", true), ("email", "a", false),
        ("uri", "https://example.com/a?b", true), ("uri", "example", false), ("byte", "YQ==", true), ("byte", "???", false),
        ("mac", "01:23:45:67:89:ab", true), ("nobody-knows", "anything", true), ("hexcolor", "#a0b", true),
        ("rgbcolor", "rgb(0, 12,255)", true), ("isbn", "978-3-16-148410-0", true),
    ])
    func accepts(_ format: String, _ text: String, _ expected: Bool) {
        #expect(ValueFormat.accepts(format, text) == expected)
    }
}

@Suite struct JSONPathTests {
    let object: JSON = [
        "spec": ["a.b": 1, "list": [["n": "x", "v": 1], ["n": "y", "v": 2]]],
        "status": ["conditions": [["type": "Ready", "status": "True"], ["type": "Other", "status": "False"]]],
    ]

    @Test(arguments: [
        (".spec.list[0].n", ["x"]), (".spec.list[-1].n", ["y"]), (".spec.list[*].n", ["x", "y"]),
        (".spec['a.b']", ["1"]), (".spec.a\\.b", ["1"]), (".status.conditions[?(@.type==\"Ready\")].status", ["True"]),
        (".status.conditions[?(@.type=='None')].status", []), (".spec.list[?(@.v>1)].n", ["y"]),
        (".spec.list[0:1].n", ["x"]), (".nothing.here", []), ("{.spec.list[1].v}", ["2"]),
    ])
    func finds(_ path: String, _ expected: [String]) throws {
        #expect(try JSONPath(path).values(in: object).map { $0.string ?? $0.text } == expected)
    }

    @Test(arguments: [".a..b", ".a[", ".a[?(@.b==)]", "a", ".a[1,2]"])
    func refuses(_ path: String) {
        #expect(throws: JSONPath.Failure.self) { try JSONPath(path) }
    }
}

@Suite struct CustomSchemaTests {
    private func compile(_ schema: JSON) -> ValueSchema {
        var patterns: [String: Pattern] = [:]
        return ValueSchema(schema, &patterns)
    }

    @Test func versionsAreRanked() {
        let names = ["foo1", "v1alpha1", "v2", "v10beta3", "v1", "v11beta2", "v3beta1", "v12alpha1", "foo10"]
        #expect(
            names.sorted { CustomDefinition.rank($0, before: $1) }
                == ["v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v1alpha1", "foo1", "foo10"])
    }

    @Test func groupsOfSchemas() {
        let schema = compile([
            "type": "object",
            "properties": [
                "spec": [
                    "type": "object", "properties": ["a": ["type": "integer"], "b": ["type": "integer"]],
                    "oneOf": [["required": ["a"]], ["required": ["b"]]],
                    "not": ["properties": ["a": ["enum": [13]]], "required": ["a"]],
                ]
            ],
        ])
        func texts(_ spec: JSON) -> [String] { ValueCheck.errors(["spec": spec], schema).map(\.description) }
        #expect(texts(["a": 1]) == [])
        #expect(
            texts([:]).first
                == "<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found none valid")
        #expect(
            texts(["a": 1, "b": 2])
                == ["<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found 2 valid alternatives"])
        #expect(texts(["a": 13]) == ["<nil>: Invalid value: \"\": \"spec\" must not validate the schema (not)"])
    }

    @Test func multiplesOfAnything() {
        func refuses(_ value: Int64, _ step: Int64) -> Bool {
            let schema = compile(["type": "object", "properties": ["a": ["type": "integer", "multipleOf": .int(step)]]])
            return !ValueCheck.errors(["a": .int(value)], schema).isEmpty
        }
        #expect(refuses(7, 2) && !refuses(8, 2) && !refuses(-8, 2) && !refuses(8, 0))
        #expect(!refuses(.min, -1) && !refuses(.min, .min) && refuses(.max, .min))
    }

    @Test func nestedDefaultsAndEmbeddedResources() throws {
        let schema = compile([
            "type": "object",
            "properties": [
                "spec": [
                    "type": "object", "default": [:],
                    "properties": [
                        "inner": ["type": "object", "default": [:], "properties": ["x": ["type": "integer", "default": 5]]],
                        "template": [
                            "type": "object", "x-kubernetes-embedded-resource": true,
                            "x-kubernetes-preserve-unknown-fields": true,
                        ],
                    ],
                ]
            ],
        ])
        var object: JSON = ["apiVersion": "a/v1", "kind": "K", "metadata": ["name": "n", "wrong": 1]]
        var coercion = ValueCoercion()
        try coercion.apply(root: &object, schema)
        #expect(object.at("spec", "inner", "x") == 5)
        #expect(coercion.unknown == ["metadata.wrong"])
        var embedded: JSON = ["spec": ["template": ["kind": "Pod", "metadata": ["labels": ["a": "b"]], "any": ["thing": 1]]]]
        var second = ValueCoercion()
        try second.apply(root: &embedded, schema)
        #expect(embedded.at("spec", "template", "any", "thing") == 1)
        #expect(second.unknown.isEmpty)
        #expect(
            ValueCheck.errors(embedded, schema).map(\.description)
                == ["spec.template.apiVersion: Required value: must not be empty"])
        embedded = ["spec": ["template": ["apiVersion": "v1", "kind": "Pod"]]]
        #expect(ValueCheck.errors(embedded, schema).isEmpty)
    }
}
