// What strategic merge patches need to know of a type: which lists merge by which key. The schema of a kind provides
// it; patches of kinds without one (custom resources) are refused, as Kubernetes refuses them.

/// A place in a type's schema, as far as merging needs to know it.
public protocol PatchSchema: Sendable {
    /// The schema of a field of this object (or of any value of this map); nil when it is not known.
    func patchField(_ name: String) -> (any PatchSchema)?
    /// The schema of the elements of this list; nil when it is not known.
    var patchElement: (any PatchSchema)? { get }
    /// x-kubernetes-patch-merge-key: the field that identifies an element of this list.
    var patchMergeKey: String? { get }
    /// x-kubernetes-patch-strategy, split at its commas: merge, replace, retainKeys.
    var patchStrategies: [String] { get }
}

/// Why a patch cannot be applied: in itself (400), or to this object (422).
public struct PatchError: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String
    /// The patch is well-formed but does not fit the object.
    public let isUnprocessable: Bool

    init(_ description: String, unprocessable: Bool = false) {
        self.description = description
        isUnprocessable = unprocessable
    }

    /// As the API answers it: a bad request, or 422 without a list of causes (kubectl then prints the message whole).
    public var status: APIStatus {
        guard isUnprocessable else { return .badRequest(description) }
        return APIStatus(
            code: 422, reason: .invalid,
            message: "the server rejected our request due to an error in our request: \(description)")
    }
}

/// The kinds of patch, by media type.
public enum PatchType: String, Hashable, Sendable, CaseIterable {
    case json = "application/json-patch+json"
    case merge = "application/merge-patch+json"
    case strategic = "application/strategic-merge-patch+json"
    case apply = "application/apply-patch+yaml"
}
