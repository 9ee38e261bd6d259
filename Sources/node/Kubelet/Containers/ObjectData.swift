// The keys and bytes of a ConfigMap (data, binaryData) or a Secret (data, stringData in manifests).

import Objects
import System

enum ObjectData {
    static func entries(_ object: JSON) -> [(key: String, value: [UInt8])] {
        let isSecret = object.text("kind") == "Secret"
        var out: [String: [UInt8]] = [:]
        for (key, value) in object.strings("data") {
            out[key] = isSecret ? (Base64.decode(value) ?? []) : Array(value.utf8)
        }
        for (key, value) in object.strings("binaryData") { out[key] = Base64.decode(value) ?? [] }
        if isSecret { for (key, value) in object.strings("stringData") { out[key] = Array(value.utf8) } }
        return out.sorted { $0.key < $1.key }.map { (key: $0.key, value: $0.value) }
    }

    static func value(_ object: JSON, _ key: String) -> [UInt8]? { entries(object).first { $0.key == key }?.value }
}
