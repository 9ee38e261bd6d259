// What is known of a request before its body is there: whether its sender may ask at all, and whose bytes the body is.
// `handle` looks again when the body has come: rights may have changed, and small bodies come without this look.

internal import HTTP
internal import Objects

extension HTTPFront {
    func screen(_ request: HTTPRequest) -> BodyScreening {
        let info = RequestInfo.read(request, core.registry)
        do throws(APIStatus) {
            let user = try access.enter(request, info)
            if user.isMaster { return .exempt }
            return user.groups.contains(UserInfo.unauthenticated) ? .stranger : .known
        } catch {
            let response = Responses.failure(error)
            _ = meter(request, info, nil, nil).finish(.response(response))
            return .refused(response)
        }
    }
}
