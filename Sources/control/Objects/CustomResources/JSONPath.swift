// The JSONPath of printer columns, as client-go's template language reads it: names (`.spec.replicas`, `['a.b']`,
// `\.` for a dot in a name), positions (`[0]`, `[-1]`), slices (`[0:2]`), everything (`[*]`, `.*`) and filters
// (`[?(@.type=="Ready")]`, with == != < <= > >=, and bare existence).
//
// Not supported, and refused when the CRD is created: recursive descent (`..`), unions, functions.

struct JSONPath: Sendable {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    enum Comparison: String, Sendable, CaseIterable {
        // Longer signs first, so that they are found first.
        case notEqual = "!=", equal = "==", lessOrEqual = "<=", greaterOrEqual = ">=", less = "<", greater = ">"
    }

    indirect enum Step: Sendable {
        case name(String)
        case index(Int)
        case slice(Int?, Int?)
        case every
        /// Elements whose value at the path compares; no comparison: is there.
        case filter([Step], Comparison?, JSON)
    }

    let steps: [Step]

    init(_ text: String) throws(Failure) {
        var parser = JSONPathParser(text)
        steps = try parser.parse()
    }

    /// What the path finds, in order; empty when something on the way is missing.
    func values(in object: JSON) -> [JSON] { Self.follow(steps[...], object) }

    /// The plain names of a path of names only, such as `.spec.replicas`.
    var names: [String]? {
        var names: [String] = []
        for step in steps {
            guard case .name(let name) = step else { return nil }
            names.append(name)
        }
        return names
    }

    private static func follow(_ steps: ArraySlice<Step>, _ value: JSON) -> [JSON] {
        guard let step = steps.first else { return [value] }
        let rest = steps.dropFirst()
        switch step {
        case .name(let name):
            guard let next = value[name] else { return [] }
            return follow(rest, next)
        case .index(let index):
            guard let elements = value.array else { return [] }
            let position = index < 0 ? elements.count + index : index
            return elements.indices.contains(position) ? follow(rest, elements[position]) : []
        case .slice(let from, let to):
            guard let elements = value.array else { return [] }
            func place(_ index: Int) -> Int { max(0, min(elements.count, index < 0 ? elements.count + index : index)) }
            let start = place(from ?? 0)
            let end = place(to ?? elements.count)
            return start < end ? elements[start..<end].flatMap { follow(rest, $0) } : []
        case .every:
            return (value.array ?? value.object?.values ?? []).flatMap { follow(rest, $0) }
        case .filter(let path, let comparison, let wanted):
            let candidates = value.array ?? (value.object.map { [.object($0)] } ?? [])
            return candidates.filter { holds(follow(path[...], $0).first, comparison, wanted) }
                .flatMap { follow(rest, $0) }
        }
    }

    private static func holds(_ found: JSON?, _ comparison: Comparison?, _ wanted: JSON) -> Bool {
        guard let found else { return false }
        guard let comparison else { return true }
        switch comparison {
        case .equal: return found == wanted || found.double != nil && found.double == wanted.double
        case .notEqual: return found != wanted && (found.double == nil || found.double != wanted.double)
        case .less, .lessOrEqual, .greater, .greaterOrEqual:
            let order: Int
            if let a = found.double, let b = wanted.double {
                order = a < b ? -1 : a > b ? 1 : 0
            } else if let a = found.string, let b = wanted.string {
                order = a < b ? -1 : a > b ? 1 : 0
            } else {
                return false
            }
            switch comparison {
            case .less: return order < 0
            case .lessOrEqual: return order <= 0
            case .greater: return order > 0
            default: return order >= 0
            }
        }
    }
}

private struct JSONPathParser {
    private let text: [Character]
    private var position = 0
    /// Filters inside of filters.
    private var depth = 0

    init(_ text: String) {
        var inner = text[...]
        if inner.hasPrefix("{"), inner.hasSuffix("}") { inner = inner.dropFirst().dropLast() }
        self.text = Array(inner)
    }

    mutating func parse() throws(JSONPath.Failure) -> [JSONPath.Step] {
        if peek == "$" || peek == "@" { position += 1 }
        return try steps(until: nil)
    }

