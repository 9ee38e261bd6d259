// Quantities: the canonical forms of Kubernetes, rounding, and what is no quantity.

import Objects
import Testing

@Suite struct QuantityTests {
    @Test(arguments: [
        ("0", "0"), ("0Ki", "0"), ("1", "1"), ("1000m", "1"), ("0.5", "500m"), ("100m", "100m"), ("1500m", "1500m"),
        ("1k", "1k"), ("1000", "1k"), ("1024", "1024"), ("1Ki", "1Ki"), ("1024Ki", "1Mi"), ("1.5Gi", "1536Mi"), ("0.6Gi", "644245094400m"),
        ("128Mi", "128Mi"), ("0.5Ki", "512"), ("1025Ki", "1025Ki"), ("2e3", "2e3"), ("2E3", "2e3"), ("1e-3", "1e-3"),
        ("1E", "1E"),
        ("-1", "-1"), ("+5", "5"), ("-0.001", "-1m"), (".5", "500m"), ("5.", "5"), ("0.0000000001", "1n"), ("1n", "1n"),
        ("999u", "999u"), ("1.123456789123", "1123456790n"), ("9223372036854775807", "9223372036854775807"),
        ("9223372036854775808", "9223372036854775807"), ("100E", "9223372036854775807"),
        ("1e40", "9223372036854775807"),
        ("3T", "3T"), ("12345678", "12345678"), ("0.1Ki", "102400m"), ("1.1Ki", "1126400m"), ("00012", "12"),
        ("1e-40", "1e-9"), ("170141183460469231731.6873037158841057279G", "9223372036854775807"),
    ]) func printsCanonically(text: String, canonical: String) throws {
        let quantity = try Quantity(parsing: text)
        #expect(quantity.description == canonical)
        #expect(try Quantity(parsing: canonical) == quantity || canonical == "1127")
    }

    @Test(arguments: [
        "", " 1", "1 ", "a", "1x", "--1", "1.2.3", "1Kib", "1KI", "1 Gi", "e3", "1e", "1ee3", "0x10", "1,5", "1M i",
        "+", ".",
    ])
    func refuses(text: String) {
        #expect(throws: QuantityError.self) { try Quantity(parsing: text) }
    }

    @Test func errorsAreKubernetes() {
        let error = #expect(throws: QuantityError.self) { try Quantity(parsing: "abc") }
        #expect(
            error?.description
                == "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
    }

    @Test func valuesRoundUp() throws {
        #expect(try Quantity(parsing: "100m").value == 1)
        #expect(try Quantity(parsing: "1.5Gi").value == 1_610_612_736)
        #expect(try Quantity(parsing: "250m").milliValue == 250)
        #expect(try Quantity(parsing: "2").milliValue == 2000)
        #expect(try Quantity(parsing: "1u").milliValue == 1)
        #expect(try Quantity(parsing: "8Ei").milliValue == .max)
    }

    @Test func comparesAndAdds() throws {
        #expect(try Quantity(parsing: "1Gi") == Quantity(parsing: "1024Mi"))
        #expect(try Quantity(parsing: "1G") < Quantity(parsing: "1Gi"))
        #expect(try (Quantity(parsing: "100m") + Quantity(parsing: "0.9")).description == "1")
        #expect(try (Quantity.zero + Quantity(parsing: "1Gi")).description == "1Gi")
        #expect(try (Quantity(parsing: "1Gi") - Quantity(parsing: "512Mi")).description == "512Mi")
        #expect(Quantity(JSON.int(3)) == Quantity(3))
        #expect(Quantity(JSON.double(0.5)) == Quantity(milli: 500))
        #expect(Quantity(JSON.bool(true)) == nil)
    }
}
