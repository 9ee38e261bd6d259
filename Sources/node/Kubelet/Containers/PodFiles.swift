// /etc/hosts, /etc/hostname and /etc/resolv.conf of a pod: pure text, from the pod and the node's settings.
//
// resolv.conf stays what every Kubernetes pod has (search list, ndots:5): programs depend on it; the cluster's
// resolver completes names on its side, so that it costs nothing.

import Objects
import System

enum PodFiles {
    /// metadata.name, or spec.hostname; cut to the 63 bytes a host name may have.
    static func hostname(_ pod: JSON) -> String {
        let spec = pod.child("spec")
        if let override = spec.text("hostnameOverride"), !override.isEmpty { return override }
        let name = spec.text("hostname") ?? pod.child("metadata").text("name") ?? "pod"
        var cut = String(decoding: name.utf8.prefix(63), as: UTF8.self)
        while let last = cut.last, last == "-" || last == "." { cut.removeLast() }
        return cut
    }

    static func hosts(_ pod: JSON, ips: [String], domain: String, machine: String?) -> String {
        let spec = pod.child("spec")
        var text: String
        if let machine {
            text = machine
            if !text.hasSuffix("\n") { text += "\n" }
        } else {
            text = """
                # Kubernetes-managed hosts file.
                127.0.0.1\tlocalhost
                ::1\tlocalhost ip6-localhost ip6-loopback
                fe00::0\tip6-localnet
                fe00::0\tip6-mcastprefix
                fe00::1\tip6-allnodes
                fe00::2\tip6-allrouters

                """
            let host = hostname(pod)
            var names = host
            if let subdomain = spec.text("subdomain"), !subdomain.isEmpty {
                let namespace = pod.child("metadata").text("namespace") ?? ""
                names = "\(host).\(subdomain).\(namespace).svc.\(domain)\t\(host)"
            }
            for ip in ips { text += "\(ip)\t\(names)\n" }
        }
        let aliases = spec.list("hostAliases")
        guard !aliases.isEmpty else { return text }
        text += "\n# Entries added by HostAliases.\n"
        for alias in aliases {
            let names = alias.list("hostnames").compactMap(\.string).joined(separator: "\t")
            text += "\(alias.text("ip") ?? "")\t\(names)\n"
        }
        return text
    }

    struct Resolver: Sendable, Hashable {
        var nameservers: [String] = []
        var searches: [String] = []
        var options: [String] = []

        init() {}

        /// resolv.conf(5).
        init(parsing text: String) {
            for line in text.split(separator: "\n") {
                let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" }).map(String.init)
                guard let first = words.first else { continue }
                switch first {
                case "nameserver": nameservers += words.dropFirst().prefix(1)
                case "search", "domain": searches = Array(words.dropFirst())
                case "options": options += words.dropFirst()
                default: break
                }
            }
        }

        var text: String {
            var out = ""
            if !searches.isEmpty { out += "search \(searches.joined(separator: " "))\n" }
            for server in nameservers { out += "nameserver \(server)\n" }
            if !options.isEmpty { out += "options \(options.joined(separator: " "))\n" }
            return out
        }
    }

    static func resolver(_ pod: JSON, machine: Resolver, clusterDNS: [IPAddress], domain: String) -> Resolver {
        let spec = pod.child("spec")
        let namespace = pod.child("metadata").text("namespace") ?? "default"
        var resolver = Resolver()
        switch spec.text("dnsPolicy") ?? "ClusterFirst" {
        case "None": break
        case "Default": resolver = machine
        case "ClusterFirst" where spec.flag("hostNetwork"): resolver = machine
        default:
            if clusterDNS.isEmpty {
                resolver = machine
            } else {
                resolver.nameservers = clusterDNS.map(\.description)
                resolver.searches = ["\(namespace).svc.\(domain)", "svc.\(domain)", domain]
                for search in machine.searches where search != "." && !resolver.searches.contains(search) {
                    resolver.searches.append(search)
                }
                resolver.options = ["ndots:5"]
            }
        }
        let extra = spec.child("dnsConfig")
        for server in extra.list("nameservers").compactMap(\.string) where !resolver.nameservers.contains(server) {
            resolver.nameservers.append(server)
        }
        for search in extra.list("searches").compactMap(\.string) where !resolver.searches.contains(search) {
            resolver.searches.append(search)
        }
        for option in extra.list("options") {
            guard let name = option.text("name") else { continue }
            resolver.options.removeAll { $0 == name || $0.hasPrefix(name + ":") }
            resolver.options.append(option.text("value").map { "\(name):\($0)" } ?? name)
        }
        resolver.nameservers = Array(resolver.nameservers.prefix(3))
        resolver.searches = Array(resolver.searches.prefix(32))
        return resolver
    }
}
