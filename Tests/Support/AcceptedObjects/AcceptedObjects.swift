// What the API server accepts is stored, and is then read by controllers, scheduler and kubelet: an object that makes one
// of them trap ends noded at every start. Here an input makes objects of numbers at the ends of their types, and those
// that the server's own rules let through go through the arithmetic of those who read them.
//
// Used by the fuzz target `accepted` and, with seeded inputs, by AcceptedObjectsTests.

/// What came of one input.
public struct Findings: Sendable {
    /// Objects that the rules let through, by resource: a run in which nothing is accepted shows nothing.
    public internal(set) var accepted: [String: Int] = [:]
    /// Promises that did not hold, in words. A trap is a finding by itself.
    public internal(set) var broken: [String] = []

    mutating func hold(_ condition: Bool, _ promise: @autoclosure () -> String) {
        if !condition { broken.append(promise()) }
    }
}

public enum AcceptedObjects {
    /// Each a function of what the input chooses.
    private static let readers: [@Sendable (inout Choices, inout Findings) -> Void] = [
        readRollout, readBudget, readPlacement, readPods,
    ]

    /// - Parameter bytes: the first says who reads, the others what is made; where they end they are zeros.
    public static func use(_ bytes: [UInt8]) -> Findings {
        var choices = Choices(bytes)
        var findings = Findings()
        choices.one(of: readers)(&choices, &findings)
        return findings
    }
}
