// The system calls a container may make unless its pod says otherwise (RuntimeDefault): an allow-list, as containerd's
// and Docker's are, so that what the kernel grows tomorrow is not open today. What is not named here fails with EPERM.
//
// Not in it on purpose: io_uring (its operations pass no filter), userfaultfd, keyctl and its family (keyrings are
// not namespaced), clone with new namespaces and unshare without CAP_SYS_ADMIN, the mount family, kexec, swap, modules,
// clocks. Sockets of two families are refused: AF_ALG (CVE-2026-31431) and AF_VSOCK (reaches the hypervisor). On 32-bit
// x86 socketcall(2) hides the family behind a pointer no filter can read; it stays, since 32-bit programs need it.

/// One condition on one argument of a system call.
struct Condition: Hashable {
    enum Comparison: Hashable { case equal, notEqual, less, greater, maskedZero }
    let argument: UInt32
    let comparison: Comparison
    /// The value compared with; for `maskedZero` the bits that must all be zero.
    let value: UInt64

    init(_ argument: UInt32, _ comparison: Comparison, _ value: UInt64) {
        (self.argument, self.comparison, self.value) = (argument, comparison, value)
    }
}

/// Calls that share their conditions.
struct Rule {
    enum Action: Hashable { case allow, refuse(errno: Int32) }
    enum When: Hashable {
        case always
        case with(String)
        case without(String)
    }
    let when: When
    let action: Action
    let conditions: [Condition]
    let names: [String]

    init(
        _ when: When = .always, _ action: Action = .allow, if conditions: [Condition] = [], calls names: [String]
    ) {
        (self.when, self.action, self.conditions, self.names) = (when, action, conditions, names)
    }
}

enum DefaultProfile {
    /// CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET (clone(2)).
    static let namespaceFlags: UInt64 = 0x7e02_0000
    static let refusal: Int32 = 1  // EPERM
    static let unknown: Int32 = 38  // ENOSYS

    /// The highest call number that the lists below judge by name (set_mempolicy_home_node). Calls that are newer than
    /// this answer ENOSYS, as an older kernel would, so that libraries fall back; EPERM would make them fail.
    static let newestNamed: UInt32 = 450

    /// Allowed calls that libseccomp 2.5.4 has no name for. From 403 on numbers are the same on all architectures
    /// (kernel: scripts/syscall.tbl); uretprobe belongs to x86_64 alone and is not past `newestNamed`.
    static let newer: [(name: String, number: UInt32)] = [
        ("cachestat", 451),
        ("fchmodat2", 452),
        ("map_shadow_stack", 453),
        ("futex_wake", 454),
        ("futex_wait", 455),
        ("futex_requeue", 456),
        ("statmount", 457),
        ("listmount", 458),
        ("mseal", 462),
        ("setxattrat", 463),
        ("getxattrat", 464),
        ("listxattrat", 465),
        ("removexattrat", 466),
    ]

