#define _GNU_SOURCE
#include "CSupervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <linux/sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

_Static_assert(SUP_NEWNS == CLONE_NEWNS && SUP_NEWCGROUP == CLONE_NEWCGROUP && SUP_NEWUTS == CLONE_NEWUTS
                   && SUP_NEWIPC == CLONE_NEWIPC && SUP_NEWPID == CLONE_NEWPID && SUP_NEWNET == CLONE_NEWNET,
               "namespaces(7)");
_Static_assert(SUP_EPERM == EPERM && SUP_ENOENT == ENOENT && SUP_ESRCH == ESRCH && SUP_EINTR == EINTR && SUP_EIO == EIO
                   && SUP_EAGAIN == EAGAIN && SUP_EACCES == EACCES && SUP_EBUSY == EBUSY && SUP_EEXIST == EEXIST
                   && SUP_ENODEV == ENODEV && SUP_ENOTDIR == ENOTDIR && SUP_EINVAL == EINVAL
                   && SUP_ENAMETOOLONG == ENAMETOOLONG && SUP_ELOOP == ELOOP && SUP_EPROTO == EPROTO, "errno(3)");
_Static_assert(sizeof(struct sock_filter) == 8, "seccomp(2)");
_Static_assert(sizeof(struct mount_attr) == 32, "mount_setattr(2)");
_Static_assert(sizeof(struct clone_args) >= 88, "clone3(2)");

#define RESULT(call)                      \
    ({                                    \
        long result_;                     \
        do                                \
            result_ = (long)(call);       \
        while (result_ == -1 && errno == EINTR); \
        result_ == -1 ? -errno : result_; \
    })

// Processes.

int sup_clone(uint64_t flags, int cgroup, int *pidfd) {
    struct clone_args args;
    memset(&args, 0, sizeof args);
    args.flags = flags | CLONE_PIDFD;
    args.pidfd = (uint64_t)(uintptr_t)pidfd;
    args.exit_signal = SIGCHLD;
    if (cgroup >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)cgroup;
    }
    return (int)RESULT(syscall(SYS_clone3, &args, sizeof args));
}
int sup_unshare(int kinds) { return (int)RESULT(unshare(kinds)); }
int sup_setns(int fd, int kinds) { return (int)RESULT(setns(fd, kinds)); }
int sup_own_pid_namespace(void) { return (int)RESULT(open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC)); }
int sup_pidfd_signal(int pidfd, int signal) {
    return (int)RESULT(syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0));
}
void sup_kill(int pid) { kill(pid, SIGKILL); }
int sup_reap(int block, int *code, int *signal) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    long r = RESULT(waitid(P_ALL, 0, &info, WEXITED | __WALL | (block ? 0 : WNOHANG)));
    if (r < 0) return (int)r;
    if (info.si_pid == 0) return 0;
    *code = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
    *signal = info.si_code == CLD_EXITED ? 0 : info.si_status;
    return info.si_pid;
}
void sup_exit(int code) { _exit(code); }
int sup_pid(void) { return getpid(); }
int64_t sup_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
// Days to civil date as in Howard Hinnant's "chrono-compatible low-level date algorithms"; no locale, no time zone file.
void sup_civil(int64_t seconds, int fields[6]) {
    int64_t days = seconds / 86400;
    int rest = (int)(seconds % 86400);
    if (rest < 0) rest += 86400, days--;
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int doe = (int)(z - era * 146097);
    int yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int mp = (5 * doy + 2) / 153;
    fields[2] = doy - (153 * mp + 2) / 5 + 1;
    fields[1] = mp < 10 ? mp + 3 : mp - 9;
    fields[0] = (int)(yoe + era * 400) + (fields[1] <= 2);
    fields[3] = rest / 3600;
    fields[4] = rest / 60 % 60;
    fields[5] = rest % 60;
}
int sup_hide(void) { return (int)RESULT(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)); }
int sup_subreaper(void) { return (int)RESULT(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)); }
int sup_name(const char *name) { return (int)RESULT(prctl(PR_SET_NAME, name, 0, 0, 0)); }

// Signals.

