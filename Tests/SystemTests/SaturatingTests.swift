// Sums and products that end at the ends of their type.

import System
import Testing

@Suite struct SaturatingTests {
    @Test(arguments: [(1, 2, 3), (.max, 1, .max), (.max, -1, .max - 1), (.min, -1, .min), (.min, .max, -1)])
    func sums(_ a: Int64, _ b: Int64, _ sum: Int64) {
        #expect(a.addingSaturated(b) == sum && b.addingSaturated(a) == sum)
    }

    @Test(arguments: [(6, 7, 42), (.max, 2, .max), (.max, -2, .min), (.min, -1, .max), (.min, 2, .min), (.min, 0, 0)])
    func products(_ a: Int64, _ b: Int64, _ product: Int64) {
        #expect(a.multipliedSaturated(by: b) == product && b.multipliedSaturated(by: a) == product)
    }

    @Test func countsHaveNoSign() {
        #expect(UInt8(200).addingSaturated(100) == .max && UInt8(200).multipliedSaturated(by: 2) == .max)
    }
}
