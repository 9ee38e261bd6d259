// The seccomp allow-list that the peers get: the calls that noded's default profile allows without condition, and its
// conditions on socket, clone and personality, so that all compile and load filters of one size.

enum PeerSeccomp {
    /// The `linux.seccomp` object of an OCI runtime config.
    static var profile: String {
        let names = allowed.split(whereSeparator: \.isWhitespace).map { "\"\($0)\"" }.joined(separator: ",")
        func rule(_ name: String, _ argument: String) -> String {
            "{\"names\":[\"\(name)\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\(argument)}]}"
        }
        let personalities = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff].map {
            rule("personality", "\"value\":\($0),\"op\":\"SCMP_CMP_EQ\"")
        }
        let rules =
            ["{\"names\":[\(names)],\"action\":\"SCMP_ACT_ALLOW\"}"] + personalities + [
                rule("socket", "\"value\":38,\"op\":\"SCMP_CMP_LT\""),
                rule("socket", "\"value\":39,\"op\":\"SCMP_CMP_EQ\""),
                rule("socket", "\"value\":40,\"op\":\"SCMP_CMP_GT\""),
                rule("clone", "\"value\":\(0x7e02_0000),\"valueTwo\":0,\"op\":\"SCMP_CMP_MASKED_EQ\""),
                "{\"names\":[\"chroot\"],\"action\":\"SCMP_ACT_ALLOW\"}",
                "{\"names\":[\"clone3\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":38}",
            ]
        #if arch(x86_64)
            let architectures = "\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\""
        #else
            let architectures = "\"SCMP_ARCH_AARCH64\",\"SCMP_ARCH_ARM\""
        #endif
        return """
            {"defaultAction":"SCMP_ACT_ERRNO","architectures":[\(architectures)],\
            "syscalls":[\(rules.joined(separator: ","))]}
            """
    }

    private static let allowed = """
        access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2
        fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchown fchown32 fchownat fcntl fcntl64
        fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync
        ftruncate ftruncate64 futimesat getcwd getdents getdents64 getxattr ioctl lchown lchown32 lgetxattr link
        linkat listxattr llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat
        name_to_handle_at newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read
        readahead readlink readlinkat readv removexattr rename renameat renameat2 rmdir sendfile sendfile64 setxattr
        splice stat stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range syncfs tee truncate
        truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev epoll_create
        epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2
        inotify_add_watch inotify_init inotify_init1 inotify_rm_watch _newselect poll ppoll ppoll_time64 pselect6
        pselect6_time64 select signalfd signalfd4 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
        timerfd_settime64 io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 ioprio_get ioprio_set
        io_setup io_submit brk madvise membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2
        mprotect mremap msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease
        remap_file_pages capget capset execve execveat exit exit_group fork futex futex_time64 futex_waitv getcpu
        getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getpgid getpgrp getpid getppid
        getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit get_robust_list getrusage getsid
        get_thread_area gettid getuid getuid32 kill pause pidfd_open pidfd_send_signal prctl prlimit64
        restart_syscall rseq sched_getaffinity sched_getattr sched_getparam sched_get_priority_max
        sched_get_priority_min sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
        sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield setfsgid setfsgid32 setfsuid
        setfsuid32 setgid setgid32 setgroups setgroups32 setpgid setpriority setregid setregid32 setresgid
        setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit set_robust_list setsid set_thread_area
        set_tid_address setuid setuid32 sysinfo ugetrlimit uname vfork wait4 waitid waitpid process_vm_readv
        process_vm_writev ptrace landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp
        rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
        rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack sigprocmask sigreturn tgkill tkill adjtimex alarm
        clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep
        clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create timer_delete
        timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 times ipc mq_getsetattr
        mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl
        msgget msgrcv msgsnd pipe pipe2 semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget
        accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64
        recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair arch_prctl modify_ldt
        arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls
        """
}
