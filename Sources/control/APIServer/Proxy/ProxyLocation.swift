// A redirect that a proxied server gives, as its client must see it: below the proxy's path.
//
// Kubernetes' rule: what names another host, or is relative, stays as it is; what names the server itself, or only a
// path, gets the path of the proxy in front.

struct ProxyLocation: Sendable {
    /// `/api/v1/namespaces/a/services/b/proxy`, as the client wrote it.
    let prefix: String
    /// host:port of the server that was asked.
    let server: String
    /// The request's Host.
    let host: String

    func rewrite(_ location: String) -> String {
        var rest = Substring(location)
        var origin: Substring = ""
        var authority: Substring?
        if let start = ProxyLocation.authorityStart(rest) {
            let end = rest[start...].firstIndex { "/?#".contains($0) } ?? rest.endIndex
            (origin, authority) = (rest[..<end], rest[start..<end])
            rest = rest[end...]
        }
        guard rest.hasPrefix("/") else { return location }
        if let authority {
            guard
                authority == server || authority == host || authority + ":80" == server || authority + ":443" == server
            else { return location }
            if authority != host { origin = "" }
        }
        let end = rest.firstIndex { "?#".contains($0) } ?? rest.endIndex
        let path = ProxyLocation.withoutDots(rest[..<end])
        let isBelow = path == prefix || path.hasPrefix(prefix + "/")
        return origin + (isBelow ? "" : prefix) + path + rest[end...]
    }

    /// Behind `//` or `scheme://`; nil when the text names no authority.
    private static func authorityStart(_ text: Substring) -> Substring.Index? {
        if text.hasPrefix("//") { return text.index(text.startIndex, offsetBy: 2) }
        guard
            let colon = text.firstIndex(where: { !$0.isASCII || !($0.isLetter || $0.isNumber || "+-.".contains($0)) }),
            text[colon...].hasPrefix("://")
        else { return nil }
        return text.index(colon, offsetBy: 3)
    }

    /// Dot segments taken out (RFC 3986, 5.2.4): no path leads above the prefix.
    private static func withoutDots(_ path: Substring) -> String {
        var kept: [Substring] = []
        let segments = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
        for segment in segments {
            switch segment {
            case ".": break
            case "..": _ = kept.popLast()
            default: kept.append(segment)
            }
        }
        // "/a/." and "/a/.." name folders.
        if let last = segments.last, last == "." || last == ".." { kept.append("") }
        return "/" + kept.joined(separator: "/")
    }
}
