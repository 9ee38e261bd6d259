// Resources that are questions: created, answered at once, never stored. To add one is a line in `review`.

internal import HTTP
internal import Objects

extension APICore {
    /// The answer to an access review; nil when the resource is none.
    /// - Parameter namespace: that of the path, for LocalSubjectAccessReview.
    func accessReview(
        _ declaration: ResourceDeclaration, namespace: String, _ review: JSON, _ user: UserInfo
    ) throws(APIStatus) -> JSON? {
        switch declaration.id {
        case .subjectAccessReviews: try AccessReviews.subject(review, declaration, self)
        case .localSubjectAccessReviews:
            try AccessReviews.local(review, namespace: namespace, declaration, self)
        case .selfSubjectAccessReviews: try AccessReviews.own(review, user, declaration, self)
        case .selfSubjectRulesReviews: try AccessReviews.rules(review, user, self)
        default: nil
        }
    }
}

extension HTTPFront {
    /// The answer to a create that asks instead of storing.
    func review(_ call: Call) throws(APIStatus) -> HTTPReply {
        let declaration = call.declaration
        var options = try call.query.writeOptions("CreateOptions", user: call.user)
        let body = try Body.object(call.request, &options)
        let decoded = try declaration.decode(body, duplicates: options.duplicates, validation: options.validation)
        options.warnings.add(decoded.warnings)
        let review = decoded.object
        let answer: JSON?
        switch declaration.id {
        case .tokenReviews: answer = try IdentityReviews.token(review, access.authentication, core)
        case .selfSubjectReviews: answer = IdentityReviews.own(review, call.user)
        default:
            answer = try core.accessReview(declaration, namespace: call.path.namespace ?? "", review, call.user)
        }
        guard let answer else { throw .notImplemented(declaration) }
        return .response(try view(call, 201, answer, options.warnings.all))
    }

    func token(_ call: Call) throws(APIStatus) -> HTTPReply {
        var options = try call.query.writeOptions("CreateOptions", user: call.user)
        let body = try Body.object(call.request, &options)
        let answer = try core.requestToken(call.key, body, options)
        return .response(Responses.json(201, answer, call.negotiated, options.warnings.all))
    }
}
