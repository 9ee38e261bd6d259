// Field numbers and names of the API's protobuf messages, from declarations/wire.json (scripts/declare-wire says what
// it looks like). Parsed once, at the first protobuf body; a table that cannot be read is a bug of the build and traps.

struct WireTable: Sendable {
    struct Field: Sendable {
        /// The JSON name; of an inline message its type.
        let name: String
        /// The fields of that message are those of its container.
        let isInline: Bool
        /// Zeros are values: the field is a pointer in Go.
        let keepsZero: Bool
    }

    static let standard = WireTable(Declarations.wire)

    /// By message ("core.v1.PodSpec") and field number.
    private let messages: [String: [Int: Field]]

    init(_ table: [String: String]) {
        messages = table.mapValues { text in
            let words = text.split(separator: " ")
            var fields: [Int: Field] = [:]
            for index in stride(from: 0, to: words.count - 1, by: 2) {
                guard let number = Int(words[index]) else { fatalError("wire.json: \(text)") }
                let word = words[index + 1]
                fields[number] = Field(
                    name: String(word.drop { $0 == ">" }.prefix { $0 != "!" }), isInline: word.first == ">",
                    keepsZero: word.last == "!")
            }
            return fields
        }
    }

    func fields(of message: String) -> [Int: Field]? { messages[message] }
}
