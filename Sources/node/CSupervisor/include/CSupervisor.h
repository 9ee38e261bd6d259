// The supervisor's way to the kernel. Embedded Swift has no Glibc module, and much of this glibc has no wrapper for.
// Every function returns 0 or a value on success and -errno on failure; errno itself is nobody's business above.
#pragma once
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>

enum : int {
    SUP_NEWNS = 0x00020000,
    SUP_NEWCGROUP = 0x02000000,
    SUP_NEWUTS = 0x04000000,
    SUP_NEWIPC = 0x08000000,
    SUP_NEWPID = 0x20000000,
    SUP_NEWNET = 0x40000000,
};
enum : int { SUP_POLLIN = POLLIN, SUP_POLLOUT = POLLOUT };
enum : int { SUP_EPERM = 1, SUP_ENOENT = 2, SUP_ESRCH = 3, SUP_EINTR = 4, SUP_EIO = 5, SUP_EAGAIN = 11, SUP_EACCES = 13,
       SUP_EBUSY = 16, SUP_EEXIST = 17, SUP_ENODEV = 19, SUP_ENOTDIR = 20, SUP_EINVAL = 22, SUP_EMFILE = 24,
       SUP_ENAMETOOLONG = 36, SUP_ELOOP = 40, SUP_EPROTO = 71 };

// Processes.
// A copy of this process (which has one thread): 0 in the child, the pid in the parent with *pidfd set. `cgroup` -1: ours.
int sup_clone(uint64_t flags, int cgroup, int *pidfd);
int sup_unshare(int kinds);
int sup_setns(int fd, int kinds);
int sup_own_pid_namespace(void);
int sup_pidfd_signal(int pidfd, int signal);
void sup_kill(int pid); // a child that has not been reaped
// The next ended child: its pid, 0 when none has ended, -ECHILD when there is none. With `block` it waits.
int sup_reap(int block, int *code, int *signal);
_Noreturn void sup_exit(int code);
int sup_pid(void);
int64_t sup_now(void); // nanoseconds since 1970
void sup_civil(int64_t seconds, int fields[6]); // UTC: year, month, day, hour, minute, second
int sup_hide(void); // not dumpable: /proc/PID of this process belongs to root alone
int sup_subreaper(void);
int sup_name(const char *name);

// Signals.
int sup_signal_descriptor(void); // blocks SIGCHLD and ignores SIGPIPE; a signalfd for SIGCHLD
void sup_drain_signals(int fd);
void sup_reset_signals(void);    // for a child: nothing blocked, all default
_Noreturn void sup_reap_forever(void);

// Pod.
int sup_set_hostname(const void *name, size_t length);
int sup_loopback_up(void);
int sup_mount_tmpfs(const char *path, uint64_t size);
int sup_unmount(const char *path);

// Descriptors.
int sup_open(const char *path, int flags, int mode);
int sup_openat(int directory, const char *path, int flags, int mode);
int sup_open_log(const char *path);
int sup_close(int fd);
int sup_pipe(int fds[2]);
int sup_packet_pair(int fds[2]);
int sup_set_nonblocking(int fd);
int sup_duplicate_to(int fd, int number);
int sup_close_on_exec_from(int first);
ssize_t sup_read(int fd, void *bytes, size_t size);
ssize_t sup_write(int fd, const void *bytes, size_t size);
int sup_listen(int fd);
int sup_accept(int fd);      // non-blocking; refuses (-EPERM) peers that are not root
ssize_t sup_send(int socket, const void *bytes, size_t size, const int *fds, size_t fd_count);
ssize_t sup_receive(int socket, void *bytes, size_t size, int *fds, size_t fd_capacity, size_t *fd_count);
int sup_poll(struct pollfd *fds, size_t count);
int sup_poll_now(struct pollfd *fd);
int sup_duplicate(int fd);
void sup_close_all(void);
int sup_chown_descriptor(int fd, uint32_t uid);

// Paths.
enum : int { SUP_O_RDONLY = 0, SUP_O_WRONLY = 1, SUP_O_RDWR = 2 };
enum : int { SUP_IN_ROOT = 1, SUP_BENEATH = 2, SUP_NO_SYMLINKS = 4 };
int sup_resolve(int root, const char *path, int directory, int how); // O_PATH; never through magic links
int sup_open_path(const char *path, int directory);                  // O_PATH by a host path
int sup_mkdirat(int directory, const char *name, int mode);
int sup_rmdirat(int directory, const char *name);
int sup_open_child_directory(int directory, const char *name);       // O_PATH, O_NOFOLLOW
int sup_create_file(int directory, const char *name);                // O_EXCL, O_NOFOLLOW; the descriptor
int sup_symlinkat(const char *target, int directory, const char *name);
int sup_make_node(int directory, const char *name, uint32_t mode, uint32_t major, uint32_t minor, uint32_t uid,
                  uint32_t gid);
ssize_t sup_readlinkat(int directory, const char *name, void *text, size_t size);
int sup_is_directory(int fd);                                        // 1, 0 or -errno
int sup_is_device(int fd, uint32_t mode, uint32_t major, uint32_t minor);
int sup_is_terminal_fs(int fd);                                      // lies on a devpts
int sup_rename(const char *from, const char *to);
int sup_unlink(const char *path);
int sup_chdir(const char *path);
int sup_chdir_fd(int fd);
int sup_inside_root(void); // -ENOENT when the working directory cannot be reached from the root

// Mounts.
int sup_tree_clone(int fd, int recursive);
int sup_move_mount(int mount, int to);
int sup_mount_attributes(int mount, int recursive, uint64_t set, uint64_t propagation);
int sup_fsopen(const char *type);
int sup_fsconfig_string(int context, const char *key, const char *value);
int sup_fsconfig_flag(int context, const char *key);
int sup_fsconfig_create(int context);
int sup_fsmount(int context, uint64_t attributes);
int sup_mount_overlay(const char *options, const char *at, uint64_t attributes); // mount(2); then O_PATH of the root
int sup_make_private(void);      // the whole namespace
int sup_pivot(int root);         // the mount becomes "/", the old tree is gone

// Terminals.
int sup_terminal_unlock(int master);
int sup_terminal_peer(int master);
int sup_terminal_control(int peer);

// Credentials.
int sup_setsid(void);
void sup_umask(int mask);
int sup_keep_capabilities(void);
int sup_drop_bounding(uint64_t keep);
int sup_set_groups(const uint32_t *groups, size_t count);
int sup_set_gid(uint32_t gid);
int sup_set_uid(uint32_t uid);
int sup_set_capabilities(uint64_t mask); // permitted and effective; inheritable empty
int sup_clear_ambient(void);
int sup_no_new_privileges(void);
int sup_seccomp(const void *program, size_t size);
int sup_die_with_parent(void);
int sup_execute(const char *path, char *const *arguments, char *const *environment);
