#define _GNU_SOURCE
#include "CKernelSpawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdalign.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

_Static_assert(sizeof(struct clone_args) >= 88, "struct clone_args with the cgroup field, clone3(2)");
_Static_assert(sizeof(sigset_t) >= 8, "kernel sigset");

enum { KERNEL_SIGSET = 8, HIGH = 64, STACK = 16384 };

struct child {
    struct kernel_spawn_request *spawn;
};

// Raw calls that leave errno alone: the parent's thread, whose memory this is, sleeps meanwhile but shares it.
#if defined(__x86_64__)
static inline long raw6(long n, long a, long b, long c, long d, long e, long f) {
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long r;
    __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return r;
}
// In the child: a new stack, `function(argument)`, which never returns.
static long clone3_on_stack(struct clone_args *args, size_t size, void (*function)(void *), void *argument) {
    long r;
    __asm__ volatile("syscall\n\t"
                     "testq %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xorl %%ebp, %%ebp\n\t"
                     "movq %[argument], %%rdi\n\t"
                     "call *%[function]\n\t"
                     "hlt\n"
                     "1:"
                     : "=a"(r)
                     : "a"((long)SYS_clone3), "D"(args), "S"(size), [function] "r"(function), [argument] "r"(argument)
                     : "rcx", "r11", "memory");
    return r;
}
#elif defined(__aarch64__)
static inline long raw6(long n, long a, long b, long c, long d, long e, long f) {
    register long x8 __asm__("x8") = n;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
}
static long clone3_on_stack(struct clone_args *args, size_t size, void (*function)(void *), void *argument) {
    register long x8 __asm__("x8") = SYS_clone3;
    register long x0 __asm__("x0") = (long)args;
    register long x1 __asm__("x1") = (long)size;
    register void (*x9)(void *) __asm__("x9") = function;
    register void *x10 __asm__("x10") = argument;
    __asm__ volatile("svc #0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x29, xzr\n\t"
                     "mov x30, xzr\n\t"
                     "mov x0, x10\n\t"
                     "blr x9\n\t"
                     "brk #1\n"
                     "1:"
                     : "+r"(x0) : "r"(x8), "r"(x1), "r"(x9), "r"(x10) : "memory", "x30");
    return x0;
}
#else
#error "noded knows x86_64 and aarch64"
#endif

static inline int failed(long r) { return r < 0 && r > -4096; }

_Noreturn static void give_up(struct kernel_spawn_request *spawn, int step, long result) {
    spawn->failed_errno = (int)-result;
    spawn->failed_step = step;
    raw6(SYS_exit_group, 127, 0, 0, 0, 0, 0);
    __builtin_trap();
}

// The child between clone and exec. It shares the parent's memory but has its own descriptor table.
_Noreturn static void child_main(void *argument) {
    struct kernel_spawn_request *spawn = ((struct child *)argument)->spawn;
    long r;
    int moved[16];
    // First out of the way, then into place: a source may have the number of another's place.
    int executable = (int)raw6(SYS_fcntl, spawn->executable, F_DUPFD_CLOEXEC, HIGH, 0, 0, 0);
    if (failed(executable)) give_up(spawn, 1, executable);
    for (size_t i = 0; i < spawn->descriptor_count; i++) {
        r = raw6(SYS_fcntl, spawn->descriptors[i], F_DUPFD_CLOEXEC, HIGH, 0, 0, 0);
        if (failed(r)) give_up(spawn, 1, r);
        moved[i] = (int)r;
    }
    for (size_t i = 0; i < spawn->descriptor_count; i++) {
        r = raw6(SYS_dup3, moved[i], (long)i, 0, 0, 0, 0);
        if (failed(r)) give_up(spawn, 1, r);
    }
    r = raw6(SYS_close_range, (long)spawn->descriptor_count, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */, 0, 0, 0);
    if (failed(r)) give_up(spawn, 1, r);
    r = raw6(SYS_setsid, 0, 0, 0, 0, 0, 0);
    if (failed(r)) give_up(spawn, 2, r);
    r = raw6(SYS_chdir, (long)"/", 0, 0, 0, 0, 0);
    if (failed(r)) give_up(spawn, 3, r);
    uint64_t none = 0;
    r = raw6(SYS_rt_sigprocmask, SIG_SETMASK, (long)&none, 0, KERNEL_SIGSET, 0, 0);
    if (failed(r)) give_up(spawn, 4, r);
    r = raw6(SYS_execveat, executable, (long)"", (long)spawn->arguments, (long)spawn->environment, AT_EMPTY_PATH, 0);
    give_up(spawn, 5, r);
}