    private mutating func steps(until ends: Set<Character>?) throws(JSONPath.Failure) -> [JSONPath.Step] {
        var steps: [JSONPath.Step] = []
        while let next = peek {
            if let ends, ends.contains(next) { break }
            position += 1
            switch next {
            case ".":
                if peek == "." { throw failure("recursive descent (..) is not supported") }
                if peek == "[" { continue }
                let name = name(ends)
                if name == "*" {
                    steps.append(.every)
                } else if !name.isEmpty {
                    steps.append(.name(name))
                } else if peek != nil {
                    throw failure("a name is missing")
                }
            case "[": steps.append(try bracket())
            default: throw failure("unexpected \"\(next)\"")
            }
        }
        return steps
    }

    private mutating func name(_ ends: Set<Character>?) -> String {
        unescaped { $0 == "." || $0 == "[" || ends?.contains($0) ?? false }
    }

    /// Up to a character that ends it and is not escaped, which is left, or to the end of the text.
    private mutating func unescaped(until isEnd: (Character) -> Bool) -> String {
        var result = ""
        while let next = peek, !isEnd(next) {
            position += 1
            if next == "\\", let escaped = peek {
                result.append(escaped)
                position += 1
            } else {
                result.append(next)
            }
        }
        return result
    }

    private mutating func bracket() throws(JSONPath.Failure) -> JSONPath.Step {
        if let quote = peek, quote == "'" || quote == "\"" {
            let name = try quoted()
            try take("]")
            return .name(name)
        }
        if peek == "?" { return try filter() }
        var inner = ""
        while let next = peek, next != "]" {
            inner.append(next)
            position += 1
        }
        try take("]")
        if inner == "*" { return .every }
        if let index = Int(inner) { return .index(index) }
        let parts = inner.split(separator: ":", omittingEmptySubsequences: false)
        if parts.count == 2, parts.allSatisfy({ $0.isEmpty || Int($0) != nil }) {
            return .slice(Int(parts[0]), Int(parts[1]))
        }
        throw failure("\"[\(inner)]\" is not supported")
    }

    private mutating func filter() throws(JSONPath.Failure) -> JSONPath.Step {
        depth += 1
        defer { depth -= 1 }
        guard depth <= 20 else { throw failure("filters are nested too deeply") }
        try take("?")
        try take("(")
        skipSpace()
        try take("@")
        let path = try steps(until: ["=", "!", "<", ">", ")", " "])
        skipSpace()
        guard peek != ")" else {
            position += 1
            try take("]")
            return .filter(path, nil, .null)
        }
        for sign in JSONPath.Comparison.allCases where text[position...].starts(with: sign.rawValue) {
            position += sign.rawValue.count
            skipSpace()
            let wanted = try value()
            skipSpace()
            try take(")")
            try take("]")
            return .filter(path, sign, wanted)
        }
        throw failure("a filter compares with == != < <= > or >=")
    }

    private mutating func value() throws(JSONPath.Failure) -> JSON {
        if let quote = peek, quote == "'" || quote == "\"" { return .string(try quoted()) }
        var word = ""
        while let next = peek, next != ")", next != " " {
            word.append(next)
            position += 1
        }
        if let json = try? JSON.parse(Array(word.utf8)) { return json }
        throw failure("\"\(word)\" is no value")
    }

    private mutating func quoted() throws(JSONPath.Failure) -> String {
        guard let quote = peek else { throw failure("a text is missing") }
        position += 1
        let result = unescaped { $0 == quote }
        guard peek == quote else { throw failure("a text has no end") }
        position += 1
        return result
    }

    private var peek: Character? { position < text.count ? text[position] : nil }

    private mutating func skipSpace() { while peek == " " { position += 1 } }

    private mutating func take(_ wanted: Character) throws(JSONPath.Failure) {
        guard peek == wanted else { throw failure("\"\(wanted)\" is missing") }
        position += 1
    }

    private func failure(_ what: String) -> JSONPath.Failure {
        JSONPath.Failure(description: "\(what) in \(Quote.go(String(text)))")
    }
}
