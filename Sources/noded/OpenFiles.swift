// How many descriptors noded may have open. A shell's usual soft limit of 1024 is less than a thousand watchers; what
// the hard limit allows is for the asking (getrlimit(2)).

import Glibc

enum OpenFiles {
    /// Takes what the hard limit allows. One that cannot be had leaves things as they
    /// are: noded works with fewer clients.
    static func raiseLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        _ = setrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &limit)
    }
}
