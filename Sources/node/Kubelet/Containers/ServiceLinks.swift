// Environment variables that name Services, in Docker's old form and Kubernetes' (pods/environment of the docs).

import Objects

enum ServiceLinks {
    /// With `all` false only the API's own Service is there.
    static func variables(_ services: [JSON], namespace: String, all: Bool) -> [(String, String)] {
        var out: [(String, String)] = []
        var seen: Set<String> = []
        let sorted = services.sorted {
            ($0.child("metadata").text("name") ?? "") < ($1.child("metadata").text("name") ?? "")
        }
        for service in sorted {
            let metadata = service.child("metadata")
            let name = metadata.text("name") ?? ""
            let home = metadata.text("namespace") ?? ""
            let isMaster = home == "default" && name == "kubernetes"
            guard isMaster || (all && home == namespace), seen.insert(name).inserted else { continue }
            out += variables(service, name: name)
        }
        return out
    }

    private static func variables(_ service: JSON, name: String) -> [(String, String)] {
        let spec = service.child("spec")
        guard let address = spec.text("clusterIP"), !address.isEmpty, address != "None" else { return [] }
        let ports = spec.list("ports")
        guard let first = ports.first?.integer("port") else { return [] }
        let prefix = String(
            decoding: name.utf8.map { byte -> UInt8 in
                switch byte {
                case UInt8(ascii: "-"), UInt8(ascii: "."): UInt8(ascii: "_")
                case UInt8(ascii: "a")...UInt8(ascii: "z"): byte - 32
                default: byte
                }
            }, as: UTF8.self)
        let host = address.contains(":") ? "[\(address)]" : address
        var out = [("\(prefix)_SERVICE_HOST", address), ("\(prefix)_SERVICE_PORT", String(first))]
        for port in ports {
            guard let label = port.text("name"), !label.isEmpty, let number = port.integer("port") else { continue }
            let suffix = label.uppercased().split(separator: "-", omittingEmptySubsequences: false).joined(
                separator: "_")
            out.append(("\(prefix)_SERVICE_PORT_\(suffix)", String(number)))
        }
        for (index, port) in ports.enumerated() {
            guard let number = port.integer("port") else { continue }
            let kind = port.text("protocol") ?? "TCP"
            let url = "\(kind.lowercased())://\(host):\(number)"
            if index == 0 { out.append(("\(prefix)_PORT", url)) }
            let base = "\(prefix)_PORT_\(number)_\(kind)"
            out += [
                (base, url), (base + "_PROTO", kind.lowercased()), (base + "_PORT", String(number)),
                (base + "_ADDR", address),
            ]
        }
        return out
    }
}
