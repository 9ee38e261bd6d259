// Query parameters with Kubernetes' names and meanings, checked.

internal import Client
internal import HTTP
internal import Objects

struct Query: Sendable {
    private let pairs: [(String, String)]

    init(_ pairs: [(String, String)]) { self.pairs = pairs }

    subscript(name: String) -> String? { pairs.first { $0.0 == name }?.1 }

    func all(_ name: String) -> [String] { pairs.filter { $0.0 == name }.map(\.1) }

    /// Present and not a form of "false". An empty value counts as true, as for kube-apiserver.
    func flag(_ name: String) -> Bool {
        guard let value = self[name] else { return false }
        return !["false", "0", "False", "FALSE", "f", "F"].contains(value)
    }

    /// Asked for with `pretty`; anything but a form of "true" is no.
    var wantsPretty: Bool { self["pretty"].map { ["1", "t", "T", "true", "True", "TRUE"].contains($0) } ?? false }

    func integer(_ name: String) throws(APIStatus) -> Int64? {
        guard let text = self[name], !text.isEmpty else { return nil }
        guard let value = Int64(text) else {
            throw .badRequest("strconv.ParseInt: parsing \"\(text)\": invalid syntax (query parameter \(name))")
        }
        return value
    }

    // MARK: - Groups of parameters

    func filter(
        _ path: ResourcePath, _ declaration: ResourceDeclaration, _ selectable: SelectableFields
    ) throws(APIStatus) -> ObjectFilter {
        var filter = ObjectFilter(namespace: declaration.isNamespaced ? path.namespace : nil, selectable: selectable)
        if !declaration.showsStoredBytes { filter.view = declaration }
        let labels = self["labelSelector"] ?? ""
        var fields = self["fieldSelector"] ?? ""
        // `watch/…/NAME`: of one object.
        if let name = path.name {
            let escaped = name.map { "\\,=".contains($0) ? "\\\($0)" : String($0) }.joined()
            fields = "metadata.name=\(escaped)" + (fields.isEmpty ? "" : ",\(fields)")
        }
        if !labels.isEmpty {
            do throws(SelectorError) {
                filter.labels = try LabelSelector(parsing: labels)
            } catch {
                throw .badRequest(error.description)
            }
        }
        if !fields.isEmpty {
            do throws(SelectorError) {
                filter.fields = try FieldSelector(parsing: fields)
            } catch {
                throw .badRequest(error.description)
            }
            for requirement in filter.fields?.requirements ?? []
            where !declaration.supportsField(requirement.field) && requirement.field != "metadata.namespace" {
                // kubectl says in front of it what it looked for.
                throw .badRequest(
                    declaration.strategy.fieldLabels.isEmpty && declaration.custom == nil
                        ? "\"\(requirement.field)\" is not a known field selector: only \"metadata.name\", "
                            + "\"metadata.namespace\""
                        : "field label not supported: \(requirement.field)")
            }
        }
        return filter
    }

    func listOptions() throws(APIStatus) -> ListOptions {
        let limit = try integer("limit") ?? 0
        let options = ListOptions(
            resourceVersion: self["resourceVersion"] ?? "", match: self["resourceVersionMatch"] ?? "",
            limit: Int(max(0, limit)), continuation: self["continue"] ?? "")
        if self["sendInitialEvents"] != nil {
            throw Query.invalid(
                "ListOptions",
                .forbidden(FieldPath("sendInitialEvents"), "sendInitialEvents is forbidden for list"))
        }
        if !options.match.isEmpty {
            var error: FieldError?
            let path = FieldPath("resourceVersionMatch")
            if options.resourceVersion.isEmpty {
                error = .forbidden(path, "resourceVersionMatch is forbidden unless resourceVersion is provided")
            } else if options.match != "Exact" && options.match != "NotOlderThan" {
                error = .notSupported(path, .string(options.match), ["Exact", "NotOlderThan", ""])
            } else if options.match == "Exact", options.resourceVersion == "0" {
                error = .forbidden(path, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"")
            } else if !options.continuation.isEmpty {
                error = .forbidden(path, "resourceVersionMatch is forbidden when continue is provided")
            }
            if let error { throw Query.invalid("ListOptions", error) }
        }
        return options
    }

