// Starting a process from a threaded program whose memory is large: clone3(CLONE_VM | CLONE_VFORK) on a stack of its
// own, then execveat of a descriptor. Between the two runs only the C code in spawn.c.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct kernel_spawn_request {
    int executable;           // descriptor of the program (a sealed memfd, or O_PATH)
    char *const *arguments;   // NULL-terminated
    char *const *environment; // NULL-terminated
    const int *descriptors;   // becomes 0, 1, 2, … in the child; everything else is closed there
    size_t descriptor_count;  // at most 16
    int cgroup;               // directory to be born in (CLONE_INTO_CGROUP), or -1
    // Filled in on failure in the child.
    int failed_step; // index into: 1 descriptors, 2 session, 3 directory, 4 signals, 5 execute
    int failed_errno;
};

// The pid, and its pidfd in *pidfd; or -1 and errno (the child's errno when failed_step is set; it is then reaped).
// The parent's thread sleeps until the program runs.
pid_t kernel_spawn(struct kernel_spawn_request *spawn, int *pidfd);

// Allows a cgroup (directory descriptor) only the devices that every container may use, by an eBPF program
// (BPF_CGROUP_DEVICE): mknod of anything, use of null, zero, full, random, urandom, tty, console, ptmx and ptys.
// -1 and errno when the kernel cannot.
int kernel_allow_default_devices(int cgroup);
