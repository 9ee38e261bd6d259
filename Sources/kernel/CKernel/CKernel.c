#define _GNU_SOURCE
#include "CKernel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

_Static_assert(sizeof(struct open_how) == 24, "struct open_how of openat2(2)");
_Static_assert(sizeof(struct sock_filter) == 8, "struct sock_filter of seccomp(2)");
_Static_assert(sizeof(struct mount_attr) == 32, "struct mount_attr of mount_setattr(2)");
_Static_assert(KERNEL_RESOLVE_IN_ROOT == RESOLVE_IN_ROOT && KERNEL_RESOLVE_NO_MAGICLINKS == RESOLVE_NO_MAGICLINKS
                   && KERNEL_RESOLVE_NO_XDEV == RESOLVE_NO_XDEV && KERNEL_RESOLVE_NO_SYMLINKS == RESOLVE_NO_SYMLINKS
                   && KERNEL_RESOLVE_BENEATH == RESOLVE_BENEATH, "openat2(2)");
_Static_assert(KERNEL_EPOLLIN == EPOLLIN && KERNEL_EPOLLOUT == EPOLLOUT && KERNEL_EPOLLERR == EPOLLERR
                   && KERNEL_EPOLLHUP == EPOLLHUP && KERNEL_EPOLLRDHUP == EPOLLRDHUP && KERNEL_EPOLLPRI == EPOLLPRI,
               "epoll_ctl(2)");

int kernel_openat2(int directory, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
    struct open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve};
    return (int)syscall(SYS_openat2, directory, path, &how, sizeof how);
}

int kernel_mknodat(int directory, const char *name, uint32_t mode, uint32_t major, uint32_t minor) {
    return mknodat(directory, name, mode, makedev(major, minor));
}

int kernel_renameat2(int directory, const char *name, int to_directory, const char *to_name, unsigned flags) {
    return renameat2(directory, name, to_directory, to_name, flags);
}

int kernel_lsetxattr(const char *path, const char *name, const void *value, size_t size) {
    return lsetxattr(path, name, value, size, 0);
}

ssize_t kernel_lgetxattr(const char *path, const char *name, void *value, size_t size) {
    return lgetxattr(path, name, value, size);
}

int kernel_syncfs(int fd) {
    return syncfs(fd);
}

int kernel_mount_id(int directory, const char *name, uint64_t *id) {
    struct statx status = {0};
    int result = statx(directory, name, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_MNT_ID, &status);
    *id = status.stx_mnt_id;
    return result;
}

int kernel_pidfd_open(pid_t pid) { return pidfd_open(pid, 0); }

int kernel_pidfd_send_signal(int pidfd, int signal) { return pidfd_send_signal(pidfd, signal, NULL, 0); }

int kernel_pidfd_wait(int pidfd, int wait, int *code, int *status) {
    siginfo_t info = {0};
    if (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | (wait ? 0 : WNOHANG)) == -1) return -1;
    *code = info.si_code;
    *status = info.si_status;
    return info.si_pid != 0;
}

int kernel_setns(int fd, int kinds) { return setns(fd, kinds); }
int kernel_unshare(int kinds) { return unshare(kinds); }
int kernel_clone_flag_newnet(void) { return CLONE_NEWNET; }
int kernel_clone_flag_newns(void) { return CLONE_NEWNS; }

int kernel_install_filter(const void *program, size_t size) {
    struct sock_fprog filter = {.len = (unsigned short)(size / sizeof(struct sock_filter)),
                                .filter = (struct sock_filter *)program};
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter);
}

int kernel_open_tree(int directory, const char *path, unsigned flags) {
    return open_tree(directory, path, flags | OPEN_TREE_CLOEXEC);
}

int kernel_move_mount(int mount, int directory, const char *path) {
    return move_mount(mount, "", directory, path,
                      MOVE_MOUNT_F_EMPTY_PATH | (*path ? 0 : MOVE_MOUNT_T_EMPTY_PATH));
}