int sup_signal_descriptor(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    signal(SIGPIPE, SIG_IGN);
    long r = RESULT(sigprocmask(SIG_BLOCK, &set, NULL));
    if (r < 0) return (int)r;
    return (int)RESULT(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}
void sup_drain_signals(int fd) {
    struct signalfd_siginfo info[8];
    while (read(fd, info, sizeof info) > 0) {}
}
void sup_reset_signals(void) {
    sigset_t none;
    sigemptyset(&none);
    // The supervisor changed SIGPIPE only; noded's child starts with all others at their default.
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
}
void sup_reap_forever(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (;;) {
        while (waitpid(-1, NULL, WNOHANG) > 0) {}
        siginfo_t info;
        sigwaitinfo(&set, &info);
    }
}

// Pod.

int sup_set_hostname(const void *name, size_t length) { return (int)RESULT(sethostname(name, length)); }
int sup_loopback_up(void) {
    long fd = RESULT(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (fd < 0) return (int)fd;
    struct ifreq request;
    memset(&request, 0, sizeof request);
    strcpy(request.ifr_name, "lo");
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    long r = RESULT(ioctl((int)fd, SIOCSIFFLAGS, &request));
    close((int)fd);
    return (int)r;
}
int sup_mount_tmpfs(const char *path, uint64_t size) {
    char options[64] = "mode=1777,size=", digits[24];
    int n = 0, at = (int)strlen(options);
    do
        digits[n++] = (char)('0' + size % 10);
    while (size /= 10);
    while (n) options[at++] = digits[--n];
    options[at] = 0;
    return (int)RESULT(mount("shm", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options));
}
int sup_unmount(const char *path) { return (int)RESULT(umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW)); }

// Descriptors.

int sup_open(const char *path, int flags, int mode) {
    return (int)RESULT(open(path, flags | O_CLOEXEC | O_NOCTTY, mode));
}
int sup_openat(int directory, const char *path, int flags, int mode) {
    return (int)RESULT(openat(directory, path, flags | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW, mode));
}
int sup_open_log(const char *path) {
    return (int)RESULT(open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0640));
}
int sup_close(int fd) { return close(fd) == -1 ? -errno : 0; }
int sup_pipe(int fds[2]) { return (int)RESULT(pipe2(fds, O_CLOEXEC)); }
int sup_packet_pair(int fds[2]) { return (int)RESULT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds)); }
int sup_set_nonblocking(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags == -1 ? -errno : (int)RESULT(fcntl(fd, F_SETFL, flags | O_NONBLOCK));
}
int sup_duplicate_to(int fd, int number) { return (int)RESULT(dup3(fd, number, 0)); }
int sup_close_on_exec_from(int first) {
    return (int)RESULT(syscall(SYS_close_range, first, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */));
}
ssize_t sup_read(int fd, void *bytes, size_t size) { return RESULT(read(fd, bytes, size)); }
ssize_t sup_write(int fd, const void *bytes, size_t size) { return RESULT(write(fd, bytes, size)); }
int sup_listen(int fd) { return (int)RESULT(listen(fd, 16)); }
int sup_accept(int fd) {
    long client = RESULT(accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (client < 0) return (int)client;
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t size = sizeof peer;
    if (getsockopt((int)client, SOL_SOCKET, SO_PEERCRED, &peer, &size) == -1 || peer.uid != 0) {
        close((int)client);
        return -EPERM;
    }
    return (int)client;
}
enum { FDS = 8 };
ssize_t sup_send(int socket, const void *bytes, size_t size, const int *fds, size_t fd_count) {
    if (fd_count > FDS) return -EINVAL;
    struct iovec part = {(void *)bytes, size};
    union {
        char space[CMSG_SPACE(sizeof(int) * FDS)];
        struct cmsghdr align;
    } control;
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd_count) {
        memset(&control, 0, sizeof control);
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(header), fds, sizeof(int) * fd_count);
    }
    return RESULT(sendmsg(socket, &message, MSG_NOSIGNAL));
}
ssize_t sup_receive(int socket, void *bytes, size_t size, int *fds, size_t fd_capacity, size_t *fd_count) {
    struct iovec part = {bytes, size};
    union {
        char space[CMSG_SPACE(sizeof(int) * FDS)];
        struct cmsghdr align;
    } control;
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    *fd_count = 0;
    ssize_t received = RESULT(recvmsg(socket, &message, MSG_CMSG_CLOEXEC));
    if (received < 0) return received;
    int excess = (message.msg_flags & MSG_CTRUNC) != 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
            if (*fd_count < fd_capacity) {
                fds[(*fd_count)++] = fd;
            } else {
                close(fd);
                excess = 1;
            }
        }
    }
    return excess ? -EPROTO : received;
}
int sup_poll(struct pollfd *fds, size_t count) { return (int)RESULT(poll(fds, count, -1)); }
int sup_poll_now(struct pollfd *fd) { return (int)RESULT(poll(fd, 1, 0)); }
int sup_duplicate(int fd) { return (int)RESULT(fcntl(fd, F_DUPFD_CLOEXEC, 0)); }
void sup_close_all(void) { syscall(SYS_close_range, 0, ~0U, 0); }
int sup_chown_descriptor(int fd, uint32_t uid) { return (int)RESULT(fchown(fd, uid, (gid_t)-1)); }

