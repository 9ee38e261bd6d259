// Where a user is at home, for HOME: from the image's own /etc/passwd, read inside the first layer that has one, as the
// overlay would show it. An image without the file or the user gives "/" ("/root" for root), as other runtimes do.

import Kernel
import System

enum HomeDirectory {
    static func find(uid: UInt32, layers: [String]) -> String {
        let fallback = uid == 0 ? "/root" : "/"
        for layer in layers {
            guard let root = try? RootedDirectory(layer) else { continue }
            do throws(SystemError) {
                let text = String(decoding: try root.read("etc/passwd"), as: UTF8.self)
                for line in text.split(separator: "\n") {
                    let fields = line.split(separator: ":", omittingEmptySubsequences: false)
                    if fields.count > 5, fields[2] == String(uid), fields[5].hasPrefix("/") { return String(fields[5]) }
                }
                return fallback
            } catch {
                // A whiteout (a device) hides the file of the layers below.
                if error.errno != .ENOENT { return fallback }
            }
        }
        return fallback
    }
}
