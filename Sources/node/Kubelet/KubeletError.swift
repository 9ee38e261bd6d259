// The one error type of this module. Each says what, on what, with what; the `reason` of a container error is the
// word that the API shows (ContainerStateWaiting.reason).

public enum KubeletError: Error, CustomStringConvertible, Sendable {
    /// A container cannot be started; `reason` is CreateContainerConfigError, CreateContainerError …
    case container(reason: String, String)
    case volume(name: String, String)
    case notFound(String)
    case unsupported(String)
    /// A request that makes no sense: the API answers 400 with this text.
    case badRequest(String)

    public var description: String {
        switch self {
        case .container(_, let text), .notFound(let text), .unsupported(let text), .badRequest(let text): text
        case .volume(let name, let text): "MountVolume.SetUp failed for volume \"\(name)\" : \(text)"
        }
    }
}
