// Conditions as the API writes them (metav1.Condition and its older relatives): the transition time moves only
// when the status does.

public import Objects
import System

public enum Conditions {
    /// A condition that carries `previous`'s lastTransitionTime over unless the status differs.
    public static func make(
        type: String, status: String, reason: String, message: String, previous: JSON?
    ) -> JSON {
        let now = JSON.string(Timestamp.now().rfc3339)
        let moved = previous?["status"]?.string != status
        return [
            "type": .string(type), "status": .string(status), "reason": .string(reason), "message": .string(message),
            "lastTransitionTime": moved ? now : previous?["lastTransitionTime"] ?? now,
        ]
    }

    /// The condition of that type in a status's `conditions`.
    public static func find(_ type: String, in object: JSON) -> JSON? {
        (object["status"]?["conditions"]?.array ?? []).first { $0["type"]?.string == type }
    }
}
