// JSON: what the parser takes and refuses, what the encoder writes, and that the two agree.

import Objects
import Testing

@Suite struct JSONTests {
    @Test(
        arguments: [
            ("null", JSON.null), ("true", true), ("false", false), (" 0 ", 0), ("-0", 0),
            ("9223372036854775807", .int(.max)),
            ("-9223372036854775808", .int(.min)), ("9223372036854775808", .double(9223372036854775808)),
            ("1.5", 1.5), ("-1e3", -1000.0), ("1E-2", 0.01), ("\"\"", ""), ("[]", []), ("{}", [:]),
            ("[1,[2,{\"a\":null}]]", [1, [2, ["a": .null]]]),
            ("\"a\\u00e9\\ud83d\\ude00\\n\\\"\\\\\\/\"", "a\u{e9}\u{1F600}\n\"\\/"),
            ("\"\\u0000\"", "\u{0}"), ("\"grüße 😀 and more text\"", "grüße 😀 and more text"),
        ] as [(String, JSON)]) func accepts(text: String, value: JSON) throws
    {
        #expect(try JSON.parse(text) == value)
    }

    @Test(arguments: [
        "", " ", "nul", "tru", "01", "-", "1.", ".5", "1e", "1e+", "+1", "0x1", "1 2", "[1,]", "[1", "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}", "{a:1}", "'a'", "\"a", "\"\\x\"", "\"\\u12g4\"", "\"\\ud800\"", "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"a\nb\"", "\"\t\"", "1e999", "[1}", "{\"a\":1 \"b\":2}", "NaN", "Infinity", "\u{FEFF}1", "// x\n1",
    ]) func refuses(text: String) {
        #expect(throws: JSONError.self) { try JSON.parse(text) }
    }

    @Test(
        arguments: [
            [0x22, 0xFF, 0x22], [0x22, 0xC0, 0x80, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22], [0x22, 0xE2, 0x82, 0x22],
            [0x22, 0x5C, 0x6E, 0xF5, 0x80, 0x80, 0x80, 0x22], [0x7B, 0x22, 0x80, 0x22, 0x3A, 0x31, 0x7D],
        ] as [[UInt8]]) func refusesInvalidUTF8(bytes: [UInt8])
    {
        #expect(throws: JSONError.self) { try JSON.parse(bytes) }
    }

