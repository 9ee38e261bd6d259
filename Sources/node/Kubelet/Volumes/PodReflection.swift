// Which changes of a pod its own volumes show: downwardAPI files say what its labels, annotations and resources are,
// and follow them while it runs.

import Objects

enum PodReflection {
    /// Whether files made of the pod itself may say something else of `new` than of `old`.
    static func differs(_ old: JSON, _ new: JSON) -> Bool {
        let metadata = ["labels", "annotations"].contains { old.child("metadata")[$0] != new.child("metadata")[$0] }
        return (metadata || resources(old) != resources(new)) && exists(in: new)
    }

    /// In place of the old ones after a resize.
    private static func resources(_ pod: JSON) -> [JSON?] {
        pod.child("spec").list("containers").map { $0["resources"] }
    }

    private static func exists(in pod: JSON) -> Bool {
        pod.child("spec").list("volumes").contains { volume in
            volume["downwardAPI"] != nil
                || volume.child("projected").list("sources").contains { $0["downwardAPI"] != nil }
        }
    }
}
