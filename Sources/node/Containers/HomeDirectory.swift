// Where a user is at home, for HOME: from the image's own /etc/passwd, as its containers see it. An image without the
// file or the user gives "/" ("/root" for root), as other runtimes do; so does a file that cannot be read: HOME gives
// nobody a right, and users and groups come from elsewhere.

import Kernel
import System

enum HomeDirectory {
    static func find(uid: UInt32, layers: [String]) -> String {
        let bytes = (try? LayeredRoot(layers).read("etc/passwd")) ?? []
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            if fields.count > 5, fields[2] == String(uid), fields[5].hasPrefix("/") { return String(fields[5]) }
        }
        return uid == 0 ? "/root" : "/"
    }
}
