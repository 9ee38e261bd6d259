// TokenReview (whose token is this?) and SelfSubjectReview (who am I?) of authentication.k8s.io/v1.

internal import Objects

enum IdentityReviews {
    static func token(_ review: JSON, _ authentication: Authentication, _ core: APICore) throws(APIStatus) -> JSON {
        let token = review.at("spec", "token")?.string ?? ""
        guard !token.isEmpty else { throw .badRequest("token is required for TokenReview in authentication") }
        let asked = review.at("spec", "audiences")?.strings ?? []
        let audiences = asked.isEmpty ? core.tokens.audiences : asked
        var answer = review
        var failure = "invalid bearer token"
        do throws(AuthenticationFailure) {
            if let identity = try authentication.identity(token, audiences: audiences, core) {
                answer["status"] = [
                    "authenticated": true, "user": identity.user.json,
                    "audiences": .array(identity.audiences.map { .string($0) }),
                ]
                return answer
            }
        } catch {
            failure = "[\(failure), \(error)]"
        }
        answer["status"] = ["authenticated": false, "user": [:], "error": .string(failure)]
        return answer
    }

    static func own(_ review: JSON, _ user: UserInfo) -> JSON {
        var answer = review
        answer["status"] = ["userInfo": user.json]
        return answer
    }
}
