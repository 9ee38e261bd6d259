// Pods stay a while on a node that went away: a default toleration, so that a short outage moves nothing.

internal import Objects

/// A pod stays five minutes on a node that is not ready or not reachable, unless it says otherwise.
struct DefaultTolerationSeconds: AdmissionStep {
    static let keys = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]

    func concerns(_ site: AdmissionSite) -> Bool { site.writes(.pods) }

    func admit(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {
        var tolerations = request.object.at("spec", "tolerations")?.array ?? []
        for key in DefaultTolerationSeconds.keys {
            let tolerated = tolerations.contains { toleration in
                let named = toleration["key"]?.string ?? ""
                let effect = toleration["effect"]?.string ?? ""
                return (named == key || named.isEmpty) && (effect == "NoExecute" || effect.isEmpty)
            }
            if tolerated { continue }
            tolerations.append([
                "key": .string(key), "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300,
            ])
        }
        request.object.set("spec", "tolerations", to: .array(tolerations))
    }
}
