// What an input chooses, byte by byte: zeros where it ends, so that every input makes something.

import Objects

struct Choices {
    private var bytes: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) { self.bytes = bytes[...] }

    mutating func next() -> UInt8 { bytes.popFirst() ?? 0 }

    mutating func one<T>(of values: [T]) -> T { values[Int(next()) % values.count] }

    mutating func list<T>(of counts: ClosedRange<Int>, _ make: (inout Choices) -> T) -> [T] {
        let count = counts.lowerBound + Int(next()) % counts.count
        return (0..<count).map { _ in make(&self) }
    }

    private static let numbers: [Int64] = [
        0, 1, 2, 3, 10, 100, 101, Int64(Int32.max), Int64(Int32.max) - 1, Int64(Int32.max) + 1, Int64(Int32.min), .max,
        .max - 1, .max / 2, .max / 100, .min, -1,
    ]

    /// Any number, those at an end of a type more often.
    mutating func number() -> Int64 {
        let choice = Int(next()) % (Self.numbers.count + 1)
        guard choice == Self.numbers.count else { return Self.numbers[choice] }
        return (0..<8).reduce(0) { number, _ in number << 8 | Int64(next()) }
    }

    /// A number that an int32 field takes.
    mutating func count() -> Int64 { Int64(Int32(clamping: max(0, number()))) }

    /// A count or a percentage.
    mutating func amount() -> JSON {
        switch next() % 5 {
        case 0: .string("\(next())%")
        case 1: .string("\(max(0, number()))%")
        case 2: .string("\(number())%")
        case 3: .int(count())
        default: .int(number())
        }
    }

    mutating func quantity() -> JSON {
        let suffix = one(of: ["", "m", "n", "k", "Ki", "G", "Gi", "E", "Ei", "e18", "e-9"])
        let digits = one(of: [
            "0", "1", "8", "999", "0.5", "9223372036854775807", "170141183460469231731.6873037158841057279",
        ])
        return .string(next() % 4 == 0 ? "\(number())\(suffix)" : "\(digits)\(suffix)")
    }

    /// An object of some of the fields.
    mutating func some(_ fields: [(String, (inout Choices) -> JSON)]) -> JSON {
        var object: JSON = [:]
        for (name, make) in fields where next() % 4 != 0 { object[name] = make(&self) }
        return object
    }
}