int kernel_mount_setattr(int mount, const char *path, int recursive, uint64_t set, uint64_t clear, uint64_t propagation,
                         int user_namespace) {
    struct mount_attr attributes = {
        .attr_set = set, .attr_clr = clear, .propagation = propagation,
        .userns_fd = user_namespace < 0 ? 0 : (uint64_t)user_namespace,
    };
    return mount_setattr(mount, path, (*path ? 0 : AT_EMPTY_PATH) | (recursive ? AT_RECURSIVE : 0), &attributes,
                         sizeof attributes);
}

int kernel_fsopen(const char *filesystem) { return fsopen(filesystem, FSOPEN_CLOEXEC); }

int kernel_fsconfig_string(int context, const char *key, const char *value) {
    return fsconfig(context, FSCONFIG_SET_STRING, key, value, 0);
}

int kernel_fsconfig_flag(int context, const char *key) { return fsconfig(context, FSCONFIG_SET_FLAG, key, NULL, 0); }

int kernel_fsconfig_fd(int context, const char *key, int fd) {
    return fsconfig(context, FSCONFIG_SET_FD, key, NULL, fd);
}

int kernel_fsconfig_create(int context) { return fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0); }
int kernel_fsmount(int context, unsigned attributes) { return fsmount(context, FSMOUNT_CLOEXEC, attributes); }

int kernel_umount(const char *path, int detach) { return umount2(path, UMOUNT_NOFOLLOW | (detach ? MNT_DETACH : 0)); }

int kernel_pipe(int fds[2]) { return pipe2(fds, O_CLOEXEC); }
int kernel_socketpair(int type, int fds[2]) { return socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds); }
int kernel_unix_socket(int type) { return socket(AF_UNIX, type | SOCK_CLOEXEC, 0); }
int kernel_accept(int listener) { return accept4(listener, NULL, NULL, SOCK_CLOEXEC); }
int kernel_memfd(const char *name) { return memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING); }

int kernel_seal(int fd) {
    return fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
}

int kernel_eventfd(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

int kernel_peer(int fd, pid_t *pid, uid_t *uid, gid_t *gid) {
    struct ucred peer = {0};
    socklen_t size = sizeof peer;
    int result = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
    *pid = peer.pid;
    *uid = peer.uid;
    *gid = peer.gid;
    return result;
}

enum { MAXIMUM_FDS = 32 };

ssize_t kernel_send_with_fds(int socket, const void *bytes, size_t size, const int *fds, size_t fd_count) {
    union {
        char bytes[CMSG_SPACE(sizeof(int) * MAXIMUM_FDS)];
        struct cmsghdr align;
    } control;
    struct iovec data = {.iov_base = (void *)bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
    if (fd_count > MAXIMUM_FDS) {
        errno = EINVAL;
        return -1;
    }
    if (fd_count > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(header), fds, sizeof(int) * fd_count);
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL);
}

ssize_t kernel_receive_with_fds(int socket, void *bytes, size_t size, int *fds, size_t fd_capacity, size_t *fd_count) {
    union {
        char bytes[CMSG_SPACE(sizeof(int) * MAXIMUM_FDS)];
        struct cmsghdr align;
    } control;
    struct iovec data = {.iov_base = bytes, .iov_len = size};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes,
    };
    *fd_count = 0;
    ssize_t result = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    if (result == -1) return -1;
    int cut = (message.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) != 0;
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
                cut = 1;
            }
        }
    }
    if (!cut) return result;
    while (*fd_count > 0) close(fds[--*fd_count]);
    errno = EMSGSIZE;
    return -1;
}

int kernel_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

int kernel_epoll_add_once(int epoll, int fd, uint32_t events, uint64_t id) {
    struct epoll_event event = {.events = events | EPOLLONESHOT, .data.u64 = id};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

int kernel_epoll_remove(int epoll, int fd) { return epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL); }

int kernel_epoll_wait(int epoll, struct kernel_event *events, int capacity) {
    struct epoll_event raw[64];
    int count = epoll_wait(epoll, raw, capacity < 64 ? capacity : 64, -1);
    for (int i = 0; i < count; i++) events[i] = (struct kernel_event){.id = raw[i].data.u64, .events = raw[i].events};
    return count;
}
