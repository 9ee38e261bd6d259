// A node starts tainted as not ready, so that nothing is placed on it before its kubelet says that it is ready; the
// node taint controller keeps the taints true from then on.

internal import Objects

struct TaintNodesByCondition: AdmissionStep {
    static let taint: JSON = ["key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"]

    func concerns(_ site: AdmissionSite) -> Bool { site.creates(.nodes) }

    func admit(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {
        let taints = request.object.at("spec", "taints")?.array ?? []
        let isThere = taints.contains {
            $0["key"] == TaintNodesByCondition.taint["key"] && $0["effect"] == TaintNodesByCondition.taint["effect"]
        }
        guard !isThere else { return }
        request.object.set("spec", "taints", to: .array(taints + [TaintNodesByCondition.taint]))
    }
}
