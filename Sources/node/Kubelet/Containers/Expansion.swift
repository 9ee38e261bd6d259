// $(VAR) in command, args, env and subPathExpr (Container v1): `$$` is a dollar, an unknown variable stays as it is.

enum Expansion {
    static func expand(_ text: String, _ variables: [String: String]) -> String {
        let bytes = Array(text.utf8)
        var out: [UInt8] = []
        out.reserveCapacity(bytes.count)
        var index = 0
        while index < bytes.count {
            guard bytes[index] == UInt8(ascii: "$"), index + 1 < bytes.count else {
                out.append(bytes[index])
                index += 1
                continue
            }
            switch bytes[index + 1] {
            case UInt8(ascii: "$"):
                out.append(UInt8(ascii: "$"))
                index += 2
            case UInt8(ascii: "("):
                guard let end = bytes[(index + 2)...].firstIndex(of: UInt8(ascii: ")")) else {
                    out.append(contentsOf: bytes[index...])
                    return String(decoding: out, as: UTF8.self)
                }
                let name = String(decoding: bytes[(index + 2)..<end], as: UTF8.self)
                if let value = variables[name] {
                    out.append(contentsOf: value.utf8)
                } else {
                    out.append(contentsOf: bytes[index...end])
                }
                index = end + 1
            default:
                out.append(bytes[index])
                index += 1
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    /// The names of the variables that `text` refers to.
    static func references(_ text: String) -> [String] {
        var names: [String] = []
        let bytes = Array(text.utf8)
        var index = 0
        while index + 1 < bytes.count {
            if bytes[index] == UInt8(ascii: "$"), bytes[index + 1] == UInt8(ascii: "$") {
                index += 2
            } else if bytes[index] == UInt8(ascii: "$"), bytes[index + 1] == UInt8(ascii: "("),
                let end = bytes[(index + 2)...].firstIndex(of: UInt8(ascii: ")"))
            {
                names.append(String(decoding: bytes[(index + 2)..<end], as: UTF8.self))
                index = end + 1
            } else {
                index += 1
            }
        }
        return names
    }
}
