// The hash that names a replica set after its template (label pod-template-hash).
//
// FNV-1a over the canonical JSON of the template, spelled in the alphabet of generated names so that it never
// forms a word. Equal templates hash equally in every version of noded; whether two templates are the same is
// never decided by it (`sameTemplate` compares them).

import Objects

enum TemplateHash {
    static let label = "pod-template-hash"
    private static let alphabet = Array("bcdfghjklmnpqrstvwxz2456789".utf8)

    static func of(_ template: JSON, collisions: Int64) -> String {
        var hash: UInt32 = 2_166_136_261
        func mix(_ byte: UInt8) { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
        for byte in template.encode() { mix(byte) }
        if collisions > 0 {
            for byte in String(collisions).utf8 { mix(byte) }
        }
        return String(decoding: String(hash).utf8.map { alphabet[Int($0) % alphabet.count] }, as: UTF8.self)
    }

    /// Equal but for the hash label that the controller itself adds.
    static func sameTemplate(_ a: JSON?, _ b: JSON?) -> Bool { bare(a) == bare(b) }

    private static func bare(_ template: JSON?) -> JSON? {
        var template = template
        template?["metadata"]?["labels"]?[label] = nil
        return template
    }
}
