// Short reads of optional fields of API objects. A field of the wrong type reads as absent: objects were checked
// against their schema before they came here.

import Objects

extension JSON {
    /// The member, or null when there is none: chains of optional objects need no question marks.
    func child(_ key: String) -> JSON { self[key] ?? .null }

    func text(_ key: String) -> String? { self[key]?.string }

    func flag(_ key: String) -> Bool { self[key]?.bool ?? false }

    func integer(_ key: String) -> Int? { self[key]?.wholeNumber }

    func list(_ key: String) -> [JSON] { self[key]?.array ?? [] }

    /// The string members of an object field, in key order.
    func strings(_ key: String) -> [(key: String, value: String)] {
        guard let object = self[key]?.object else { return [] }
        return object.compactMap { entry in entry.value.string.map { (entry.key, $0) } }
    }

    var wholeNumber: Int? {
        guard case .int(let value) = self else { return nil }
        return Int(value)
    }
}

extension JSON {
    /// A quantity in thousandths of its unit, rounded up; nil when this is none.
    var quantityMilli: Int64? { Quantity(self)?.milliValue }
}
