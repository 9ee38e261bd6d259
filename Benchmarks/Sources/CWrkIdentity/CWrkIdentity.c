#define _GNU_SOURCE
#include "CWrkIdentity.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

// OpenSSL's (3.x), by their prototypes: its headers are no dependency of the benchmarks.
void *SSL_CTX_new(const void *method) {
    void *(*real)(const void *) = dlsym(RTLD_NEXT, "SSL_CTX_new");
    int (*certificate)(void *, const char *) = dlsym(RTLD_NEXT, "SSL_CTX_use_certificate_chain_file");
    int (*key)(void *, const char *, int) = dlsym(RTLD_NEXT, "SSL_CTX_use_PrivateKey_file");
    void *context = real(method);
    const char *cert = getenv("WRK_CERT"), *pem = getenv("WRK_KEY");
    if (context && cert && pem && (certificate(context, cert) != 1 || key(context, pem, 1) != 1)) {
        fprintf(stderr, "wrk: cannot use the certificate %s with the key %s\n", cert, pem);
        exit(1);
    }
    return context;
}

static void pause_for(const char *milliseconds) {
    if (!milliseconds) return;
    long ms = atol(milliseconds);
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&t, &t) != 0) {}
}

int fsync(int fd) {
    pause_for(getenv("SLOW_SYNC_MS"));
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

int fdatasync(int fd) {
    pause_for(getenv("SLOW_SYNC_MS"));
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
