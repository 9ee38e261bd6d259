// Amounts of named resources (core/v1 ResourceList) and what a pod asks for in all: the base of limit ranges and
// quotas.
//
// Pure. A value that is no quantity counts as not given: validation has refused it before, or will.

/// Amounts by resource name, as in requests, limits, hard and used.
public typealias ResourceAmounts = [String: Quantity]

extension [String: Quantity] {
    /// The amounts of a ResourceList.
    public init(_ list: JSON?) {
        self.init()
        for (name, value) in list?.object ?? JSONObject() {
            if let quantity = Quantity(value) { self[name] = quantity }
        }
    }

    public var json: JSON { .object(JSONObject(map { ($0.key, JSON.string($0.value.description)) })) }

    public func adding(_ other: ResourceAmounts) -> ResourceAmounts { merging(other) { $0 + $1 } }

    public func subtracting(_ other: ResourceAmounts) -> ResourceAmounts {
        var result = self
        for (name, amount) in other { result[name] = (result[name] ?? .zero) - amount }
        return result
    }

    public func maximum(_ other: ResourceAmounts) -> ResourceAmounts { merging(other) { Swift.max($0, $1) } }

    /// Those of the named resources.
    public func masked(_ names: some Sequence<String>) -> ResourceAmounts {
        var result: ResourceAmounts = [:]
        for name in names { result[name] = self[name] }
        return result
    }

    /// `cpu=1,pods=2`, as Kubernetes' quota messages print them.
    public var text: String { sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ",") }
}

/// A pod's resources as a whole.
public enum PodResources {
    /// The sum of what its containers ask for at the same time: the larger of all containers with all sidecars, and
    /// the hungriest init container with the sidecars started before it; what the pod asks for as a whole
    /// (spec.resources) counts instead; overhead comes on top.
    /// - Parameter list: "requests" or "limits". Overhead is added to limits only where the pod has some.
    public static func total(_ spec: JSON?, _ list: String) -> ResourceAmounts {
        func amounts(_ container: JSON) -> ResourceAmounts { ResourceAmounts(container.at("resources", list)) }
        var total: ResourceAmounts = [:]
        for container in spec?["containers"]?.array ?? [] { total = total.adding(amounts(container)) }
        var sidecars: ResourceAmounts = [:]
        var peak: ResourceAmounts = [:]
        for container in spec?["initContainers"]?.array ?? [] {
            if container["restartPolicy"]?.string == "Always" {
                sidecars = sidecars.adding(amounts(container))
                peak = peak.maximum(sidecars)
            } else {
                peak = peak.maximum(sidecars.adding(amounts(container)))
            }
        }
        total = total.adding(sidecars).maximum(peak)
        for (name, amount) in ResourceAmounts(spec?.at("resources", list)) { total[name] = amount }
        for (name, amount) in ResourceAmounts(spec?["overhead"]) where list == "requests" || total[name] != nil {
            total[name] = (total[name] ?? .zero) + amount
        }
        return total
    }
}
