// A folder of a test's own.

import Kernel
import System

/// Lives as long as the value, with whatever is still mounted below it.
public struct ScratchFolder: ~Copyable {
    public let path: String

    public init() throws {
        path = "/tmp/noded-test-\(Random.nameSuffix(12))"
        try Files.makeDirectory(path)
    }

    deinit {
        try? Mounts.unmountAll(below: path)
        try? Files.removeTree(path)
    }
}
