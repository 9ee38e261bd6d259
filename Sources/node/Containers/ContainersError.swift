// How this module fails: what, on what, with what.

public import System

public enum ContainersError: Error, CustomStringConvertible {
    /// The configuration cannot be carried out; nothing was changed.
    case invalid(String)
    case noSandbox(uid: String)
    case noContainer(id: String)
    /// The container exists but does not run.
    case notRunning(id: String)
    /// The supervisor could not do a step of the set-up: `mount "/data": Permission denied`.
    case setup(step: String, target: String, Errno)
    /// The program could not be executed: `exec "foo": executable file not found in $PATH`.
    case cannotExecute(program: String, Errno)
    /// The pod's supervisor is gone or does not speak our language.
    case supervisor(uid: String, String)
    case system(SystemError)

    public var description: String {
        switch self {
        case .invalid(let text): text
        case .noSandbox(let uid): "no sandbox for pod \(uid)"
        case .noContainer(let id): "no container \(id)"
        case .notRunning(let id): "container \(id) is not running"
        case .setup(let step, let target, let errno):
            target.isEmpty ? "\(step): \(errno)" : "\(step) \"\(target)\": \(errno)"
        case .cannotExecute(let program, .ENOENT) where !program.contains("/"):
            "exec: \"\(program)\": executable file not found in $PATH"
        case .cannotExecute(let program, let errno): "exec: \"\(program)\": \(errno)"
        case .supervisor(let uid, let text): "supervisor of pod \(uid): \(text)"
        case .system(let error): error.description
        }
    }
}
