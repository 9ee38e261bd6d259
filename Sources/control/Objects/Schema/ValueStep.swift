// A step of a path into an object. Walks over objects keep theirs as steps, and print it only when
// something is said about a place. Cannot fail.

enum ValueStep: Sendable {
    case name(String)
    case index(Int)

    static func print(_ steps: [ValueStep]) -> String {
        var text = ""
        for step in steps {
            switch step {
            case .name(let name): text += text.isEmpty ? name : "." + name
            case .index(let index): text += "[\(index)]"
            }
        }
        return text
    }
}
