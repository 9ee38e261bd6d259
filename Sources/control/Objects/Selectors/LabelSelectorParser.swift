// The string form of label selectors: `a=b, c!=d, e in (x,y), f notin (z), g, !h, n>3`.
//
// A hand-written scanner over tokens, as small as the grammar of k8s.io/apimachinery/pkg/labels. Keys and values are
// checked as label keys and values; failures say what was found and what was expected, by Kubernetes' words.

extension LabelSelector {
    /// The string form.
    public init(parsing text: String) throws(SelectorError) {
        var parser = LabelSelectorParser(text)
        self.init(try parser.parse())
    }
}

extension LabelSelector.Requirement {
    /// What Kubernetes' NewRequirement refuses.
    func check() throws(SelectorError) {
        if let problem = Names.qualifiedName(key).first {
            throw SelectorError("key: Invalid value: \(Quote.go(key)): \(problem)")
        }
        let shown = "[" + values.map(Quote.go).joined(separator: ",") + "]"
        switch operation {
        case .in, .notIn:
            if values.isEmpty {
                throw SelectorError(
                    "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty")
            }
        case .equals, .doubleEquals, .notEquals:
            if values.count != 1 {
                throw SelectorError(
                    "values: Invalid value: \(shown): exact-match compatibility requires one single value")
            }
        case .exists, .doesNotExist:
            if !values.isEmpty {
                throw SelectorError(
                    "values: Invalid value: \(shown): values set must be empty for exists and does not exist")
            }
        case .greaterThan, .lessThan:
            if values.count != 1 || Int64(values[0]) == nil {
                throw SelectorError(
                    "values: Invalid value: \(shown): for 'Gt', 'Lt' operators, the value must be an integer")
            }
        }
        for (index, value) in values.enumerated() {
            if let problem = Names.labelValue(value).first {
                throw SelectorError("values[\(index)][\(key)]: Invalid value: \(Quote.go(value)): \(problem)")
            }
        }
    }
}

struct LabelSelectorParser {
    enum Token: Equatable {
        case end, comma, open, close, not
        case sign(LabelSelector.Operator)
        case word(String)

        var literal: String {
            switch self {
            case .end: return ""
            case .comma: return ","
            case .open: return "("
            case .close: return ")"
            case .not: return "!"
            case .sign(let sign): return sign.rawValue
            case .word(let word): return word
            }
        }
    }

    private let bytes: [UInt8]
    private var position = 0

    init(_ text: String) { bytes = Array(text.utf8) }

    // MARK: Tokens

    private static let special = Set("=!(),<>".utf8)

    private mutating func next() -> Token {
        while position < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[position]) { position += 1 }
        guard position < bytes.count else { return .end }
        let byte = bytes[position]
        guard Self.special.contains(byte) else { return word() }
        position += 1
        let followedByEquals = position < bytes.count && bytes[position] == UInt8(ascii: "=")
        switch byte {
        case UInt8(ascii: ","): return .comma
        case UInt8(ascii: "("): return .open
        case UInt8(ascii: ")"): return .close
        case UInt8(ascii: ">"): return .sign(.greaterThan)
        case UInt8(ascii: "<"): return .sign(.lessThan)
        case UInt8(ascii: "!"):
            guard followedByEquals else { return .not }
            position += 1
            return .sign(.notEquals)
        default:
            guard followedByEquals else { return .sign(.equals) }
            position += 1
            return .sign(.doubleEquals)
        }
    }

    private mutating func word() -> Token {
        let start = position
        while position < bytes.count, !Self.special.contains(bytes[position]),
            ![0x20, 0x09, 0x0A, 0x0D].contains(bytes[position])
        { position += 1 }
        return .word(String(decoding: bytes[start..<position], as: UTF8.self))
    }

    private mutating func peek() -> Token {
        let start = position
        defer { position = start }
        return next()
    }

    // MARK: Grammar

    mutating func parse() throws(SelectorError) -> [LabelSelector.Requirement] {
        var requirements: [LabelSelector.Requirement] = []
        while true {
            switch peek() {
            case .end: return requirements
            case .word, .not:
                do throws(SelectorError) {
                    let requirement = try requirement()
                    try requirement.check()
                    requirements.append(requirement)
                } catch {
                    throw SelectorError("unable to parse requirement: \(error)")
                }
                switch next() {
                case .end: return requirements
                case .comma:
                    switch peek() {
                    case .word, .not: break
                    case let found:
                        throw SelectorError("found '\(found.literal)', expected: identifier after ','")
                    }
                case let found: throw SelectorError("found '\(found.literal)', expected: ',' or 'end of string'")
                }
            case let found:
                throw SelectorError("found '\(found.literal)', expected: !, identifier, or 'end of string'")
            }
        }
    }

    private mutating func requirement() throws(SelectorError) -> LabelSelector.Requirement {
        var first = next()
        let negated = first == .not
        if negated { first = next() }
        guard case .word(let key) = first else {
            throw SelectorError("found '\(first.literal)', expected: identifier")
        }
        if negated { return LabelSelector.Requirement(key, .doesNotExist) }
        switch peek() {
        case .end, .comma: return LabelSelector.Requirement(key, .exists)
        default: break
        }
        switch next() {
        case .word("in"): return LabelSelector.Requirement(key, .in, try valueSet())
        case .word("notin"): return LabelSelector.Requirement(key, .notIn, try valueSet())
        case .sign(let sign): return LabelSelector.Requirement(key, sign, [try exactValue()])
        case let found:
            throw SelectorError("found '\(found.literal)', expected: in, notin, =, ==, !=, gt, lt")
        }
    }

    /// One value; nothing stands for the empty one, and `in` and `notin` are values here.
    private mutating func exactValue() throws(SelectorError) -> String {
        switch peek() {
        case .end, .comma: return ""
        case .word(let value):
            _ = next()
            return value
        case let found: throw SelectorError("found '\(found.literal)', expected: identifier")
        }
    }

    private mutating func valueSet() throws(SelectorError) -> [String] {
        let open = next()
        guard open == .open else { throw SelectorError("found '\(open.literal)' expected: '('") }
        var values: Set<String> = []
        var value: String?
        while true {
            switch next() {
            case .word(let word):
                guard value == nil else { throw SelectorError("found '\(word)', expected: ',' or ')'") }
                value = word
            case .comma:
                values.insert(value ?? "")
                value = nil
                if case .close = peek() {
                    _ = next()
                    values.insert("")
                    return Array(values)
                }
            case .close:
                values.insert(value ?? "")
                return Array(values)
            case let found: throw SelectorError("found '\(found.literal)', expected: ',', ')' or identifier")
            }
        }
    }
}
