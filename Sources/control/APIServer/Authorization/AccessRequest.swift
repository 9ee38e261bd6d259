// One question to the authorizers: may somebody do this? Read off an HTTP request, or off an access review.
//
// Kubernetes' peculiarities are here and nowhere else: a namespace is "in" itself, and a list or watch of one name
// (fieldSelector metadata.name=x) has that name, so that a role's resourceNames apply to it.

internal import HTTP
internal import Objects

struct AccessRequest: Hashable, Sendable {
    /// "get", "list", …; for paths the method in lower case.
    var verb: String
    var group = ""
    var version = ""
    var resource = ""
    var subresource = ""
    /// "" for cluster scope and for every namespace.
    var namespace = ""
    /// "" when it is about no single object.
    var name = ""
    /// A path that is no resource; nil for resources.
    var path: String?
    /// What a field selector pins down: field -> value. The Node authorizer looks at it.
    var fields: [String: String] = [:]

    /// `pods/log`
    var combinedResource: String { subresource.isEmpty ? resource : "\(resource)/\(subresource)" }
    var isReadOnly: Bool { verb == "get" || verb == "list" || verb == "watch" }

    /// A request for a resource.
    init(
        _ verb: String, _ resource: ResourceID, subresource: String = "", namespace: String = "", name: String = ""
    ) {
        self.verb = verb
        group = resource.group
        version = resource.version
        self.resource = resource.resource
        self.subresource = subresource
        self.namespace = namespace
        self.name = name
    }

    init(_ verb: String, path: String) {
        self.verb = verb
        self.path = path
    }

    init(_ request: HTTPRequest, _ info: RequestInfo) {
        guard let path = info.path else {
            self.init(request.method.lowercased(), path: request.path)
            return
        }
        let id = ResourceID(group: path.group, version: path.version, resource: path.resource)
        self.init(
            info.verb?.rawValue ?? request.method.lowercased(), id, subresource: path.subresource ?? "",
            namespace: path.namespace ?? "", name: path.name ?? "")
        if id.group.isEmpty, id.resource == "namespaces", namespace.isEmpty { namespace = name }
        if ["list", "watch", "deletecollection"].contains(verb),
            let selector = info.query["fieldSelector"], !selector.isEmpty
        {
            fields = AccessRequest.pinned(selector)
            name = fields["metadata.name"] ?? ""
        }
    }

    /// The fields a selector wants equal to one value. A selector that cannot be read pins nothing; the request is
    /// refused later.
    static func pinned(_ selector: String) -> [String: String] {
        guard let parsed = try? FieldSelector(parsing: selector) else { return [:] }
        var fields: [String: String] = [:]
        for requirement in parsed.requirements where requirement.equal { fields[requirement.field] = requirement.value }
        return fields
    }

    /// What Kubernetes says of a request that nobody allows.
    func refusal(_ user: UserInfo, _ reason: String) -> APIStatus {
        let tail = reason.isEmpty ? "" : ": \(reason)"
        let who = "User \(Quote.go(user.name)) cannot \(verb)"
        if let path { return .forbidden(nil, "", "\(who) path \(Quote.go(path))\(tail)") }
        let scope = namespace.isEmpty ? "at the cluster scope" : "in the namespace \(Quote.go(namespace))"
        return .forbidden(
            ResourceID(group: group, version: version, resource: resource), name,
            "\(who) resource \(Quote.go(combinedResource)) in API group \(Quote.go(group)) \(scope)\(tail)")
    }
}
