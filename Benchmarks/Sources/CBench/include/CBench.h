// Calls that the Glibc module hides because it is built without _GNU_SOURCE. Each returns what the call returns: -1 and
// errno on failure.
#pragma once

int bench_enter_network(int namespace_fd); // setns(fd, CLONE_NEWNET), this thread only
int bench_enter_mounts(int namespace_fd);  // setns(fd, CLONE_NEWNS)
int bench_own_mounts(void);                // unshare(CLONE_NEWNS)
int bench_pipe(int ends[2]);               // pipe2(ends, O_CLOEXEC)
