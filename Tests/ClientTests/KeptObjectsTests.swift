// Which trees an informer's copy keeps, and that it can give every one.

import Objects
import Testing

@testable import Client

@Suite struct KeptObjectsTests {
    private final class Text: KeptObject {
        let value: String
        let size: Int
        var objectKey: ObjectKey { ObjectKey(name: value) }
        init(_ value: String, size: Int) { (self.value, self.size) = (value, size) }
        func keptTree() -> JSON { .string("parsed " + value) }
    }

    /// Which of `a`, `b`, … still have the tree they were put with.
    private func withTree(_ objects: KeptObjects, _ names: [String]) -> [String] {
        names.filter { objects[ObjectKey(name: $0)]?.tree == .string($0) }
    }

    @Test func onlyTheYoungestHaveATreeAndAllCanBeRead() {
        var objects = KeptObjects(budget: 300)
        for name in ["a", "b", "c", "d", "e"] {
            let old = objects.put(ObjectKey(name: name), .string(name), Text(name, size: 100))
            #expect(old?.tree == nil)
        }
        #expect(withTree(objects, ["a", "b", "c", "d", "e"]) == ["c", "d", "e"])
        #expect(objects[ObjectKey(name: "a")]?.tree == .string("parsed a"))
        // Written again, it is young.
        #expect(objects.put(ObjectKey(name: "a"), .string("a"), Text("a", size: 100))?.tree == .string("parsed a"))
        #expect(withTree(objects, ["a", "b", "c", "d", "e"]) == ["a", "d", "e"])
        #expect(objects.remove(ObjectKey(name: "d"))?.tree == .string("d"))
        #expect(objects[ObjectKey(name: "d")]?.tree == nil)
        // What nobody else keeps has its tree for good.
        _ = objects.put(ObjectKey(name: "own"), .string("own"), nil)
        for name in ["f", "g", "h"] { _ = objects.put(ObjectKey(name: name), .string(name), Text(name, size: 200)) }
        #expect(withTree(objects, ["own", "f", "g", "h", "a"]) == ["own", "h"])
        #expect(Set(objects.items.map(\.key.name)) == ["a", "b", "c", "e", "own", "f", "g", "h"])
    }
}
