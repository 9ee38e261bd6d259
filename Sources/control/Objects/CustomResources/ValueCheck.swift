// Whether a custom object's values are what its schema wants: one walk over object and schema, errors collected.
//
// The words are those of Kubernetes (k8s.io/kube-openapi/pkg/validation, and how apiextensions turns its errors into
// field errors): "spec.replicas in body must be of type integer: \"string\"", `Required value`, `Unsupported value`.
// So are two oddities that people search for: the value shown with a wrong type is the type's name, and what a group
// of schemas (anyOf, oneOf) has to say comes without a field ("<nil>").

struct ValueCheck {
    /// At most this many are told.
    static let limit = 100
    private(set) var errors: [FieldError] = []
    private var path: [ValueStep] = []

    /// All errors of an object.
    static func errors(_ object: JSON, _ schema: ValueSchema) -> [FieldError] {
        var check = ValueCheck()
        check.check(object, schema)
        return check.errors
    }

    private init() {}

    /// For the value of a default: the path begins where it is declared.
    static func errors(of value: JSON, _ schema: ValueSchema) -> [FieldError] { errors(value, schema) }

    private var name: String { ValueStep.print(path) }
    private var field: FieldPath { FieldPath(name) }

    private mutating func add(_ error: FieldError) { if errors.count < Self.limit { errors.append(error) } }

    private mutating func invalid(_ value: JSON, _ text: String) {
        add(.invalid(field, value, "\(name) in body \(text)"))
    }

    private mutating func check(_ value: JSON, _ schema: ValueSchema) {
        if value.isNull, schema.isNullable { return }
        if let wrong = ValueCheck.mismatch(value, schema) {
            add(
                .typeInvalid(
                    field, .string(wrong.given),
                    "\(name) in body must be of type \(wrong.wanted): \(Quote.go(wrong.given))"))
            return
        }
        if let rules = schema.rules { checkRules(value, schema, rules) }
        switch value {
        case .object(let object):
            if schema.isEmbedded { checkTypeMeta(object) }
            checkFields(object, schema)
        case .array(let elements): checkElements(elements, schema)
        default: break
        }
    }

    /// An embedded resource says what it is.
    private mutating func checkTypeMeta(_ object: JSONObject) {
        for name in ["apiVersion", "kind"] where object[name]?.string?.isEmpty ?? true {
            add(.required(field.child(name), "must not be empty"))
        }
    }

    private mutating func checkFields(_ object: JSONObject, _ schema: ValueSchema) {
        let fields = schema.fields
        if fields.isEmpty, schema.additional == nil { return }
        var position = 0
        for entry in object.entries {
            while position < fields.count, Bytes.less(fields[position].name, entry.key) { position += 1 }
            let isField = position < fields.count && fields[position].name == entry.key
            guard let below = isField ? fields[position].schema : schema.additional else { continue }
            path.append(.name(entry.key))
            check(entry.value, below)
            path.removeLast()
        }
    }

    private mutating func checkElements(_ elements: [JSON], _ schema: ValueSchema) {
        if let items = schema.items {
            for index in elements.indices {
                path.append(.index(index))
                check(elements[index], items)
                path.removeLast()
            }
        }
        switch schema.list {
        case .atomic: break
        case .set:
            var seen: Set<JSON> = []
            for (index, element) in elements.enumerated() where !seen.insert(element).inserted {
                add(.duplicate(field.index(index), element))
            }
        case .map(let keys):
            var seen: Set<[JSON]> = []
            for (index, element) in elements.enumerated() {
                let values = keys.map { element[$0] ?? .null }
                guard !seen.insert(values).inserted else { continue }
                let shown = JSONObject(zip(keys, values).filter { !$0.1.isNull }.map { ($0.0, $0.1) })
                add(.duplicate(field.index(index), .object(shown)))
            }
        }
    }

    // MARK: - Types

    private static func mismatch(_ value: JSON, _ schema: ValueSchema) -> (given: String, wanted: String)? {
        let fits =
            switch (schema.kind, value) {
            case (.any, _), (.object, .object), (.array, .array), (.string, .string), (.boolean, .bool),
                (.integer, .int), (.number, .int), (.number, .double), (.intOrString, .int), (.intOrString, .string):
                true
            case (.integer, .double(let number)), (.intOrString, .double(let number)):
                number.rounded() == number && abs(number) < 9.2e18
            default: false
            }
        if fits { return nil }
        if value.isNull { return ("null", words(schema.kind)) }
        let isNumeric = schema.kind == .integer || schema.kind == .number
        if isNumeric, let format = schema.rules?.format, !format.isEmpty {
            // With a format, other things than texts and lists are told apart by format.
            switch value {
            case .bool, .object: return ("", format)
            case .double: return ("double", format)
            default: break
            }
        }
        return (value.typeName, words(schema.kind))
    }

    private static func words(_ kind: ValueSchema.Kind) -> String {
        kind == .intOrString ? "integer,string" : kind.rawValue
    }

    // MARK: - Values

