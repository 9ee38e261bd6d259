// What size costs. Figures are printed, not asserted: run with NODED_SCALE=10000 (Services of 3 endpoints).

import Glibc
import Kernel
import Logging
import Objects
import System
import Testing

@testable import ServiceProxy

private let services = getenv("NODED_SCALE").flatMap { Int(String(cString: $0)) } ?? 0

@Suite struct ServiceProxyScaleTests {
    @Test(.enabled(if: services > 0, "set NODED_SCALE to a number of Services"))
    func oneChangeCostsTheSameWhateverTheNumberOfServices() throws {
        let namespace = try NetworkNamespace.create()
        func made() -> ProxyEngine {
            ProxyEngine(
                ranges: [CIDR("10.43.0.0/16")!], own: [], namespace: namespace, logger: Logger(label: "test"))
        }
        func spec(_ index: Int, _ endpoints: Int, shift: Int = 0) -> ProxyService {
            let pods = (0..<endpoints).map { TestEndpoint(address: "10.42.\((index + shift) % 250).\($0 + 1)") }
            return ProxyService(
                Service(service("s\(index)", ["10.43.\(index / 250).\(index % 250 + 1)"])),
                slices: [EndpointSlice(slice("s\(index)", pods))], nodeName: "this")
        }
        var all: [String: ProxyService] = [:]
        for index in 0..<services { all["default/s\(index)"] = spec(index, 3) }
        let clock = ContinuousClock()
        let engine = made()
        print("load \(services) Services:", try clock.measure { try engine.reconcile(all) })
        print(
            "  resident \(try Files.readText("/proc/self/status").split(separator: "\n").first { $0.hasPrefix("VmRSS") } ?? "")"
        )
        func median(_ what: String, _ body: (Int) throws -> Void) throws {
            let times = try (0..<50).map { round in try clock.measure { try body(round) } }.sorted()
            print("\(what): median \(times[25]), slowest \(times[49])")
        }
        try median("replace all endpoints of a Service") {
            try engine.apply(["default/s5": spec(5, 3, shift: $0 % 2 + 1)])
        }
        try median("change the number of endpoints") {
            try engine.apply(["default/s6": spec(6, 3 + $0 % 2)])
            try engine.collect()
        }
        let again = made()
        print("adopt after a restart:", try clock.measure { try again.reconcile(all) })
        try again.teardown()
    }
}
