// From the text of a pattern to a tree, and from the tree to the instructions that Pattern runs.
//
// The tree is bounded before it is unrolled: a{1000} costs a thousand copies, so repetitions are limited to 1000 as in
// RE2, the program to `limit` instructions, and groups to a depth that the parser's recursion can bear.

indirect enum PatternNode {
    case empty
    case scalar(UInt32)
    case set(ScalarSet)
    case assert(Pattern.Assertion)
    case sequence([PatternNode])
    case either([PatternNode])
    /// `most` nil: without end.
    case repeated(PatternNode, least: Int, most: Int?)
}

struct PatternCompiler {
    /// Instructions of one pattern. Matching costs at most this much for each character.
    static let limit = 20_000
    var program: [Pattern.Instruction] = []
    /// Nodes looked at: a repetition of nothing grows no program.
    private var visited = 0

    mutating func emit(_ node: PatternNode) throws(Pattern.Failure) {
        visited += 1
        guard program.count <= PatternCompiler.limit, visited <= 10 * PatternCompiler.limit else {
            throw Pattern.Failure(description: "error parsing regexp: expression too large")
        }
        switch node {
        case .empty: break
        case .scalar(let scalar): program.append(.scalar(scalar))
        case .set(let set): program.append(.set(set))
        case .assert(let assertion): program.append(.assert(assertion))
        case .sequence(let nodes): for node in nodes { try emit(node) }
        case .either(let nodes):
            var ends: [Int] = []
            for (index, node) in nodes.enumerated() {
                guard index < nodes.count - 1 else {
                    try emit(node)
                    break
                }
                let split = reserve()
                try emit(node)
                ends.append(reserve())
                program[split] = .split(split + 1, program.count)
            }
            for end in ends { program[end] = .jump(program.count) }
        case .repeated(let node, let least, let most):
            for _ in 0..<least { try emit(node) }
            guard let most else {
                let split = reserve()
                try emit(node)
                program.append(.jump(split))
                program[split] = .split(split + 1, program.count)
                return
            }
            var splits: [Int] = []
            for _ in least..<most {
                splits.append(reserve())
                try emit(node)
            }
            for split in splits { program[split] = .split(split + 1, program.count) }
        }
    }

    private mutating func reserve() -> Int {
        program.append(.match)
        return program.count - 1
    }
}

struct PatternParser {
    private let text: [UInt32]
    private var position = 0
    private var depth = 0
    private var foldsCase = false
    private var isMultiline = false
    private var dotMatchesNewline = false

    init(_ text: String) { self.text = text.unicodeScalars.map(\.value) }

    mutating func parse() throws(Pattern.Failure) -> PatternNode {
        let node = try alternatives()
        guard position == text.count else { throw failure("unexpected )", "") }
        return node
    }

    // MARK: - Structure

    private mutating func alternatives() throws(Pattern.Failure) -> PatternNode {
        var branches = [try sequence()]
        while take("|") { branches.append(try sequence()) }
        return branches.count == 1 ? branches[0] : .either(branches)
    }

    private mutating func sequence() throws(Pattern.Failure) -> PatternNode {
        var nodes: [PatternNode] = []
        while let next = peek, next != PatternParser.code("|"), next != PatternParser.code(")") {
            let start = position
            guard let atom = try atom() else { continue }
            nodes.append(try quantified(atom, from: start))
        }
        return nodes.count == 1 ? nodes[0] : .sequence(nodes)
    }

    private mutating func quantified(_ atom: PatternNode, from start: Int) throws(Pattern.Failure) -> PatternNode {
        let before = position
        var least = 0
        var most: Int?
        if take("*") {
        } else if take("+") {
            least = 1
        } else if take("?") {
            most = 1
        } else if let (low, high) = try counts() {
            least = low
            most = high
        } else {
            return atom
        }
        // The lazy form matches the same texts.
        _ = take("?")
        if let next = peek, "*+?".unicodeScalars.contains(where: { $0.value == next }) {
            throw failure("invalid nested repetition operator", slice(before, position + 1))
        }
        return .repeated(atom, least: least, most: most)
    }

    /// `{2}`, `{2,}`, `{2,3}`; anything else that begins with a brace is that brace.
    private mutating func counts() throws(Pattern.Failure) -> (Int, Int?)? {
        let start = position
        guard take("{"), let low = number() else {
            position = start
            return nil
        }
        var high: Int? = low
        if take(",") { high = number() }
        guard take("}") else {
            position = start
            return nil
        }
        guard low <= 1000, high ?? 0 <= 1000, high.map({ $0 >= low }) ?? true else {
            throw failure("invalid repeat count", slice(start, position))
        }
        return (low, high)
    }

