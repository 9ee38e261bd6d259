// Groups that belong to Kubernetes (*.k8s.io, *.kubernetes.io): a definition in one carries the annotation
// api-approved.kubernetes.io with a link to its approval, or a reason that begins with "unapproved".

public enum DefinitionApproval {
    public static let annotation = "api-approved.kubernetes.io"

    public static func isProtected(_ group: String) -> Bool {
        ["k8s.io", "kubernetes.io"].contains { group == $0 || group.hasSuffix(".\($0)") }
    }

    /// What is wrong with the approval; nil when nothing is, or when the group is not protected.
    public static func problem(_ object: JSON) -> (reason: String, message: String)? {
        guard isProtected(object.at("spec", "group")?.string ?? "") else { return nil }
        let value = object.at("metadata", "annotations", annotation)?.string ?? ""
        let link = "see https://github.com/kubernetes/enhancements/pull/1111"
        if value.isEmpty {
            return ("MissingAnnotation", "protected groups must have approval annotation \"\(annotation)\", \(link)")
        }
        if value.hasPrefix("unapproved") || value.hasPrefix("https://") || value.hasPrefix("http://") { return nil }
        return (
            "InvalidAnnotation",
            "protected groups must have approval annotation \"\(annotation)\" with either a URL or a reason "
                + "starting with \"unapproved\", \(link)")
    }

    static func errors(_ object: JSON) -> [FieldError] {
        guard let problem = problem(object) else { return [] }
        let path = FieldPath("metadata.annotations").key(annotation)
        let value = object.at("metadata", "annotations", annotation)
        return [value == nil ? .required(path, problem.message) : .invalid(path, value, problem.message)]
    }
}
