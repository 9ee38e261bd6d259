// Small inputs that would cost a lot: nesting deeper than a stack, work that grows with the square of the input. A test
// that fails here does so by crashing or by taking minutes.

import Testing

@testable import Objects

@Suite struct BombTests {
    private func nested(_ depth: Int, _ core: JSON = 1) -> JSON { (0..<depth).reduce(core) { value, _ in ["a": value] } }

    @Test func nestingIsMeasured() {
        var visited = 0
        #expect(!nested(5).isNested(deeperThan: 5, visited: &visited))
        #expect(nested(5).isNested(deeperThan: 4, visited: &visited))
        #expect(!JSON.array([]).isNested(deeperThan: 1, visited: &visited))
        #expect(JSON.array([]).isNested(deeperThan: 0, visited: &visited))
        #expect(visited > 10)
    }

    /// Each alias takes what it names a little deeper.
    @Test func aliasesInAliases() {
        let lines = (0..<90).map { level in
            "a\(level): &a\(level) " + String(repeating: "[", count: 400) + (level == 0 ? "x" : "*a\(level - 1)")
                + String(repeating: "]", count: 400)
        }
        let error = #expect(throws: JSONError.self) { try YAML.parse(lines.joined(separator: "\n"), limits: .body) }
        #expect(error?.reason == "exceeded max depth")
        #expect(throws: Never.self) { try YAML.parse("a: &a [[x]]\nb: [[*a]]", limits: JSONLimits(depth: 5)) }
        #expect(throws: JSONError.self) { try YAML.parse("a: &a [[x]]\nb: [[*a]]", limits: JSONLimits(depth: 4)) }
    }

    @Test func manyKeys() throws {
        let keys = (0..<100_000).map { "key-\($0)" }
        let yaml = keys.map { "\($0): 1\n" }.joined() + "key-7: 2\n"
        var duplicates: [String] = []
        let documents = try YAML.parse(Array(yaml.utf8), duplicates: &duplicates)
        #expect(duplicates == [#"line 100001: key "key-7" already set in map"#])
        #expect(documents.first?.object?.count == 100_000 && documents.first?["key-7"] == 2)
        // Before all others, in order.
        let merging = "base: &b {" + keys.map { "a\($0): 1" }.joined(separator: ",") + "}\nall:\n  <<: *b\n"
            + keys.map { "  z\($0): 2\n" }.joined()
        #expect(try YAML.parse(merging).first?["all"]?.object?.count == 200_000)
    }

    /// Unicode holds these equal, JSON does not.
    @Test func keysThatLookAlike() throws {
        let marks = ["\u{e9}", "e\u{301}"]
        let keys = (0..<4096).map { number in (0..<12).map { marks[number >> $0 & 1] }.joined() }
        let object = JSON.object(JSONObject(keys.map { ($0, 1) }))
        #expect(object.object?.count == 4096)
        #expect(Set(keys.map { JSON.string($0) }).count == 4096)
        var duplicates: [String] = []
        _ = try YAML.parse(Array(keys.map { "\"\($0)\": 1\n" }.joined().utf8), duplicates: &duplicates)
        #expect(duplicates.isEmpty)
    }

    @Test func patchesThatBringMuch() throws {
        let many = JSON.object(JSONObject((0..<50_000).map { ("z\($0)", 1) }))
        let more = JSON.object(JSONObject((0..<50_000).map { ("a\($0)", 2) } + [("z7", .null), ("z8", 3)]))
        let merged = MergePatch.apply(more, to: many)
        #expect(merged.object?.count == 99_999 && merged["z7"] == nil && merged["z8"] == 3 && merged["a0"] == 2)
        let strategic = try StrategicMergePatch.apply(more, to: many, schema: nil)
        #expect(strategic == merged)
        let pods = try #require(Registry.standard.find(ResourceID.pods)?.schema.root)
        let names = (0..<20_000).map { JSON.string("f\($0)") }
        let lists: JSON = [
            "metadata": ["finalizers": .array(names)],
            "spec": ["containers": .array(names.map { ["name": $0] })],
        ]
        let live: JSON = ["metadata": ["finalizers": ["x"]], "spec": ["containers": [["name": "x"], ["name": "f1", "image": "i"]]]]
        let patched = try StrategicMergePatch.apply(lists, to: live, schema: pods)
        #expect(patched.at("metadata", "finalizers")?.array?.count == 20_001)
        let containers = patched.at("spec", "containers")?.array ?? []
        #expect(containers.count == 20_001 && containers.contains(["name": "f1", "image": "i"]))
    }

    @Test func deletedElementsAreGoneAndMayComeAgain() throws {
        let pods = try #require(Registry.standard.find(ResourceID.pods)?.schema.root)
        let live: JSON = ["spec": ["containers": [["name": "a", "image": "1"], ["name": "b"], ["name": "c"]]]]
        let patch: JSON = [
            "spec": ["containers": [["name": "a", "$patch": "delete"], ["name": "c", "image": "2"], ["name": "a", "image": "3"]]]
        ]
        let patched = try StrategicMergePatch.apply(patch, to: live, schema: pods)
        #expect(
            patched.at("spec", "containers")
                == [["name": "b"], ["name": "c", "image": "2"], ["name": "a", "image": "3"]])
    }

    /// Operations of a JSON patch that build on each other would nest without end.
    @Test func patchesThatDeepen() {
        let inner = nested(300)
        let path = String(repeating: "/a", count: 250)
        var moves: [JSON] = [["op": "add", "path": "/t0", "value": inner]]
        for step in 1..<500 {
            moves.append(["op": "add", "path": .string("/t\(step)"), "value": inner])
            moves.append(["op": "move", "from": .string("/t\(step - 1)"), "path": .string("/t\(step)\(path)")])
        }
        let copies: [JSON] = [["op": "add", "path": "/a", "value": inner]]
            + (0..<50).map { _ in ["op": "copy", "from": "/a", "path": .string(path)] }
        let long = String(repeating: "/a", count: 40_000)
        for patch in [moves, copies, [["op": "add", "path": .string(long), "value": 1]], [["op": "add", "path": "/x", "value": nested(512)]]] {
            let error = #expect(throws: PatchError.self) { try JSONPatch.apply(.array(patch), to: [:]) }
            #expect(error?.description.contains("exceeded max depth") == true, "\(error?.description ?? "")")
        }
        #expect(throws: Never.self) { try JSONPatch.apply([["op": "add", "path": "/x", "value": nested(511)]], to: [:]) }
    }

    @Test func patternsAndPathsThatNest() {
        #expect(throws: Pattern.Failure.self) { try Pattern("((((){1000}){1000}){1000}){1000}") }
        #expect(throws: Pattern.Failure.self) { try Pattern(String(repeating: "(", count: 100_000)) }
        #expect(throws: Never.self) { try Pattern("(|a){1000}") }
        #expect(throws: JSONPath.Failure.self) { try JSONPath(String(repeating: ".a[?(@", count: 100_000)) }
        #expect(throws: Never.self) { try JSONPath(".a[?(@.b[?(@.c==1)].d==2)].e") }
    }
}