// Paths.

int sup_resolve(int root, const char *path, int directory, int how) {
    struct open_how open_how = {
        .flags = (uint64_t)(O_PATH | O_CLOEXEC | (directory ? O_DIRECTORY : 0)), .resolve = RESOLVE_NO_MAGICLINKS};
    if (how & SUP_IN_ROOT) open_how.resolve |= RESOLVE_IN_ROOT;
    if (how & SUP_BENEATH) open_how.resolve |= RESOLVE_BENEATH;
    if (how & SUP_NO_SYMLINKS) open_how.resolve |= RESOLVE_NO_SYMLINKS;
    long r;
    int attempts = 0;
    // EAGAIN: a rename or mount elsewhere raced with "..".
    do
        r = RESULT(syscall(SYS_openat2, root, path, &open_how, sizeof open_how));
    while (r == -EAGAIN && ++attempts < 128);
    return (int)r;
}
int sup_open_path(const char *path, int directory) {
    return (int)RESULT(open(path, O_PATH | O_CLOEXEC | (directory ? O_DIRECTORY : 0)));
}
int sup_mkdirat(int directory, const char *name, int mode) { return (int)RESULT(mkdirat(directory, name, (mode_t)mode)); }
int sup_rmdirat(int directory, const char *name) { return (int)RESULT(unlinkat(directory, name, AT_REMOVEDIR)); }
int sup_open_child_directory(int directory, const char *name) {
    return (int)RESULT(openat(directory, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}
int sup_create_file(int directory, const char *name) {
    return (int)RESULT(openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
}
int sup_symlinkat(const char *target, int directory, const char *name) {
    return (int)RESULT(symlinkat(target, directory, name));
}
int sup_make_node(int directory, const char *name, uint32_t mode, uint32_t major, uint32_t minor, uint32_t uid,
                  uint32_t gid) {
    long r = RESULT(mknodat(directory, name, mode, makedev(major, minor)));
    if (r < 0 || (uid == 0 && gid == 0)) return (int)r;
    return (int)RESULT(fchownat(directory, name, uid, gid, AT_SYMLINK_NOFOLLOW));
}
ssize_t sup_readlinkat(int directory, const char *name, void *text, size_t size) {
    return RESULT(readlinkat(directory, name, text, size));
}
int sup_is_directory(int fd) {
    struct stat status;
    long r = RESULT(fstat(fd, &status));
    return r < 0 ? (int)r : S_ISDIR(status.st_mode);
}
int sup_is_device(int fd, uint32_t mode, uint32_t major_number, uint32_t minor_number) {
    struct stat status;
    long r = RESULT(fstat(fd, &status));
    if (r < 0) return (int)r;
    return (status.st_mode & S_IFMT) == mode && status.st_rdev == makedev(major_number, minor_number);
}
int sup_is_terminal_fs(int fd) {
    struct statfs status;
    long r = RESULT(fstatfs(fd, &status));
    return r < 0 ? (int)r : status.f_type == DEVPTS_SUPER_MAGIC;
}
int sup_rename(const char *from, const char *to) { return (int)RESULT(rename(from, to)); }
int sup_unlink(const char *path) { return (int)RESULT(unlink(path)); }
int sup_chdir(const char *path) { return (int)RESULT(chdir(path)); }
int sup_chdir_fd(int fd) { return (int)RESULT(fchdir(fd)); }
int sup_inside_root(void) {
    char path[4096];
    // The raw call: libc hides "(unreachable)…" behind ENOENT on some paths and walks ".." on others.
    long r = RESULT(syscall(SYS_getcwd, path, sizeof path));
    if (r < 0) return (int)r;
    return path[0] == '/' ? 0 : -ENOENT;
}

// Mounts.

int sup_tree_clone(int fd, int recursive) {
    return (int)RESULT(syscall(SYS_open_tree, fd, "",
                               AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0)));
}
int sup_move_mount(int mount, int to) {
    return (int)RESULT(
        syscall(SYS_move_mount, mount, "", to, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
}
int sup_mount_attributes(int mount, int recursive, uint64_t set, uint64_t propagation) {
    struct mount_attr attributes = {.attr_set = set, .propagation = propagation};
    return (int)RESULT(syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0),
                               &attributes, sizeof attributes));
}
int sup_fsopen(const char *type) { return (int)RESULT(syscall(SYS_fsopen, type, FSOPEN_CLOEXEC)); }
int sup_fsconfig_string(int context, const char *key, const char *value) {
    return (int)RESULT(syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, key, value, 0));
}
int sup_fsconfig_flag(int context, const char *key) {
    return (int)RESULT(syscall(SYS_fsconfig, context, FSCONFIG_SET_FLAG, key, NULL, 0));
}
int sup_fsconfig_create(int context) {
    return (int)RESULT(syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
}
int sup_fsmount(int context, uint64_t attributes) {
    return (int)RESULT(syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, (unsigned)attributes));
}
int sup_mount_overlay(const char *options, const char *at, uint64_t attributes) {
    long r = RESULT(mount("overlay", at, "overlay", attributes & MOUNT_ATTR_NODEV ? MS_NODEV : 0, options));
    if (r < 0) return (int)r;
    return (int)RESULT(open(at, O_PATH | O_DIRECTORY | O_CLOEXEC));
}
int sup_make_private(void) { return (int)RESULT(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)); }
int sup_pivot(int root) {
    long r = RESULT(fchdir(root));
    if (r < 0) return (int)r;
    // The old root lands on top of the new one, at ".", and is detached from there (pivot_root(2), NOTES).
    r = RESULT(syscall(SYS_pivot_root, ".", "."));
    if (r < 0) return (int)r;
    r = RESULT(umount2(".", MNT_DETACH));
    if (r < 0) return (int)r;
    return (int)RESULT(chdir("/"));
}