    func writeOptions(_ kind: String, user: UserInfo) throws(APIStatus) -> WriteOptions {
        var options = WriteOptions()
        options.user = user
        let dryRun = all("dryRun").filter { !$0.isEmpty }
        for value in dryRun where value != "All" {
            throw Query.invalid(kind, .notSupported(FieldPath("dryRun"), .string(value), ["All"]))
        }
        options.dryRun = !dryRun.isEmpty
        options.manager = self["fieldManager"] ?? ""
        if let error = FieldOwner.check(manager: options.manager, FieldPath("fieldManager")).first {
            throw Query.invalid(kind, error)
        }
        options.force = flag("force")
        switch self["fieldValidation"] ?? "" {
        case "", "Warn": options.validation = .warn
        case "Strict": options.validation = .strict
        case "Ignore": options.validation = .ignore
        case let other:
            throw Query.invalid(
                kind,
                .notSupported(FieldPath("fieldValidation"), .string(other), ["Ignore", "Strict", "Warn"]))
        }
        return options
    }

    /// What an apply needs and other patches may not have.
    static func checkPatch(_ query: Query, _ type: PatchType) throws(APIStatus) {
        if type == .apply {
            guard query["fieldManager"] ?? "" == "" else { return }
            throw invalid("PatchOptions", .required(FieldPath("fieldManager"), "is required for apply patch"))
        }
        if query["force"] != nil {
            throw invalid("PatchOptions", .forbidden(FieldPath("force"), "may not be specified for non-apply patch"))
        }
    }

    /// DeleteOptions from the body if there is one, else from the query.
    func deleteOptions(_ body: JSON?) throws(APIStatus) -> DeleteOptions {
        var options = DeleteOptions()
        if let body {
            options = DeleteOptions(try Query.checked(body))
        } else {
            if let grace = try integer("gracePeriodSeconds") { options.gracePeriodSeconds = Int(grace) }
            options.propagationPolicy = self["propagationPolicy"] ?? ""
            if self["orphanDependents"] != nil { options.orphanDependents = flag("orphanDependents") }
        }
        let policy = options.propagationPolicy
        let path = FieldPath("propagationPolicy")
        if !policy.isEmpty {
            if options.orphanDependents != nil {
                throw Query.invalid(
                    "DeleteOptions",
                    .invalid(path, .string(policy), "orphanDependents and deletionPropagation cannot be both set"))
            }
            if !["Foreground", "Background", "Orphan"].contains(policy) {
                throw Query.invalid(
                    "DeleteOptions",
                    .notSupported(path, .string(policy), ["Foreground", "Background", "Orphan", "nil"]))
            }
        }
        return options
    }

    /// DeleteOptions come in every group and version; what counts are the kind and the types of the fields.
    private static func checked(_ body: JSON) throws(APIStatus) -> JSON {
        guard body.object != nil else { throw .badRequest("the body of a delete must be DeleteOptions") }
        let kind = body["kind"]?.string ?? ""
        guard kind.isEmpty || kind == "DeleteOptions" else {
            throw .badRequest("decoded object cannot be converted to DeleteOptions")
        }
        let gvk = GroupVersionKind(group: "", version: "v1", kind: "DeleteOptions")
        guard let schema = Registry.schema(of: gvk) else { return body }
        var body = body
        body["apiVersion"] = nil
        return try ResourceDeclaration.shape(body, gvk, schema, [], .ignore).object
    }

    static func invalid(_ kind: String, _ error: FieldError) -> APIStatus {
        .invalid(GroupVersionKind(group: "meta.k8s.io", version: "v1", kind: kind), "", [error])
    }
}
