// What a tar reader holds on to.

import System
import Testing

@testable import Images

@Suite struct TarHeaderTests {
    @Test func manyExtendedHeadersBeforeOneEntryAreNotKept() throws {
        var tar = Tar()
        for number in 0..<200 {
            let records = (0..<100).map { ("key-\(number)-\($0)", "value") }
            tar.add("x", "pax", records.flatMap { Tar.record($0.0, Array($0.1.utf8)) })
        }
        var held = TarExtensions()
        var offset = 0
        while offset < tar.bytes.count {
            let size = try TarHeader(bytes: Array(tar.bytes[offset..<offset + 512])).size()
            try held.setPax(Array(tar.bytes[offset + 512..<offset + 512 + size]))
            #expect(held.records.count == 100)
            offset += 512 + (size + 511) / 512 * 512
        }
        #expect(held.records["key-199-99"] != nil)
    }
}
