// The supervisor's program: embedded in this one (Plugins/EmbedSupervisor), executed from a sealed memfd that no
// container can write to (CVE-2019-5736) and that all supervisors share, so that its code is in memory once.

internal import Kernel
internal import Synchronization
internal import System

enum SupervisorProgram {
    /// The program's file as bytes.
    static func bytes() throws(ContainersError) -> [UInt8] {
        let text = SupervisorImage.base64
        let buffer = UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
        guard let bytes = Base64.decode(String(decoding: buffer, as: UTF8.self)) else {
            throw .invalid("the embedded supervisor is damaged: not base64")
        }
        return bytes
    }

    private static let cached = Mutex<SharedDescriptor?>(nil)

    /// The sealed file, made at the first call. Fails with ContainersError when there is no memory for it.
    static func descriptor() throws -> SharedDescriptor {
        try cached.withLock { cached in
            if let cached { return cached }
            let file = SharedDescriptor(try FileDescriptor.sealed(name: "noded-supervisor", try bytes()))
            cached = file
            return file
        }
    }
}
