// What the checks of the Pod Security Standards look at, and how what they find is worded.

internal import Objects

/// A pod as the checks see it.
struct CheckedPod {
    let annotations: [String: String]
    let spec: JSON
    /// Init containers, containers, ephemeral containers.
    let containers: [JSON]

    init(metadata: JSON?, spec: JSON) {
        annotations = metadata?["annotations"]?.stringMap ?? [:]
        self.spec = spec
        containers = ["initContainers", "containers", "ephemeralContainers"].flatMap { spec[$0]?.array ?? [] }
    }

    var isWindows: Bool { spec.at("os", "name")?.string == "windows" }
    /// The pod's root is nobody on the host.
    var hasUserNamespace: Bool { spec["hostUsers"]?.bool == false }

    /// The names of the containers that something is true for.
    func names(_ isBad: (JSON) -> Bool) -> [String] { containers.filter(isBad).map { $0["name"]?.string ?? "" } }

    /// `pod and containers "a", "b"`: who sets something bad in their securityContext; nil when nobody does.
    func setters(_ isBad: (JSON) -> Bool) -> String? {
        var setters: [String] = []
        if let context = spec["securityContext"], isBad(context) { setters.append("pod") }
        let bad = names { $0["securityContext"].map(isBad) ?? false }
        if !bad.isEmpty { setters.append(Words.containers(bad)) }
        return setters.isEmpty ? nil : setters.joined(separator: " and ")
    }

    /// The values of a securityContext field anywhere in the pod.
    func values(_ path: String...) -> [JSON] {
        ([spec["securityContext"]] + containers.map { $0["securityContext"] }).compactMap { $0?.at(path) }
    }
}

/// One check that a pod fails.
struct PodFault: Equatable {
    /// `host namespaces`
    let reason: String
    /// `hostNetwork=true`
    let detail: String

    var text: String { detail.isEmpty ? reason : "\(reason) (\(detail))" }
}

enum Words {
    static func plural(_ one: String, _ many: String, _ count: Int) -> String { count == 1 ? one : many }

    /// `"a", "b"`
    static func quoted(_ items: [String]) -> String { items.map { "\"\($0)\"" }.joined(separator: ", ") }

    static func quoted(_ items: Set<String>) -> String { quoted(items.sorted()) }

    /// `container "a"`, `containers "a", "b"`
    static func containers(_ names: [String]) -> String {
        "\(plural("container", "containers", names.count)) \(quoted(names))"
    }
}
