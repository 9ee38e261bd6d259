// Tokens out of a file, for an administrator without a certificate: kube-apiserver's token file, one
// `TOKEN,USER,UID[,"GROUP,GROUP"]` a line. Read once, at start; changing it takes a restart.

internal import Objects

/// One line of a token file.
public struct StaticToken: Sendable {
    let token: String
    let user: UserInfo

    /// Parses a token file. Empty lines and lines that begin with `#` are skipped.
    /// - Throws: what is wrong, with the line's number.
    public static func parse(_ text: String) throws(StaticTokenError) -> [StaticToken] {
        var tokens: [StaticToken] = []
        var seen: Set<String> = []
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let line = line.hasSuffix("\r") ? line.dropLast() : line
            if line.isEmpty || line.hasPrefix("#") { continue }
            guard let fields = fields(line) else {
                throw StaticTokenError(line: index + 1, reason: "a quote is not closed")
            }
            guard fields.count >= 3 else {
                throw StaticTokenError(line: index + 1, reason: "expected TOKEN,USER,UID[,\"GROUP,GROUP\"]")
            }
            guard !fields[0].isEmpty, !fields[1].isEmpty else {
                throw StaticTokenError(line: index + 1, reason: "token and user must not be empty")
            }
            guard seen.insert(fields[0]).inserted else {
                throw StaticTokenError(line: index + 1, reason: "this token was given before")
            }
            let groups = fields.count < 4 ? [] : fields[3].split(separator: ",").map(String.init)
            tokens.append(
                StaticToken(token: fields[0], user: UserInfo(name: fields[1], uid: fields[2], groups: groups)))
        }
        return tokens
    }

    /// The comma-separated fields of a line, those in double quotes without them; nil for an open quote.
    private static func fields(_ line: Substring) -> [String]? {
        var fields = [""]
        var isQuoted = false
        for character in line {
            switch character {
            case "\"": isQuoted.toggle()
            case "," where !isQuoted: fields.append("")
            default: fields[fields.count - 1].append(character)
            }
        }
        return isQuoted ? nil : fields.map { String($0.drop { $0 == " " }) }
    }
}

public struct StaticTokenError: Error, CustomStringConvertible {
    public let line: Int
    public let reason: String
    public var description: String { "line \(line): \(reason)" }
}

struct StaticTokens: TokenAuthenticator {
    let tokens: [StaticToken]

    func authenticate(
        _ token: String, audiences: [String], _ core: APICore
    ) throws(AuthenticationFailure) -> TokenIdentity? {
        let given = Array(token.utf8)
        var found: StaticToken?
        // All of them are looked at, so that the time tells nothing of which it was.
        for known in tokens where ConstantTime.equal(Array(known.token.utf8), given) { found = known }
        return found.map { TokenIdentity(user: $0.user, audiences: audiences) }
    }
}
