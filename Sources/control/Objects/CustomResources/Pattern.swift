// A regular expression as CustomResourceDefinitions write them in `pattern`: the syntax of Go's regexp (RE2), matched
// in time that grows with the text, never faster.
//
// Why an engine of our own: patterns come from whoever may create a CRD and texts from whoever may create an object,
// so a matcher that backtracks (Swift's _StringProcessing, libc's regexec with back references) is a way to stop the
// server with a hundred bytes. This one runs all alternatives side by side (Thompson, 1968): at most one step for each
// instruction and character. It has no captures, which validation does not need, and so stays small.
//
// What it does not know (look-around, back references, Unicode scripts) is an error when the CRD is created: Go refuses
// look-around and back references, too. Matching cannot fail.

/// A compiled pattern.
public struct Pattern: Sendable {
    /// Why a pattern was refused, in the words of Go's regexp/syntax where it has some.
    public struct Failure: Error, Sendable, CustomStringConvertible {
        public let description: String
    }

    enum Instruction: Sendable {
        case scalar(UInt32)
        case set(ScalarSet)
        /// Goes on in two places, the first preferred; order does not matter without captures.
        case split(Int, Int)
        case jump(Int)
        case assert(Assertion)
        case match
    }

    enum Assertion: Sendable { case textStart, textEnd, lineStart, lineEnd, wordBoundary, notWordBoundary }

    let program: [Instruction]

    /// - Throws: what is wrong with the pattern, or what of it is not supported.
    public init(_ text: String) throws(Failure) {
        var parser = PatternParser(text)
        var compiler = PatternCompiler()
        try compiler.emit(try parser.parse())
        compiler.program.append(.match)
        program = compiler.program
    }

    /// Whether the pattern is found anywhere in the text.
    public func matches(_ text: String) -> Bool {
        let scalars = Array(text.unicodeScalars.lazy.map(\.value))
        var threads = Threads(program.count)
        var next = Threads(program.count)
        var index = 0
        while true {
            // Unanchored: a match may begin at every place.
            if threads.add(0, program, scalars, index) { return true }
            guard index < scalars.count else { return false }
            next.clear()
            let scalar = scalars[index]
            for thread in threads.list {
                let steps =
                    switch program[thread] {
                    case .scalar(let wanted): wanted == scalar
                    case .set(let set): set.contains(scalar)
                    default: false
                    }
                if steps, next.add(thread + 1, program, scalars, index + 1) { return true }
            }
            swap(&threads, &next)
            index += 1
        }
    }

    /// The instructions that wait for a character, each once.
    private struct Threads {
        var list: [Int] = []
        private var marks: [Int]
        private var round = 1
        private var stack: [Int] = []

        init(_ count: Int) { marks = Array(repeating: 0, count: count) }

        mutating func clear() {
            list.removeAll(keepingCapacity: true)
            round += 1
        }

        /// Follows everything that needs no character; true when that reaches the end of the pattern.
        mutating func add(_ start: Int, _ program: [Instruction], _ text: [UInt32], _ index: Int) -> Bool {
            stack.append(start)
            while let at = stack.popLast() {
                if marks[at] == round { continue }
                marks[at] = round
                switch program[at] {
                case .match:
                    stack.removeAll(keepingCapacity: true)
                    return true
                case .jump(let target): stack.append(target)
                case .split(let first, let second):
                    stack.append(second)
                    stack.append(first)
                case .assert(let assertion): if Pattern.holds(assertion, text, index) { stack.append(at + 1) }
                case .scalar, .set: list.append(at)
                }
            }
            return false
        }
    }

    private static func holds(_ assertion: Assertion, _ text: [UInt32], _ index: Int) -> Bool {
        func isWord(_ index: Int) -> Bool { text.indices.contains(index) && ScalarSet.word.contains(text[index]) }
        switch assertion {
        case .textStart: return index == 0
        case .textEnd: return index == text.count
        case .lineStart: return index == 0 || text[index - 1] == 0x0A
        case .lineEnd: return index == text.count || text[index] == 0x0A
        case .wordBoundary: return isWord(index - 1) != isWord(index)
        case .notWordBoundary: return isWord(index - 1) == isWord(index)
        }
    }
}

/// A set of Unicode scalars: sorted ranges, categories, perhaps all others instead.
struct ScalarSet: Sendable {
    var ranges: [ClosedRange<UInt32>] = []
    /// General categories ("L", "Lu"), each with whether it is negated.
    var categories: [(name: String, negated: Bool)] = []
    var isNegated = false

    static let digit = ScalarSet(ranges: [0x30...0x39])
    static let word = ScalarSet(ranges: [0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A])
    static let space = ScalarSet(ranges: [0x09...0x0A, 0x0C...0x0D, 0x20...0x20])

    func contains(_ scalar: UInt32) -> Bool {
        var found = ranges.contains { $0.contains(scalar) }
        if !found, !categories.isEmpty, let scalar = Unicode.Scalar(scalar) {
            let category = Self.names[scalar.properties.generalCategory] ?? ""
            found = categories.contains { category.hasPrefix($0.name) != $0.negated }
        }
        return found != isNegated
    }

    /// The ranges that are not in the set.
    var inverted: [ClosedRange<UInt32>] {
        var result: [ClosedRange<UInt32>] = []
        var next: UInt32 = 0
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if range.lowerBound > next { result.append(next...(range.lowerBound - 1)) }
            next = max(next, range.upperBound + 1)
        }
        return next <= 0x10FFFF ? result + [next...0x10FFFF] : result
    }

    /// Adds the other case of ASCII letters, which is what (?i) is used for in schemas.
    mutating func foldCase() {
        for range in ranges {
            let upper = max(range.lowerBound, 0x41)...max(min(range.upperBound, 0x5A), max(range.lowerBound, 0x41))
            if range.overlaps(0x41...0x5A) { ranges.append((upper.lowerBound + 32)...(upper.upperBound + 32)) }
            let lower = max(range.lowerBound, 0x61)...max(min(range.upperBound, 0x7A), max(range.lowerBound, 0x61))
            if range.overlaps(0x61...0x7A) { ranges.append((lower.lowerBound - 32)...(lower.upperBound - 32)) }
        }
    }

    static let names: [Unicode.GeneralCategory: String] = [
        .uppercaseLetter: "Lu", .lowercaseLetter: "Ll", .titlecaseLetter: "Lt", .modifierLetter: "Lm",
        .otherLetter: "Lo", .nonspacingMark: "Mn", .spacingMark: "Mc", .enclosingMark: "Me",
        .decimalNumber: "Nd", .letterNumber: "Nl", .otherNumber: "No", .connectorPunctuation: "Pc",
        .dashPunctuation: "Pd", .openPunctuation: "Ps", .closePunctuation: "Pe", .initialPunctuation: "Pi",
        .finalPunctuation: "Pf", .otherPunctuation: "Po", .mathSymbol: "Sm", .currencySymbol: "Sc",
        .modifierSymbol: "Sk", .otherSymbol: "So", .spaceSeparator: "Zs", .lineSeparator: "Zl",
        .paragraphSeparator: "Zp", .control: "Cc", .format: "Cf", .surrogate: "Cs", .privateUse: "Co",
    ]
}