pid_t kernel_spawn(struct kernel_spawn_request *spawn, int *pidfd) {
    alignas(16) char stack[STACK];
    struct child child = {spawn};
    int handle = -1;
    spawn->failed_step = 0;
    if (spawn->descriptor_count > 16) {
        errno = EINVAL;
        return -1;
    }
    struct clone_args args;
    memset(&args, 0, sizeof args);
    args.flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_CLEAR_SIGHAND;
    args.pidfd = (uint64_t)(uintptr_t)&handle;
    args.exit_signal = SIGCHLD;
    args.stack = (uint64_t)(uintptr_t)stack;
    args.stack_size = sizeof stack;
    if (spawn->cgroup >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)spawn->cgroup;
    }
    // A signal handler of ours must not run in the child, on our memory.
    uint64_t all = ~(uint64_t)0, before;
    raw6(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&before, KERNEL_SIGSET, 0, 0);
    long pid = clone3_on_stack(&args, sizeof args, child_main, &child);
    raw6(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, KERNEL_SIGSET, 0, 0);
    if (failed(pid)) {
        errno = (int)-pid;
        return -1;
    }
    if (spawn->failed_step) {
        raw6(SYS_wait4, pid, 0, 0, 0, 0, 0);
        raw6(SYS_close, handle, 0, 0, 0, 0, 0);
        errno = spawn->failed_errno;
        return -1;
    }
    *pidfd = handle;
    return (pid_t)pid;
}

// struct bpf_cgroup_dev_ctx { access_type = access << 16 | type; major; minor }, access: 1 mknod, 2 read, 4 write.
#define LOAD(to, at) {.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = to, .src_reg = 1, .off = at}
#define JUMP_IF(reg, value, skip) {.code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = reg, .off = skip, .imm = value}
#define JUMP_UNLESS(reg, value, skip) {.code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = reg, .off = skip, .imm = value}
#define SET(reg, value) {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = reg, .imm = value}
#define MOVE(to, from) {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = to, .src_reg = from}
#define EXIT {.code = BPF_JMP | BPF_EXIT}

int kernel_allow_default_devices(int cgroup) {
    static const struct bpf_insn program[] = {
        /* 0 */ LOAD(2, 0),
        /* 1 */ MOVE(3, 2),
        /* 2 */ {.code = BPF_ALU | BPF_AND | BPF_K, .dst_reg = 2, .imm = 0xffff}, // type: 1 block, 2 character
        /* 3 */ {.code = BPF_ALU | BPF_RSH | BPF_K, .dst_reg = 3, .imm = 16},     // access
        /* 4 */ LOAD(4, 4),                                                       // major
        /* 5 */ LOAD(5, 8),                                                       // minor
        /* 6 */ JUMP_IF(3, BPF_DEVCG_ACC_MKNOD, 14),                              // -> 21
        /* 7 */ JUMP_UNLESS(2, BPF_DEVCG_DEV_CHAR, 11),                           // -> 19
        /* 8 */ JUMP_IF(4, 136, 12),                                              // ptys -> 21
        /* 9 */ JUMP_UNLESS(4, 1, 5),                                             // -> 15
        /* 10 */ JUMP_IF(5, 3, 10),                                               // null
        /* 11 */ JUMP_IF(5, 5, 9),                                                // zero
        /* 12 */ JUMP_IF(5, 7, 8),                                                // full
        /* 13 */ JUMP_IF(5, 8, 7),                                                // random
        /* 14 */ JUMP_IF(5, 9, 6),                                                // urandom
        /* 15 */ JUMP_UNLESS(4, 5, 3),                                            // -> 19
        /* 16 */ JUMP_IF(5, 0, 4),                                                // tty
        /* 17 */ JUMP_IF(5, 1, 3),                                                // console
        /* 18 */ JUMP_IF(5, 2, 2),                                                // ptmx
        /* 19 */ SET(0, 0),
        /* 20 */ EXIT,
        /* 21 */ SET(0, 1),
        /* 22 */ EXIT,
    };
    union bpf_attr load;
    memset(&load, 0, sizeof load);
    load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    load.insns = (uint64_t)(uintptr_t)program;
    load.insn_cnt = sizeof program / sizeof program[0];
    load.license = (uint64_t)(uintptr_t) "Apache-2.0";
    // One program for all containers, for as long as the process lives; a race loads it twice, which harms nothing.
    static int loaded = -1;
    int fd = __atomic_load_n(&loaded, __ATOMIC_ACQUIRE);
    if (fd < 0) {
        fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load);
        if (fd < 0) return -1;
        int expected = -1;
        if (!__atomic_compare_exchange_n(&loaded, &expected, fd, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            close(fd);
            fd = expected;
        }
    }
    union bpf_attr attach;
    memset(&attach, 0, sizeof attach);
    attach.target_fd = (uint32_t)cgroup;
    attach.attach_bpf_fd = (uint32_t)fd;
    attach.attach_type = BPF_CGROUP_DEVICE;
    attach.attach_flags = BPF_F_ALLOW_MULTI;
    return (int)syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach);
}
