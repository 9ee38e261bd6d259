// Fields of the pod that a container may see (ObjectFieldSelector, ResourceFieldSelector v1): as environment
// variables and as files.

import Objects
import System

/// The pod as its containers see it, with what only the node knows.
struct PodView: Sendable {
    var pod: JSON
    var podIPs: [String]
    var hostIPs: [String]
    /// Node allocatable: stands in for limits that are not set.
    var allocatable: Allocatable

    func field(_ path: String) throws(KubeletError) -> String {
        let metadata = pod.child("metadata")
        let spec = pod.child("spec")
        switch path {
        case "metadata.name": return metadata.text("name") ?? ""
        case "metadata.namespace": return metadata.text("namespace") ?? ""
        case "metadata.uid": return metadata.text("uid") ?? ""
        case "metadata.labels": return PodView.lines(metadata.strings("labels"))
        case "metadata.annotations": return PodView.lines(metadata.strings("annotations"))
        case "spec.nodeName": return spec.text("nodeName") ?? ""
        case "spec.serviceAccountName": return spec.text("serviceAccountName") ?? "default"
        case "status.hostIP": return hostIPs.first ?? ""
        case "status.hostIPs": return hostIPs.joined(separator: ",")
        case "status.podIP": return podIPs.first ?? ""
        case "status.podIPs": return podIPs.joined(separator: ",")
        default: break
        }
        for map in ["labels", "annotations"] {
            let prefix = "metadata.\(map)['"
            guard path.hasPrefix(prefix), path.hasSuffix("']") else { continue }
            return metadata.child(map).text(String(path.dropFirst(prefix.count).dropLast(2))) ?? ""
        }
        throw .container(reason: "CreateContainerConfigError", "unsupported fieldPath: \(path)")
    }

    /// `key="escaped value"`, one a line, in key order, as downward API files hold them.
    private static func lines(_ entries: [(key: String, value: String)]) -> String {
        entries.map { entry in
            var value = ""
            for character in entry.value.unicodeScalars {
                switch character {
                case "\"": value += "\\\""
                case "\\": value += "\\\\"
                case "\n": value += "\\n"
                case "\t": value += "\\t"
                case "\r": value += "\\r"
                default: value.unicodeScalars.append(character)
                }
            }
            return "\(entry.key)=\"\(value)\""
        }.joined(separator: "\n")
    }

    /// - Parameter selector: `{resource: "limits.cpu", divisor: "1m", containerName}`.
    func resource(_ selector: JSON, in container: JSON) throws(KubeletError) -> String {
        let name = selector.text("resource") ?? ""
        let parts = name.split(separator: ".", maxSplits: 1).map(String.init)
        guard parts.count == 2, parts[0] == "limits" || parts[0] == "requests" else {
            throw .container(reason: "CreateContainerConfigError", "unsupported container resource : \(name)")
        }
        let resources = container.child("resources")
        var amount = resources.child(parts[0])[parts[1]]?.quantityMilli
        if amount == nil, parts[0] == "requests" { amount = resources.child("limits")[parts[1]]?.quantityMilli }
        if amount == nil, parts[0] == "limits" { amount = allocatable.milli(parts[1]) }
        let divisor = selector["divisor"]?.quantityMilli ?? 1000
        let unit = divisor == 0 ? 1000 : divisor
        let value = amount ?? 0
        return String((Int128(value) + Int128(unit) - 1) / Int128(unit))
    }
}

/// What the node gives to pods, in thousandths of the base unit.
public struct Allocatable: Sendable, Hashable {
    public var milliCPU: Int64
    public var memory: Int64
    public var ephemeralStorage: Int64
    public var pods: Int

    public init(milliCPU: Int64, memory: Int64, ephemeralStorage: Int64, pods: Int) {
        self.milliCPU = milliCPU
        self.memory = memory
        self.ephemeralStorage = ephemeralStorage
        self.pods = pods
    }

    func milli(_ resource: String) -> Int64? {
        switch resource {
        case "cpu": milliCPU
        case "memory": memory.multipliedSaturated(by: 1000)
        case "ephemeral-storage": ephemeralStorage.multipliedSaturated(by: 1000)
        default: nil
        }
    }
}