    private mutating func atom() throws(Pattern.Failure) -> PatternNode? {
        guard let next = peek else { return nil }
        position += 1
        switch Unicode.Scalar(next).map(Character.init) {
        case "(": return try group()
        case "[": return .set(try folded(bracket()))
        case ".":
            return .set(
                dotMatchesNewline ? ScalarSet(isNegated: true) : ScalarSet(ranges: [0x0A...0x0A], isNegated: true))
        case "^": return .assert(isMultiline ? .lineStart : .textStart)
        case "$": return .assert(isMultiline ? .lineEnd : .textEnd)
        case "\\": return try escape()
        case "*", "+", "?":
            throw failure("missing argument to repetition operator", slice(position - 1, position))
        default: return literal(next)
        }
    }

    private mutating func group() throws(Pattern.Failure) -> PatternNode? {
        depth += 1
        defer { depth -= 1 }
        guard depth <= 200 else { throw failure("expression nests too deeply", "") }
        let outer = (foldsCase, isMultiline, dotMatchesNewline)
        if take("?") {
            if take("P<") || (peek == PatternParser.code("<") && !follows("<=") && !follows("<!") && take("<")) {
                while let next = peek, next != PatternParser.code(">") { position += 1 }
                guard take(">") else { throw failure("invalid named capture", "") }
            } else if !(take(":")) {
                guard try flags() else { return nil }
            }
        }
        let node = try alternatives()
        guard take(")") else { throw failure("missing closing )", String(decoding: text)) }
        (foldsCase, isMultiline, dotMatchesNewline) = outer
        return node
    }

    /// `i`, `m`, `s`, `U` with perhaps `-` before some; true when a group follows (`:`),
    /// false when they hold from here.
    private mutating func flags() throws(Pattern.Failure) -> Bool {
        let start = position
        var value = true
        while let next = peek {
            position += 1
            switch Unicode.Scalar(next).map(Character.init) {
            case "i": foldsCase = value
            case "m": isMultiline = value
            case "s": dotMatchesNewline = value
            case "U": break
            case "-": value = false
            case ":": return true
            case ")": return false
            default: throw failure("invalid or unsupported Perl syntax", "(?" + slice(start, position))
            }
        }
        throw failure("missing closing )", String(decoding: text))
    }

    // MARK: - Characters

    private func literal(_ scalar: UInt32) -> PatternNode {
        guard foldsCase else { return .scalar(scalar) }
        return .set(folded(ScalarSet(ranges: [scalar...scalar])))
    }

    private func folded(_ set: ScalarSet) -> ScalarSet {
        guard foldsCase else { return set }
        var set = set
        set.foldCase()
        return set
    }

    private mutating func escape() throws(Pattern.Failure) -> PatternNode {
        guard let next = peek else { throw failure("trailing backslash at end of expression", "") }
        if take("A") { return .assert(.textStart) }
        if take("z") { return .assert(.textEnd) }
        if take("b") { return .assert(.wordBoundary) }
        if take("B") { return .assert(.notWordBoundary) }
        if take("Q") {
            var nodes: [PatternNode] = []
            while let next = peek {
                if take("\\E") { break }
                nodes.append(literal(next))
                position += 1
            }
            return .sequence(nodes)
        }
        if let set = try classEscape() { return .set(folded(set)) }
        _ = next
        return literal(try characterEscape())
    }

    /// \d \w \s and their opposites, \pL, \p{Lu}, \P{…}; nil for others.
    private mutating func classEscape() throws(Pattern.Failure) -> ScalarSet? {
        let start = position - 1
        for (name, set) in [("d", ScalarSet.digit), ("w", .word), ("s", .space)] {
            if take(name) { return set }
            if take(name.uppercased()) { return ScalarSet(ranges: set.inverted) }
        }
        let negated: Bool
        if take("p") { negated = false } else if take("P") { negated = true } else { return nil }
        var name = ""
        if take("{") {
            while let next = peek, next != PatternParser.code("}") {
                name.unicodeScalars.append(Unicode.Scalar(next) ?? " ")
                position += 1
            }
            guard take("}") else { throw failure("invalid character class range", slice(start, position)) }
        } else if let next = peek {
            name.unicodeScalars.append(Unicode.Scalar(next) ?? " ")
            position += 1
        }
        let flips = name.hasPrefix("^")
        if flips { name.removeFirst() }
        guard !name.isEmpty, ScalarSet.names.values.contains(where: { $0.hasPrefix(name) }) else {
            throw failure("invalid character class range", slice(start, position))
        }
        return ScalarSet(categories: [(name, negated != flips)])
    }