// Terminals.

int sup_terminal_unlock(int master) {
    int unlock = 0;
    return (int)RESULT(ioctl(master, TIOCSPTLCK, &unlock));
}
int sup_terminal_peer(int master) { return (int)RESULT(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)); }
int sup_terminal_control(int peer) { return (int)RESULT(ioctl(peer, TIOCSCTTY, 0)); }

// Credentials.

int sup_setsid(void) { return (int)RESULT(setsid()); }
void sup_umask(int mask) { umask((mode_t)mask); }
int sup_keep_capabilities(void) { return (int)RESULT(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)); }
int sup_drop_bounding(uint64_t keep) {
    for (int capability = 0; capability < 64; capability++) {
        if (keep >> capability & 1) continue;
        long r = RESULT(prctl(PR_CAPBSET_DROP, capability, 0, 0, 0));
        if (r == -EINVAL) return 0; // past the last one that this kernel knows
        if (r < 0) return (int)r;
    }
    return 0;
}
// The system calls themselves, not libc's functions, which tell every thread (there is one) through signals.
int sup_set_groups(const uint32_t *groups, size_t count) { return (int)RESULT(syscall(SYS_setgroups, count, groups)); }
int sup_set_gid(uint32_t gid) { return (int)RESULT(syscall(SYS_setresgid, gid, gid, gid)); }
int sup_set_uid(uint32_t uid) { return (int)RESULT(syscall(SYS_setresuid, uid, uid, uid)); }
int sup_set_capabilities(uint64_t mask) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    for (int i = 0; i < 2; i++) {
        data[i].effective = data[i].permitted = (uint32_t)(mask >> (32 * i));
        data[i].inheritable = 0;
    }
    return (int)RESULT(syscall(SYS_capset, &header, data));
}
int sup_clear_ambient(void) { return (int)RESULT(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)); }
int sup_no_new_privileges(void) { return (int)RESULT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)); }
int sup_seccomp(const void *program, size_t size) {
    struct sock_fprog filter = {.len = (unsigned short)(size / sizeof(struct sock_filter)),
                                .filter = (struct sock_filter *)program};
    if (size / sizeof(struct sock_filter) > 4096) return -EINVAL;
    return (int)RESULT(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter));
}
int sup_die_with_parent(void) { return (int)RESULT(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)); }
int sup_execute(const char *path, char *const *arguments, char *const *environment) {
    return (int)RESULT(execve(path, arguments, environment));
}
