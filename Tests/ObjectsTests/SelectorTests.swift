// Label and field selectors: parsing, matching, printing, refusing.

import Objects
import Testing

@Suite struct SelectorTests {
    @Test(
        arguments: [
            ("app=web", true), ("app==web", true), ("app!=web", false), ("other!=x", true), ("app", true),
            ("!app", false),
            ("!gone", true), ("app in (web,db)", true), ("app in (db)", false), ("app notin (db)", true),
            ("gone notin (x)", true),
            ("app notin (web , db)", false), ("app=web,tier=front", true), ("app=web, tier=back", false), ("", true),
            ("n>3", true), ("n<3", false), ("n>5", false), ("gone>1", false), ("empty=", true), ("empty", true),
            ("app=", false),
            ("example.com/role=a.b", true), ("app in (,web)", true), ("empty in ()", true), ("gone in ()", false),
        ] as [(String, Bool)]) func matches(text: String, expected: Bool) throws
    {
        let labels = ["app": "web", "tier": "front", "n": "5", "empty": "", "example.com/role": "a.b"]
        let selector = try LabelSelector(parsing: text)
        #expect(selector.matches(labels) == expected)
        #expect(selector.matches(["metadata": ["labels": JSON(labels)]] as JSON) == expected)
        #expect(try LabelSelector(parsing: selector.description) == selector)
    }

    @Test(arguments: [
        "=", "a=b=c", "a,,b", ",a", "a,", "a in", "a in b", "a in (b", "a in (b c)", "a=-x", "-a=b", "a/b/c=d", "!a=b",
        "a>x",
        "a=b c", "(a)", "a!b", "a notin", "a=" + String(repeating: "x", count: 64),
    ]) func refuses(text: String) {
        #expect(throws: SelectorError.self) { try LabelSelector(parsing: text) }
    }

    @Test func objectForm() throws {
        let selector = try LabelSelector([
            "matchLabels": ["app": "web"],
            "matchExpressions": [
                ["key": "tier", "operator": "In", "values": ["b", "a"]], ["key": "old", "operator": "DoesNotExist"],
                ["key": "app", "operator": "Exists"], ["key": "x", "operator": "NotIn", "values": ["1"]],
            ],
        ])
        #expect(selector.description == "app=web,app,!old,tier in (a,b),x notin (1)")
        #expect(selector.matches(["app": "web", "tier": "a"]))
        #expect(!selector.matches(["app": "web", "tier": "a", "old": ""]))
        #expect(try LabelSelector([:]).isEverything)
        #expect(throws: SelectorError.self) {
            try LabelSelector(["matchExpressions": [["key": "a", "operator": "Near"]]])
        }
        #expect(throws: SelectorError.self) {
            try LabelSelector(["matchExpressions": [["key": "a", "operator": "In"]]])
        }
        #expect(LabelSelector.table(nil) == "<none>")
        #expect(LabelSelector.table(["matchLabels": ["b": "2", "a": "1"]]) == "a=1,b=2")
    }

    @Test func fieldSelectors() throws {
        let pod: JSON = [
            "metadata": ["name": "web", "namespace": "default"], "spec": ["nodeName": "n1"],
            "status": ["phase": "Running"],
        ]
        for (text, expected) in [
            ("metadata.name=web", true), ("metadata.name==web,status.phase!=Failed", true), ("spec.nodeName=", false),
            ("metadata.name!=web", false), ("status.podIP=", true), ("spec.hostNetwork=false", true), ("", true),
            (",", true),
        ] {
            let selector = try FieldSelector(parsing: text)
            #expect(selector.matches(pod) == expected, "\(text)")
            #expect(try FieldSelector(parsing: selector.description) == selector)
        }
        #expect(try FieldSelector(parsing: #"a=x\,y\=z\\"#).requirements == [.init(field: "a", value: #"x,y=z\"#)])
        #expect(try FieldSelector(parsing: "spec.nodeName=n1,a=b").required("spec.nodeName") == "n1")
        for text in ["a", "=a", "a=b=c", #"a=\x"#, #"a=b\"#] {
            #expect(throws: SelectorError.self) { try FieldSelector(parsing: text) }
        }
        #expect(FieldSelector.supported(for: .pods).contains("spec.nodeName"))
        #expect(!FieldSelector.supported(for: .configMaps).contains("spec.nodeName"))
    }
}