    private mutating func checkRules(_ value: JSON, _ schema: ValueSchema, _ rules: ValueRules) {
        checkGroups(value, rules)
        switch value {
        case .string(let text): checkText(text, schema, rules)
        case .int, .double: checkNumber(value, schema, rules)
        case .array(let elements):
            if let limit = rules.minItems, elements.count < limit {
                invalid(value, "should have at least \(limit) items")
            }
            if let limit = rules.maxItems, elements.count > limit {
                add(.tooMany(field, actual: elements.count, limit: Int(limit)))
            }
        case .object(let object):
            for name in rules.required where !object.contains(name) {
                add(.required(field.child(name)))
            }
            if let limit = rules.minProperties, object.count < limit {
                invalid(value, "should have at least \(limit) properties")
            }
            if let limit = rules.maxProperties, object.count > limit {
                add(.tooMany(field, actual: object.count, limit: Int(limit)))
            }
        case .bool, .null: break
        }
        if !rules.choices.isEmpty, !rules.choices.contains(where: { ValueCheck.same($0, value) }) {
            let list = rules.choices.map { Quote.go($0.string ?? $0.text) }.joined(separator: ", ")
            add(FieldError(.notSupported, field, value: value, detail: "supported values: \(list)"))
        }
    }

    private static func same(_ a: JSON, _ b: JSON) -> Bool {
        if a == b { return true }
        guard let left = a.double, let right = b.double else { return false }
        return left == right
    }

    private mutating func checkText(_ text: String, _ schema: ValueSchema, _ rules: ValueRules) {
        if rules.minLength != nil || rules.maxLength != nil {
            let count = text.unicodeScalars.count
            if let limit = rules.maxLength, count > limit { add(.tooLong(field, limit: Int(limit))) }
            if let limit = rules.minLength, count < limit {
                invalid(.string(text), "should be at least \(limit) chars long")
            }
        }
        if let (source, pattern) = rules.pattern, !pattern.matches(text) {
            invalid(.string(text), "should match '\(source)'")
        }
        if let format = rules.format, !format.isEmpty, schema.kind == .string || schema.kind == .any,
            !ValueFormat.accepts(format, text)
        {
            add(.typeInvalid(field, .string(text), "\(name) in body must be of type \(format): \(Quote.go(text))"))
        }
    }

    private mutating func checkNumber(_ value: JSON, _ schema: ValueSchema, _ rules: ValueRules) {
        if let limit = rules.maximum, !ValueCheck.isOrdered(value, limit, strictly: rules.excludesMaximum) {
            let bound = (rules.excludesMaximum ? "" : "or equal to ") + ValueCheck.text(limit)
            invalid(value, "should be less than \(bound)")
        }
        if let limit = rules.minimum, !ValueCheck.isOrdered(limit, value, strictly: rules.excludesMinimum) {
            invalid(
                value, "should be greater than \(rules.excludesMinimum ? "" : "or equal to ")\(ValueCheck.text(limit))")
        }
        if let factor = rules.multipleOf, !ValueCheck.isMultiple(value, of: factor) {
            invalid(value, "should be a multiple of \(ValueCheck.text(factor))")
        }
        if schema.kind == .integer, rules.format == "int32", let number = value.int, Int32(exactly: number) == nil {
            add(
                .invalid(
                    field, value, "Checked value must be of type integer with format int32 in \(name)"))
        }
    }

    /// a <= b, or a < b; exact for integers.
    private static func isOrdered(_ a: JSON, _ b: JSON, strictly: Bool) -> Bool {
        if case .int(let left) = a, let right = b.int { return strictly ? left < right : left <= right }
        if case .int(let right) = b, let left = a.int { return strictly ? left < right : left <= right }
        guard let left = a.double, let right = b.double else { return true }
        return strictly ? left < right : left <= right
    }

    private static func isMultiple(_ value: JSON, of factor: JSON) -> Bool {
        if case .int(let number) = value, let step = factor.int {
            // Of magnitudes: the smallest number divided by -1 is none.
            return step == 0 || number.magnitude % step.magnitude == 0
        }
        guard let number = value.double, let step = factor.double, step > 0 else { return true }
        let ratio = step < 1 ? 1 / step * number : number / step
        return abs(ratio - ratio.rounded()) <= 1e-9 * max(1, abs(ratio))
    }

    private static func text(_ number: JSON) -> String {
        if let whole = number.int { return String(whole) }
        return number.text
    }

    // MARK: - Groups of schemas

    /// What `schema` has against the value at the present place.
    private func trial(_ value: JSON, _ schema: ValueSchema) -> [FieldError] {
        var check = ValueCheck()
        check.path = path
        check.check(value, schema)
        return check.errors
    }

    private mutating func composite(_ text: String) {
        add(.invalid(FieldPath(), "", "\"\(name)\" must \(text)"))
    }

    private mutating func checkGroups(_ value: JSON, _ rules: ValueRules) {
        if !rules.any.isEmpty {
            let trials = rules.any.map { trial(value, $0) }
            if trials.allSatisfy({ !$0.isEmpty }) {
                composite("validate at least one schema (anyOf)")
                for error in trials.min(by: { $0.count < $1.count }) ?? [] { add(error) }
            }
        }
        if !rules.one.isEmpty {
            let trials = rules.one.map { trial(value, $0) }
            let valid = trials.count { $0.isEmpty }
            if valid == 0 {
                composite("validate one and only one schema (oneOf). Found none valid")
                for error in trials.min(by: { $0.count < $1.count }) ?? [] { add(error) }
            } else if valid > 1 {
                composite("validate one and only one schema (oneOf). Found \(valid) valid alternatives")
            }
        }
        if !rules.all.isEmpty {
            let trials = rules.all.map { trial(value, $0) }
            let valid = trials.count { $0.isEmpty }
            if valid < trials.count {
                composite("validate all the schemas (allOf)" + (valid == 0 ? ". None validated" : ""))
                for error in trials.joined() { add(error) }
            }
        }
        if let not = rules.not, trial(value, not).isEmpty { composite("not validate the schema (not)") }
    }
}
