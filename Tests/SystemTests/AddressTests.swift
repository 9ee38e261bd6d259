// Addresses, ranges, times and encodings: values in, text out, and back.

import System
import Testing

@Suite struct IPAddressTests {
    @Test(arguments: [
        ("10.0.0.1", "10.0.0.1"), ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "255.255.255.255"), ("::", "::"),
        ("::1", "::1"), ("1::", "1::"), ("2001:DB8::0:1", "2001:db8::1"), ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
        ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"), ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
        ("1:0:3:4:5:6:7:8", "1:0:3:4:5:6:7:8"), ("::ffff:1.2.3.4", "::ffff:1.2.3.4"),
        ("64:ff9b::1.2.3.4", "64:ff9b::102:304"),
        ("fe80::1", "fe80::1"), ("0:0:0:0:0:0:0:0", "::"), ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
    ])
    func printsCanonically(_ text: String, _ canonical: String) throws {
        let address = try #require(IPAddress(text))
        #expect(address.description == canonical)
        #expect(IPAddress(canonical) == address)
        #expect(IPAddress(bytes: address.bytes) == address)
    }

    @Test(arguments: [
        "", "1", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.256", "1.2.3.4 ", " 1.2.3.4", "1.2.3.-4", "1.2.3.+4",
        "1.2..4",
        ":", ":::", "1:2", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "12345::", "::g", "fe80::1%eth0", "::1.2.3",
        "1.2.3.4::", "1:2:3:4:5:6:7::8:9", "::+1", "1:2:3:4:5:6:7:8::", ":1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8:",
    ])
    func refuses(_ text: String) { #expect(IPAddress(text) == nil) }

    @Test func ordersAndSteps() throws {
        let a = try #require(IPAddress("10.0.0.255"))
        #expect(a.advanced(by: 1).description == "10.0.1.0")
        #expect(a.advanced(by: -256).description == "9.255.255.255")
        let b = IPAddress.v6(hi: 1, lo: .max)
        #expect(b.advanced(by: 1) == .v6(hi: 2, lo: 0))
        #expect(IPAddress.v6(hi: 2, lo: 0).advanced(by: -1) == b)
        #expect(a < b && IPAddress("9.0.0.0")! < a && IPAddress("::1")! < b)
        #expect(IPAddress("127.8.9.1")!.isLoopback && IPAddress("::1")!.isLoopback && !a.isLoopback)
        #expect(IPAddress("fe80::1")!.isLinkLocal && IPAddress("169.254.1.1")!.isLinkLocal)
    }
}

@Suite struct CIDRTests {
    @Test func knowsItsRange() throws {
        let range = try #require(CIDR("10.42.3.7/22"))
        #expect(range.description == "10.42.0.0/22")
        #expect(range.count == 1024)
        #expect(range.last.description == "10.42.3.255")
        #expect(range[257].description == "10.42.1.1")
        #expect(range.index(of: range[1023]) == 1023)
        #expect(range.contains(IPAddress("10.42.3.255")!) && !range.contains(IPAddress("10.42.4.0")!))
        #expect(!range.contains(IPAddress("::1")!))
        #expect(CIDR("0.0.0.0/0")!.contains(IPAddress("200.1.2.3")!))
        #expect(CIDR("0.0.0.0/0")!.last.description == "255.255.255.255")
        #expect(CIDR("10.0.0.0/8")!.overlaps(range) && range.overlaps(CIDR("10.0.0.0/8")!))
    }

    @Test func cutsSubnets() throws {
        let subnets = try #require(CIDR("10.42.0.0/16")).subnets(prefixLength: 24)
        #expect(subnets.count == 256)
        #expect(subnets[255].description == "10.42.255.0/24")
        let six = try #require(CIDR("fd00:42::/48"))
        #expect(six.subnet(at: 258, prefixLength: 64).description == "fd00:42:0:102::/64")
        #expect(six.subnet(at: 1, prefixLength: 112).description == "fd00:42::1:0/112")
        #expect(six.count == .max)
        #expect(CIDR("fd00::1/128")!.count == 1)
        #expect(CIDR("fd00::/64")!.index(of: IPAddress("fd00::ffff")!) == 0xffff)
        #expect(CIDR("fd00::/48")!.last.description == "fd00::ffff:ffff:ffff:ffff:ffff")
    }

