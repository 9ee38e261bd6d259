// What discovery lists and this server does not answer yet: 501 with the name of the thing and what to do instead, so
// that nobody takes silence for success. A line leaves the table when the thing is there.

internal import Objects

extension APIStatus {
    static func notImplemented(_ declaration: ResourceDeclaration, _ subresource: String? = nil) -> APIStatus {
        let name = declaration.id.groupResource
        let thing = subresource.map { "the subresource \($0) of \(name)" } ?? name
        let advice = subresource.flatMap { instead[$0] }.map { "; \($0)" } ?? ""
        return APIStatus(
            code: 501, reason: "NotImplemented", message: "\(thing) is not implemented by this server yet\(advice)",
            details: Details(group: declaration.id.group, kind: declaration.id.resource))
    }

    private static let instead = [
        "resize": "delete the pod and create it with other resources",
    ]
}
