// What discovery lists and this server does not answer yet: 501 with the name of the thing, so that nobody takes
// silence for success.

internal import Objects

extension APIStatus {
    static func notImplemented(_ declaration: ResourceDeclaration, _ subresource: String? = nil) -> APIStatus {
        let name = declaration.id.groupResource
        let thing = subresource.map { "the subresource \($0) of \(name)" } ?? name
        return APIStatus(
            code: 501, reason: "NotImplemented", message: "\(thing) is not implemented by this server yet",
            details: Details(group: declaration.id.group, kind: declaration.id.resource))
    }
}