    @Test(arguments: [
        "10.0.0.0", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/08", "::/129", "/8", "10.0.0.0/8/8",
    ])
    func refuses(_ text: String) { #expect(CIDR(text) == nil) }
}

@Suite struct TimestampTests {
    @Test(arguments: [
        (Int64(0), "1970-01-01T00:00:00Z"), (951_782_400, "2000-02-29T00:00:00Z"),
        (1_795_230_245, "2026-11-21T03:04:05Z"),
        (-1, "1969-12-31T23:59:59Z"), (4_107_542_400, "2100-03-01T00:00:00Z"),
        (-62_135_596_800, "0001-01-01T00:00:00Z"),
    ])
    func printsAndParses(_ seconds: Int64, _ text: String) {
        #expect(Timestamp(seconds: seconds).rfc3339 == text)
        #expect(Timestamp(rfc3339: text) == Timestamp(seconds: seconds))
    }

    /// RFC 3339 has four digits for a year; an archive can say anything.
    @Test func yearsWithoutATextAreWrittenAsTheNearestWithOne() {
        #expect(Timestamp(seconds: .min).rfc3339 == "0001-01-01T00:00:00Z")
        #expect(Timestamp(seconds: .max, nanoseconds: 5).rfc3339Nano == "9999-12-31T23:59:59.000000005Z")
    }

    @Test func keepsFractions() throws {
        let time = Timestamp(seconds: 1_795_230_245, nanoseconds: 6_789)
        #expect(time.rfc3339Micro == "2026-11-21T03:04:05.000006Z")
        #expect(time.rfc3339Nano == "2026-11-21T03:04:05.000006789Z")
        #expect(Timestamp(rfc3339: time.rfc3339Nano) == time)
        #expect(Timestamp(rfc3339: "2026-11-21T05:04:05.5+02:00")?.rfc3339Nano == "2026-11-21T03:04:05.500000000Z")
        #expect(time.advanced(by: .nanoseconds(-6_790)).rfc3339Nano == "2026-11-21T03:04:04.999999999Z")
        #expect(time.advanced(by: .seconds(1.5)).since(time) == .seconds(1.5))
    }

    @Test(arguments: [
        "", "2026-11-21", "2026-11-21T03:04:05", "2026-13-21T03:04:05Z", "2026-02-29T03:04:05Z", "2026-11-21T24:00:00Z",
        "2026-11-21T03:04:05.Z", "2026-11-21T03:04:05Zx", "2026-11-21T03:04:05+2:00", "2026-11-21 03:04:05Z",
    ])
    func refuses(_ text: String) { #expect(Timestamp(rfc3339: text) == nil) }
}

@Suite struct EncodingTests {
    /// The vectors of RFC 4648 section 10.
    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ])
    func base64(_ plain: String, _ encoded: String) {
        #expect(Base64.encode(Array(plain.utf8)) == encoded)
        #expect(Base64.decode(encoded) == Array(plain.utf8))
    }

    @Test(arguments: ["Zg", "Zg=", "Zh==", "Zm9v=", "Z===", "====", "Zm 9", "Zm9_", "Zg==Zg=="])
    func base64Refuses(_ text: String) { #expect(Base64.decode(text) == nil) }

    @Test func base64URL() {
        #expect(Base64.encode([0xfb, 0xff, 0xfe, 1], url: true) == "-__-AQ")
        #expect(Base64.decode("-__-AQ", url: true) == [0xfb, 0xff, 0xfe, 1])
    }

    @Test func hex() {
        #expect(Hex.encode([0, 1, 0xab]) == "0001ab")
        #expect(Hex.decode("0001aB") == [0, 1, 0xab])
        #expect(Hex.decode("0") == nil && Hex.decode("0g") == nil)
    }

    @Test func randomNames() {
        #expect(Set((0..<100).map { _ in Random.uuid() }).count == 100)
        let uuid = Array(Random.uuid())
        #expect(uuid.count == 36 && uuid[14] == "4" && "89ab".contains(uuid[19]))
        #expect(Random.nameSuffix().count == 5)
        #expect(Random.bytes(33).count == 33)
    }
}
