// What `hold`s for every input, of whatever target.

import Objects

/// A promise: when it is broken, this input is a finding.
func hold(_ condition: Bool, _ promise: @autoclosure () -> String) {
    if !condition { fatalError("broken: \(promise())") }
}

/// The targets, each a function of bytes. One file a group.
enum Targets {}

extension JSON {
    /// Equal as Kubernetes sees it: JSON text does not tell 1 from 1.0, nor 0 from -0.
    func isSame(as other: JSON) -> Bool {
        switch (self, other) {
        case (.array(let a), .array(let b)): return a.count == b.count && zip(a, b).allSatisfy { $0.isSame(as: $1) }
        case (.object(let a), .object(let b)):
            return a.count == b.count && zip(a, b).allSatisfy { $0.key == $1.key && $0.value.isSame(as: $1.value) }
        case (.int, .double), (.double, .int): return double == other.double
        default: return self == other
        }
    }
}