    private mutating func characterEscape() throws(Pattern.Failure) -> UInt32 {
        guard let next = peek else { throw failure("trailing backslash at end of expression", "") }
        position += 1
        switch Unicode.Scalar(next).map(Character.init) {
        case "n": return 0x0A
        case "t": return 0x09
        case "r": return 0x0D
        case "f": return 0x0C
        case "v": return 0x0B
        case "a": return 0x07
        case "x":
            var digits = ""
            if take("{") {
                while let next = peek, next != PatternParser.code("}") {
                    digits.unicodeScalars.append(Unicode.Scalar(next) ?? " ")
                    position += 1
                }
                _ = take("}")
            } else {
                digits = slice(position, min(position + 2, text.count))
                position = min(position + 2, text.count)
            }
            guard let value = UInt32(digits, radix: 16), value <= 0x10FFFF else {
                throw failure("invalid escape sequence", "\\x" + digits)
            }
            return value
        default:
            let isWord = ScalarSet.word.contains(next)
            // Letters and digits with a meaning here have none in RE2 or need back references.
            guard !isWord, next < 0x80 else { throw failure("invalid escape sequence", slice(position - 2, position)) }
            return next
        }
    }

    private mutating func bracket() throws(Pattern.Failure) -> ScalarSet {
        let start = position - 1
        var set = ScalarSet()
        set.isNegated = take("^")
        var isFirst = true
        while isFirst || peek != PatternParser.code("]") {
            guard peek != nil else { throw failure("missing closing ]", slice(start, text.count)) }
            isFirst = false
            if follows("[:") {
                let (posix, negated) = try posixClass()
                set.ranges += negated ? ScalarSet(ranges: posix).inverted : posix
                continue
            }
            let before = position
            if take("\\") {
                if let inner = try classEscape() {
                    set.ranges += inner.ranges
                    set.categories += inner.categories
                    continue
                }
                position = before
            }
            let low = try bracketScalar()
            var high = low
            if peek == PatternParser.code("-"), position + 1 < text.count,
                text[position + 1] != PatternParser.code("]")
            {
                position += 1
                high = try bracketScalar()
            }
            guard low <= high else { throw failure("invalid character class range", slice(before, position)) }
            set.ranges.append(low...high)
        }
        position += 1
        return set
    }

    private mutating func bracketScalar() throws(Pattern.Failure) -> UInt32 {
        if take("\\") { return try characterEscape() }
        guard let next = peek else { throw failure("missing closing ]", "") }
        position += 1
        return next
    }

    private mutating func posixClass() throws(Pattern.Failure) -> ([ClosedRange<UInt32>], Bool) {
        let start = position
        position += 2
        let negated = take("^")
        for (name, ranges) in PatternParser.posix where take(name + ":]") { return (ranges, negated) }
        throw failure("invalid character class range", slice(start, min(start + 10, text.count)))
    }

    private static let posix: [(String, [ClosedRange<UInt32>])] = [
        ("alnum", [0x30...0x39, 0x41...0x5A, 0x61...0x7A]), ("alpha", [0x41...0x5A, 0x61...0x7A]),
        ("ascii", [0...0x7F]), ("blank", [0x09...0x09, 0x20...0x20]), ("cntrl", [0...0x1F, 0x7F...0x7F]),
        ("digit", [0x30...0x39]), ("graph", [0x21...0x7E]), ("lower", [0x61...0x7A]), ("print", [0x20...0x7E]),
        ("punct", [0x21...0x2F, 0x3A...0x40, 0x5B...0x60, 0x7B...0x7E]), ("space", [0x09...0x0D, 0x20...0x20]),
        ("upper", [0x41...0x5A]), ("word", ScalarSet.word.ranges), ("xdigit", [0x30...0x39, 0x41...0x46, 0x61...0x66]),
    ]

    // MARK: - Reading

    private var peek: UInt32? { position < text.count ? text[position] : nil }

    private static func code(_ character: Unicode.Scalar) -> UInt32 { character.value }

    private func follows(_ wanted: String) -> Bool {
        let scalars = wanted.unicodeScalars.map(\.value)
        return text[min(position, text.count)...].starts(with: scalars)
    }

    private mutating func take(_ wanted: String) -> Bool {
        guard follows(wanted) else { return false }
        position += wanted.unicodeScalars.count
        return true
    }

    private mutating func number() -> Int? {
        let start = position
        while let next = peek, ScalarSet.digit.contains(next), position - start < 6 { position += 1 }
        return Int(slice(start, position))
    }

    private func slice(_ from: Int, _ to: Int) -> String { String(decoding: text[max(0, from)..<min(to, text.count)]) }

    private func failure(_ what: String, _ part: String) -> Pattern.Failure {
        Pattern.Failure(description: "error parsing regexp: \(what)" + (part.isEmpty ? "" : ": `\(part)`"))
    }
}

extension String {
    fileprivate init(decoding scalars: some Sequence<UInt32>) {
        var view = String.UnicodeScalarView()
        for scalar in scalars { if let scalar = Unicode.Scalar(scalar) { view.append(scalar) } }
        self = String(view)
    }
}
