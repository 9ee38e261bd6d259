// System calls that Swift cannot reach by itself: those glibc 2.36 has no wrapper for (openat2), and those its headers
// hide without _GNU_SOURCE, which Swift's Glibc module does not define. One line each: -1 and errno on failure.
// Structures of the kernel stay in CKernel.c, where their layout is asserted; Swift sees plain numbers.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "CKernelSpawn.h"

// Paths (openat2(2)).
enum : uint64_t {
    KERNEL_RESOLVE_NO_XDEV = 0x01,
    KERNEL_RESOLVE_NO_MAGICLINKS = 0x02,
    KERNEL_RESOLVE_NO_SYMLINKS = 0x04,
    KERNEL_RESOLVE_BENEATH = 0x08,
    KERNEL_RESOLVE_IN_ROOT = 0x10,
};
int kernel_openat2(int directory, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
int kernel_mknodat(int directory, const char *name, uint32_t mode, uint32_t major, uint32_t minor);
int kernel_renameat2(int directory, const char *name, int to_directory, const char *to_name, unsigned flags);
int kernel_lsetxattr(const char *path, const char *name, const void *value, size_t size);
ssize_t kernel_lgetxattr(const char *path, const char *name, void *value, size_t size);
// Everything of the file system that `fd` lies in is on the medium (syncfs(2)).
int kernel_syncfs(int fd);
// Device of what `name` is, and the id of the mount it lies in (statx, STATX_MNT_ID).
int kernel_mount_id(int directory, const char *name, uint64_t *id);

// Processes.
int kernel_pidfd_open(pid_t pid);
int kernel_pidfd_send_signal(int pidfd, int signal);
// waitid(P_PIDFD, WEXITED): 1 and the outcome when the child has ended, 0 when `wait` is 0 and it has not.
int kernel_pidfd_wait(int pidfd, int wait, int *code, int *status);
int kernel_setns(int fd, int kinds);
int kernel_unshare(int kinds);
int kernel_clone_flag_newnet(void);
int kernel_clone_flag_newns(void);

// Installs an array of struct sock_filter on the calling thread, for good (seccomp(2)).
int kernel_install_filter(const void *program, size_t size);

// Mounts (fsopen(2), mount_setattr(2), move_mount(2), open_tree(2)).
int kernel_open_tree(int directory, const char *path, unsigned flags);
int kernel_move_mount(int mount, int directory, const char *path);
int kernel_mount_setattr(int mount, const char *path, int recursive, uint64_t set, uint64_t clear, uint64_t propagation,
                         int user_namespace);
int kernel_fsopen(const char *filesystem);
int kernel_fsconfig_string(int context, const char *key, const char *value);
int kernel_fsconfig_flag(int context, const char *key);
int kernel_fsconfig_fd(int context, const char *key, int fd);
int kernel_fsconfig_create(int context);
int kernel_fsmount(int context, unsigned attributes);
int kernel_umount(const char *path, int detach);

// Descriptors.
int kernel_pipe(int fds[2]);
int kernel_socketpair(int type, int fds[2]);
int kernel_unix_socket(int type);
int kernel_accept(int listener);
int kernel_memfd(const char *name);
int kernel_seal(int fd);
int kernel_eventfd(void);
int kernel_peer(int fd, pid_t *pid, uid_t *uid, gid_t *gid);
ssize_t kernel_send_with_fds(int socket, const void *bytes, size_t size, const int *fds, size_t fd_count);
// At most `fd_capacity` (32) descriptors; `fd_count` says how many came. EMSGSIZE when data or descriptors were cut.
ssize_t kernel_receive_with_fds(int socket, void *bytes, size_t size, int *fds, size_t fd_capacity, size_t *fd_count);

// epoll(7).
enum : uint32_t {
    KERNEL_EPOLLIN = 0x1,
    KERNEL_EPOLLPRI = 0x2,
    KERNEL_EPOLLOUT = 0x4,
    KERNEL_EPOLLERR = 0x8,
    KERNEL_EPOLLHUP = 0x10,
    KERNEL_EPOLLRDHUP = 0x2000,
};
struct kernel_event {
    uint64_t id;
    uint32_t events;
};
int kernel_epoll_create(void);
int kernel_epoll_add_once(int epoll, int fd, uint32_t events, uint64_t id);
int kernel_epoll_remove(int epoll, int fd);
int kernel_epoll_wait(int epoll, struct kernel_event *events, int capacity);
