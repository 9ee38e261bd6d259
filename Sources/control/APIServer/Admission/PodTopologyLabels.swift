// A pod that is given its node gets the node's zone and region as labels, so that it can read them by the downward API
// (KEP 4742). They replace what the pod had; a node that does not exist, or has no such labels, changes nothing.

internal import Client
internal import Objects

struct PodTopologyLabels: AdmissionStep {
    private static let labels = ["topology.kubernetes.io/region", "topology.kubernetes.io/zone"]

    func concerns(_ site: AdmissionSite) -> Bool {
        site.creates(.pods)
            || (site.resource == .pods && site.operation == .create && site.target == .subresource("binding"))
    }

    func admit(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {
        let object = request.object
        let name = request.target == .main ? object.at("spec", "nodeName") : object.at("target", "name")
        let kind = request.target == .main ? "" : object.at("target", "kind")?.string ?? ""
        guard let name = name?.string, !name.isEmpty, kind.isEmpty || kind == "Node",
            let node = core.peek(.nodes, name: name)
        else { return }
        for label in PodTopologyLabels.labels {
            guard let value = node.labels[label] else { continue }
            request.object.set("metadata", "labels", label, to: .string(value))
        }
    }
}