    @Test func errorsSayWhere() {
        let error = #expect(throws: JSONError.self) { try JSON.parse("{\n  \"a\": 1,\n  \"b\": ?\n}") }
        #expect(error?.line == 3)
        #expect(error?.column == 8)
        #expect(error?.reason == "invalid character '?' looking for beginning of value")
        #expect(throws: JSONError(reason: "unexpected end of JSON input", line: 1, column: 2, offset: 1)) {
            try JSON.parse("[")
        }
    }

    @Test func depthIsLimited() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        _ = try JSON.parse(nested(512), limits: .body)
        #expect(throws: JSONError.self) { try JSON.parse(nested(513), limits: .body) }
        #expect(throws: JSONError.self) { try JSON.parse(nested(1_000_000)) }
        let objects = String(repeating: "{\"a\":", count: 100_000)
        #expect(throws: JSONError.self) { try JSON.parse(objects) }
        // Depth counts nesting, not the number of containers.
        let wide = try JSON.parse("[" + Array(repeating: "[]", count: 5000).joined(separator: ",") + "]")
        #expect(wide.array?.count == 5000)
    }

    @Test func sizeIsLimited() {
        #expect(throws: JSONError.self) { try JSON.parse("[1,2,3]", limits: JSONLimits(bytes: 6)) }
    }

    @Test func duplicateKeysAreRefusedOrReportedWithTheirPath() throws {
        let text = #"{"a":{"b":[{"c":1,"d":2,"c":3},{"x":1}]},"z":1,"z":2,"m":{"n":1,"n":1}}"#
        let error = #expect(throws: JSONError.self) { try JSON.parse(text) }
        #expect(error?.reason == #"duplicate field "c""#)
        var duplicates: [String] = []
        let value = try JSON.parse(Array(text.utf8), duplicates: &duplicates)
        #expect(duplicates == ["a.b[0].c", "m.n", "z"])
        #expect(value.at("z") == 2)
        #expect(value.at("a", "b")?[0]?["c"] == 3)
    }

    @Test func keysAreSortedByBytesAndFoundAgain() throws {
        let keys = ["b", "a", "é", "e\u{301}", "Z", "", "a.b/c", "terminationGracePeriodSeconds", "aa", "\u{1F600}"]
        var object = JSONObject()
        for (index, key) in keys.enumerated() { object[key] = .int(Int64(index)) }
        #expect(object.count == keys.count)
        for (index, key) in keys.enumerated() { #expect(object[key] == .int(Int64(index))) }
        #expect(
            object.keys.map { Array($0.utf8) }
                == keys.map { Array($0.utf8) }.sorted { $0.lexicographicallyPrecedes($1) })
        #expect(object == JSONObject(keys.enumerated().reversed().map { ($0.element, .int(Int64($0.offset))) }))
        object["b"] = nil
        #expect(object["b"] == nil && object.count == keys.count - 1)
    }

    @Test func comparesStringsByBytes() {
        #expect(JSON.string("é") != JSON.string("e\u{301}"))
        #expect(JSON.int(1) != JSON.double(1))
    }

    @Test(
        arguments: [
            (0.1, "0.1"), (1.0, "1"), (-2.5, "-2.5"), (1e20, "100000000000000000000"), (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (0.000001, "0.000001"), (1e-7, "1e-7"), (1.25e-9, "1.25e-9"), (123456.789, "123456.789"), (0, "0"),
            (-0.0, "-0"),
            (5e-324, "5e-324"), (1.7976931348623157e308, "1.7976931348623157e+308"), (100, "100"), (12300, "12300"),
        ] as [(Double, String)]) func writesDoublesLikeGo(value: Double, text: String) throws
    {
        #expect(JSON.double(value).text == text)
        #expect(try JSON.parse(text).double == value)
    }

    @Test func escapesWhatMustBe() {
        #expect(
            JSON.string("a\"\\\n\r\t\u{8}\u{C}\u{1}\u{1F}\u{7F}é</>").text == #""a\"\\\n\r\t\b\f\u0001\u001f"#
                + "\u{7F}é</>\"")
        #expect(JSON.object(["b": [1, .null], "a": "x"]).text == #"{"a":"x","b":[1,null]}"#)
        #expect(JSON.int(.min).text == "-9223372036854775808")
    }

    @Test func randomValuesSurviveTheRoundTrip() throws {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<300 {
            let value = Self.random(depth: 5, &random)
            let bytes = value.encode()
            #expect(try JSON.parse(bytes) == value)
            #expect(try JSON.parse(bytes).encode() == bytes)
        }
    }

    @Test func damagedTextNeverTraps() throws {
        let text = Array(
            #"{"a":[1,-2.5e3,"x\u00e9\n\ud83d\ude00",{"b":null,"long key of many bytes":true}],"ü":"é"}"#.utf8)
        for end in 0..<text.count { #expect(throws: JSONError.self) { try JSON.parse(Array(text[..<end])) } }
        for index in text.indices {
            for byte: UInt8 in [0, 0x22, 0x5C, 0x7B, 0x5D, 0x80, 0xFF, 0x39] {
                var damaged = text
                damaged[index] = byte
                if let value = try? JSON.parse(damaged) {
                    #expect(try JSON.parse(value.encode()).encode() == value.encode())
                }
            }
        }
    }

    @Test func pathsReadAndWrite() {
        var value: JSON = ["spec": ["replicas": 3]]
        #expect(value.at("spec", "replicas")?.int == 3)
        #expect(value.at("spec", "missing", "deeper") == nil)
        value.set("spec", "template", "spec", to: ["x": 1])
        value.set("spec", "replicas", to: nil)
        value.set("nothing", "here", to: nil)
        value["list"] = [1, 2]
        value["list"]?[1] = 5
        value["spec"]?["template"]?["spec"]?["x"] = 7
        #expect(value == ["list": [1, 5], "spec": ["template": ["spec": ["x": 7]]]])
    }

    @Test func splitsAtTheResourceVersion() throws {
        let value: JSON = [
            "metadata": ["name": "a", "resourceVersion": "12", "uid": "u"], "z": ["resourceVersion": "9"],
        ]
        let (bytes, cut) = try #require(value.encodeCut(at: ["metadata", "resourceVersion"]))
        #expect(String(decoding: bytes[..<cut], as: UTF8.self) == #"{"metadata":{"name":"a","resourceVersion":""#)
        #expect(String(decoding: bytes[cut...], as: UTF8.self) == #"","uid":"u"},"z":{"resourceVersion":"9"}}"#)
        #expect(try JSON.parse(bytes[..<cut] + Array("12".utf8) + bytes[cut...]) == value)
        let without: JSON = ["kind": "X"]
        let made = try #require(without.encodeCut(at: ["metadata", "resourceVersion"]))
        #expect(
            try JSON.parse(made.bytes[..<made.cut] + Array("7".utf8) + made.bytes[made.cut...])
                == ["kind": "X", "metadata": ["resourceVersion": "7"]])
    }

    private static func random(depth: Int, _ random: inout SystemRandomNumberGenerator) -> JSON {
        switch Int.random(in: 0..<(depth > 0 ? 8 : 6), using: &random) {
        case 0: return .null
        case 1: return .bool(.random(using: &random))
        case 2: return .int(.random(in: .min ... .max, using: &random))
        case 3:
            let value = Double(bitPattern: .random(in: 0 ... .max, using: &random))
            // Whole numbers come back as integers, as they do in Go.
            return value.isFinite && value.rounded() != value ? .double(value) : .double(0.5)
        case 4, 5: return .string(text(&random))
        case 6:
            return .array(
                (0..<Int.random(in: 0..<5, using: &random)).map { _ in Self.random(depth: depth - 1, &random) })
        default:
            return .object(
                JSONObject(
                    (0..<Int.random(in: 0..<6, using: &random)).map { _ in
                        (text(&random), Self.random(depth: depth - 1, &random))
                    }))
        }
    }

    private static func text(_ random: inout SystemRandomNumberGenerator) -> String {
        let alphabet = Array("abc\"\\\n\u{1}é😀/ zZ09")
        return String((0..<Int.random(in: 0..<24, using: &random)).map { _ in alphabet.randomElement(using: &random)! })
    }
}
