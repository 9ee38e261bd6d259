import System
import Testing

@testable import PodNetwork

@Suite struct AddressBookTests {
    let range = CIDR("10.42.0.0/28")!

    func book(_ positions: [CIDR: UInt64] = [:]) -> AddressBook {
        AddressBook([range], positions: positions) { _ in 0 }
    }

    @Test func neverTheFirstNorTheLast() throws {
        var book = book()
        let all = try (0..<13).map { try book.take(for: "pod\($0)")[0] }
        #expect(all.map(\.description) == (1...13).map { "10.42.0.\($0)" })
        _ = try book.take(for: "last")
        #expect(throws: PodNetworkError.self) { try book.take(for: "one too many") }
        #expect(book.holder(of: IPAddress("10.42.0.0")!) == nil)
        #expect(book.holder(of: IPAddress("10.42.0.15")!) == nil)
    }

    @Test func aReleasedAddressComesBackAsLateAsPossible() throws {
        var book = book()
        let first = try book.take(for: "a")
        book.release("a")
        var seen: [IPAddress] = []
        for turn in 0..<13 {
            seen += try book.take(for: "b\(turn)")
            book.release("b\(turn)")
        }
        #expect(!seen.contains(first[0]))
        #expect(Set(seen).count == 13)
        #expect(try book.take(for: "c") == first)
    }

    @Test func anAddressInUseIsSkippedInEveryRound() throws {
        var book = book()
        let kept = try book.take(for: "kept")[0]
        for turn in 0..<100 {
            #expect(try book.take(for: "t\(turn)")[0] != kept)
            book.release("t\(turn)")
        }
        #expect(book.hold([kept], for: "thief") == false)
        #expect(try book.take(for: "kept") == [kept])
    }

    @Test func aRestartContinuesBehindEverythingHandedOut() throws {
        let wide = CIDR("10.42.0.0/16")!
        var before = AddressBook([wide], positions: [:]) { _ in 100 }
        var used: Set<IPAddress> = []
        for turn in 0..<200 {
            let address = try before.take(for: "a\(turn)")[0]
            used.insert(address)
            // What a crash right now would find on disk must lie at or behind what was given out.
            var after = AddressBook([wide], positions: before.positions) { _ in 0 }
            #expect(!used.contains(try after.take(for: "x")[0]))
        }
    }

    @Test func theCursorFileReadsBackAndATornOneCountsAsAbsent() {
        let positions = [range: UInt64(7), CIDR("fd00:42::/64")!: 1234]
        #expect(AddressCursor.parse(AddressCursor.text(positions)) == positions)
        #expect(AddressCursor.parse("10.42.0.0/28 7\n10.42").isEmpty)
    }

    @Test func bothFamiliesOrNone() throws {
        var book = AddressBook([CIDR("10.42.0.0/30")!, CIDR("fd00:42::/64")!], positions: [:]) { _ in 0 }
        #expect(try book.take(for: "a").map(\.description) == ["10.42.0.1", "fd00:42::1"])
        _ = try book.take(for: "b")
        #expect(throws: PodNetworkError.self) { try book.take(for: "c") }
        #expect(book.addresses(of: "c").isEmpty)
        book.release("a")
        #expect(try book.take(for: "d").map(\.description) == ["10.42.0.1", "fd00:42::3"])
    }

    @Test func linkNamesFit() {
        for _ in 0..<100 {
            let name = PodLink.name(podUID: Random.uuid())
            #expect(name.utf8.count == 15 && name.hasPrefix("nd"))
        }
    }
}