    static let rules: [Rule] = [
        Rule(calls: [
            // Files and directories.
            "access", "chdir", "chmod", "chown", "chown32", "close", "close_range", "copy_file_range", "creat", "dup",
            "dup2", "dup3", "faccessat", "faccessat2", "fadvise64", "fadvise64_64", "fallocate", "fanotify_mark",
            "fchdir", "fchmod", "fchmodat", "fchown", "fchown32", "fchownat", "fcntl", "fcntl64", "fdatasync",
            "fgetxattr", "flistxattr", "flock", "fremovexattr", "fsetxattr", "fstat", "fstat64", "fstatat64",
            "fstatfs", "fstatfs64", "fsync", "ftruncate", "ftruncate64", "futimesat", "getcwd", "getdents",
            "getdents64", "getxattr", "ioctl", "lchown", "lchown32", "lgetxattr", "link", "linkat", "listxattr",
            "llistxattr", "_llseek", "lremovexattr", "lseek", "lsetxattr", "lstat", "lstat64", "mkdir", "mkdirat",
            "mknod", "mknodat", "name_to_handle_at", "newfstatat", "open", "openat", "openat2", "pread64", "preadv",
            "preadv2", "pwrite64", "pwritev", "pwritev2", "read", "readahead", "readlink", "readlinkat", "readv",
            "removexattr", "rename", "renameat", "renameat2", "rmdir", "sendfile", "sendfile64", "setxattr", "splice",
            "stat", "stat64", "statfs", "statfs64", "statx", "symlink", "symlinkat", "sync", "sync_file_range",
            "syncfs", "tee", "truncate", "truncate64", "umask", "unlink", "unlinkat", "utime", "utimensat",
            "utimensat_time64", "utimes", "vmsplice", "write", "writev",
            // Waiting.
            "epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_pwait", "epoll_pwait2", "epoll_wait",
            "epoll_wait_old", "eventfd", "eventfd2", "inotify_add_watch", "inotify_init", "inotify_init1",
            "inotify_rm_watch", "_newselect", "poll", "ppoll", "ppoll_time64", "pselect6", "pselect6_time64", "select",
            "signalfd", "signalfd4", "timerfd_create", "timerfd_gettime", "timerfd_gettime64", "timerfd_settime",
            "timerfd_settime64",
            // Asynchronous I/O (the old kind).
            "io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_pgetevents_time64", "ioprio_get",
            "ioprio_set", "io_setup", "io_submit",
            // Memory.
            "brk", "madvise", "membarrier", "memfd_create", "memfd_secret", "mincore", "mlock", "mlock2", "mlockall",
            "mmap", "mmap2", "mprotect", "mremap", "msync", "munlock", "munlockall", "munmap", "pkey_alloc",
            "pkey_free", "pkey_mprotect", "process_mrelease", "remap_file_pages",
            // Processes, threads, identity.
            "capget", "capset", "execve", "execveat", "exit", "exit_group", "fork", "futex", "futex_time64",
            "futex_waitv", "getcpu", "getegid", "getegid32", "geteuid", "geteuid32", "getgid", "getgid32", "getgroups",
            "getgroups32", "getpgid", "getpgrp", "getpid", "getppid", "getpriority", "getrandom", "getresgid",
            "getresgid32", "getresuid", "getresuid32", "getrlimit", "get_robust_list", "getrusage", "getsid",
            "get_thread_area", "gettid", "getuid", "getuid32", "kill", "pause", "pidfd_open", "pidfd_send_signal",
            "prctl", "prlimit64", "restart_syscall", "rseq", "sched_getaffinity", "sched_getattr", "sched_getparam",
            "sched_get_priority_max", "sched_get_priority_min", "sched_getscheduler", "sched_rr_get_interval",
            "sched_rr_get_interval_time64", "sched_setaffinity", "sched_setattr", "sched_setparam",
            "sched_setscheduler", "sched_yield", "setfsgid", "setfsgid32", "setfsuid", "setfsuid32", "setgid",
            "setgid32", "setgroups", "setgroups32", "setpgid", "setpriority", "setregid", "setregid32", "setresgid",
            "setresgid32", "setresuid", "setresuid32", "setreuid", "setreuid32", "setrlimit", "set_robust_list",
            "setsid", "set_thread_area", "set_tid_address", "setuid", "setuid32", "sysinfo", "ugetrlimit", "uname",
            "vfork", "wait4", "waitid", "waitpid",
            // Since Linux 4.8 a tracer's target is filtered after the tracer's changes: ptrace opens nothing.
            "process_vm_readv", "process_vm_writev", "ptrace",
            // Restricting oneself.
            "landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "seccomp",
            // Signals.
            "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend",
            "rt_sigtimedwait", "rt_sigtimedwait_time64", "rt_tgsigqueueinfo", "sigaltstack", "sigprocmask",
            "sigreturn", "tgkill", "tkill",
            // Time. adjtimex and clock_adjtime read here; setting needs CAP_SYS_TIME, which the kernel checks.
            "adjtimex", "alarm", "clock_adjtime", "clock_adjtime64", "clock_getres", "clock_getres_time64",
            "clock_gettime", "clock_gettime64", "clock_nanosleep", "clock_nanosleep_time64", "getitimer",
            "gettimeofday", "nanosleep", "setitimer", "time", "timer_create", "timer_delete", "timer_getoverrun",
            "timer_gettime", "timer_gettime64", "timer_settime", "timer_settime64", "times",
            // Pipes, System V and POSIX message queues, shared memory.
            "ipc", "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedreceive_time64",
            "mq_timedsend", "mq_timedsend_time64", "mq_unlink", "msgctl", "msgget", "msgrcv", "msgsnd", "pipe",
            "pipe2", "semctl", "semget", "semop", "semtimedop", "semtimedop_time64", "shmat", "shmctl", "shmdt",
            "shmget",
            // Sockets (their making: below).
            "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "recv",
            "recvfrom", "recvmmsg", "recvmmsg_time64", "recvmsg", "send", "sendmmsg", "sendmsg", "sendto",
            "setsockopt", "shutdown", "socketcall", "socketpair",
            // Of one architecture: x86, then arm.
            "arch_prctl", "modify_ldt", "arm_fadvise64_64", "arm_sync_file_range", "sync_file_range2", "breakpoint",
            "cacheflush", "set_tls",
        ]),

        // Every family but AF_ALG (38) and AF_VSOCK (40). Two "not equal" on one argument do not combine in one rule.
        Rule(if: [Condition(0, .less, 38)], calls: ["socket"]),
        Rule(if: [Condition(0, .equal, 39)], calls: ["socket"]),
        Rule(if: [Condition(0, .greater, 40)], calls: ["socket"]),

        // PER_LINUX, PER_LINUX32, each with UNAME26, and the question what it is.
        Rule(if: [Condition(0, .equal, 0x0)], calls: ["personality"]),
        Rule(if: [Condition(0, .equal, 0x8)], calls: ["personality"]),
        Rule(if: [Condition(0, .equal, 0x2_0000)], calls: ["personality"]),
        Rule(if: [Condition(0, .equal, 0x2_0008)], calls: ["personality"]),
        Rule(if: [Condition(0, .equal, 0xffff_ffff)], calls: ["personality"]),

        // Threads and processes, but no new namespaces. clone3 hides its flags behind a pointer: "not there" makes
        // libraries use clone.
        Rule(.without("CAP_SYS_ADMIN"), if: [Condition(0, .maskedZero, namespaceFlags)], calls: ["clone"]),
        Rule(.without("CAP_SYS_ADMIN"), .refuse(errno: unknown), calls: ["clone3"]),

        Rule(
            .with("CAP_SYS_ADMIN"),
            calls: [
                "bpf", "clone", "clone3", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick", "lookup_dcookie",
                "mount", "mount_setattr", "move_mount", "open_tree", "perf_event_open", "quotactl", "quotactl_fd",
                "setdomainname", "sethostname", "setns", "syslog", "umount", "umount2", "unshare",
            ]),
        Rule(.with("CAP_BPF"), calls: ["bpf"]),
        Rule(.with("CAP_DAC_READ_SEARCH"), calls: ["open_by_handle_at"]),
        Rule(.with("CAP_PERFMON"), calls: ["perf_event_open"]),
        Rule(.with("CAP_SYSLOG"), calls: ["syslog"]),
        Rule(.with("CAP_SYS_BOOT"), calls: ["reboot"]),
        Rule(.with("CAP_SYS_CHROOT"), calls: ["chroot"]),
        Rule(.with("CAP_SYS_MODULE"), calls: ["delete_module", "finit_module", "init_module"]),
        Rule(.with("CAP_SYS_NICE"), calls: ["get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"]),
        Rule(.with("CAP_SYS_PACCT"), calls: ["acct"]),
        Rule(.with("CAP_SYS_PTRACE"), calls: ["kcmp", "pidfd_getfd", "process_madvise"]),
        Rule(.with("CAP_SYS_RAWIO"), calls: ["ioperm", "iopl"]),
        Rule(.with("CAP_SYS_TIME"), calls: ["clock_settime", "clock_settime64", "settimeofday", "stime"]),
        Rule(.with("CAP_SYS_TTY_CONFIG"), calls: ["vhangup"]),
    ]

    /// The capabilities on which the rules depend.
    static let capabilities: Set<String> = Set(
        rules.compactMap { rule in
            switch rule.when {
            case .always: nil
            case .with(let name), .without(let name): name
            }
        })
}
