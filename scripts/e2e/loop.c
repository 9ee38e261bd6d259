// Asks a Service by its name, again and again: every request resolves anew (its own DNS query by the container's
// /etc/resolv.conf) and connects anew. Says what failed and how long the slowest took.
//
//     loop NAME PORT PER-SECOND SECONDS
//
// Exit code 0 when no request failed. Static and with its own query, so that no libc resolver cache or retry policy
// beautifies the figures: a query waits 5 s and is sent twice, as glibc does (resolv.conf(5): timeout, attempts).

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char *name;
static int port;
static char server[64], search[8][128];
static int searches;
static atomic_int outstanding, requests, failures, shown;
static _Atomic long long slowest;
static struct timespec begun;

static long long since(const struct timespec *from) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - from->tv_sec) * 1000000LL + (now.tv_nsec - from->tv_nsec) / 1000;
}

static void complain(const char *format, ...) {
    atomic_fetch_add(&failures, 1);
    if (atomic_fetch_add(&shown, 1) >= 10) return;
    char text[256];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    printf("failed at %.3f s: %s\n", since(&begun) / 1e6, text);
    fflush(stdout);
}

static int encode(const char *host, unsigned char *out, int id) {
    unsigned char head[12] = {id >> 8, id & 255, 1, 0, 0, 1};
    memcpy(out, head, 12);
    int at = 12;
    while (*host) {
        size_t label = strcspn(host, ".");
        out[at++] = label;
        memcpy(out + at, host, label);
        at += label;
        host += label + (host[label] == '.');
    }
    memcpy(out + at, "\0\0\1\0\1", 5);
    return at + 5;
}

static int skip(const unsigned char *message, int length, int at) {
    while (at < length && message[at]) {
        if (message[at] >= 192) return at + 2;
        at += message[at] + 1;
    }
    return at + 1;
}

// 1: found; 0: no such name or no address; -1: no answer (errno).
static int query(const char *host, struct in_addr *address) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(53)};
    inet_pton(AF_INET, server, &to.sin_addr);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    static atomic_int serial;
    int id = atomic_fetch_add(&serial, 1) & 0xffff, result = -1, saved = ETIMEDOUT;
    unsigned char question[512], reply[1500];
    int length = encode(host, question, id);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) { saved = errno; goto out; }
    for (int attempt = 0; attempt < 2 && result < 0; attempt++) {
        if (send(fd, question, length, 0) < 0) { saved = errno; continue; }
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (poll(&wait, 1, 5000) <= 0) { saved = ETIMEDOUT; continue; }
        int got = recv(fd, reply, sizeof reply, 0);
        if (got < 0) { saved = errno; continue; }
        if (got < 12 || reply[0] != (id >> 8) || reply[1] != (id & 255)) { saved = EPROTO; continue; }
        int code = reply[3] & 15, answers = reply[6] << 8 | reply[7], at = skip(reply, got, 12) + 4;
        if (code != 0 && code != 3) { saved = EREMOTEIO; continue; }
        result = 0;
        while (answers-- > 0 && at < got) {
            at = skip(reply, got, at);
            if (at + 10 > got) break;
            int type = reply[at] << 8 | reply[at + 1], size = reply[at + 8] << 8 | reply[at + 9];
            if (type == 1 && size == 4 && at + 14 <= got) { memcpy(address, reply + at + 10, 4); result = 1; break; }
            at += 10 + size;
        }
    }
out:
    close(fd);
    errno = saved;
    return result;
}

static int resolve(struct in_addr *address) {
    int found = 0;
    for (int i = 0; i < searches && found == 0; i++) {
        char full[384];
        snprintf(full, sizeof full, "%s.%s", name, search[i]);
        found = query(full, address);
    }
    return found == 0 ? query(name, address) : found;
}

static void *ask(void *unused) {
    struct timespec from;
    clock_gettime(CLOCK_MONOTONIC, &from);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int found = resolve(&to.sin_addr);
    if (found <= 0) {
        complain("resolve %s: %s", name, found == 0 ? "no such name" : strerror(errno));
    } else {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct timeval limit = {.tv_sec = 10};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        char text[512];
        int length = snprintf(text, sizeof text, "GET / HTTP/1.0\r\nHost: %s\r\n\r\n", name), total = 0, got;
        if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) {
            complain("connect %s: %s", inet_ntoa(to.sin_addr), strerror(errno));
        } else if (send(fd, text, length, MSG_NOSIGNAL) != length) {
            complain("send: %s", strerror(errno));
        } else {
            while ((got = recv(fd, text + total, sizeof text - 1 - total, 0)) > 0)
                if (total < 256) total += got;
            text[total] = 0;
            if (got < 0) complain("receive after %d bytes: %s", total, strerror(errno));
            else if (strncmp(text, "HTTP/1.", 7) || strncmp(text + 8, " 200", 4)) complain("reply: %.40s", total ? text : "(empty)");
        }
        close(fd);
    }
    long long took = since(&from), before = atomic_load(&slowest);
    while (took > before && !atomic_compare_exchange_weak(&slowest, &before, took)) {}
    atomic_fetch_sub(&outstanding, 1);
    return unused;
}

static void configuration(void) {
    FILE *file = fopen("/etc/resolv.conf", "r");
    char line[1024];
    while (file && fgets(line, sizeof line, file)) {
        char *word = strtok(line, " \t\n");
        if (word && !strcmp(word, "nameserver") && !server[0]) {
            if ((word = strtok(NULL, " \t\n"))) snprintf(server, sizeof server, "%s", word);
        } else if (word && !strcmp(word, "search")) {
            for (searches = 0; searches < 8 && (word = strtok(NULL, " \t\n"));) snprintf(search[searches++], 128, "%s", word);
        }
    }
    if (file) fclose(file);
}

int main(int count, char **arguments) {
    if (count != 5) { fprintf(stderr, "usage: loop NAME PORT PER-SECOND SECONDS\n"); return 64; }
    name = arguments[1];
    port = atoi(arguments[2]);
    long rate = atol(arguments[3]), total = rate * atol(arguments[4]);
    configuration();
    printf("asking %s:%d by %s, %d search names\n", name, port, server, searches);
    fflush(stdout);
    clock_gettime(CLOCK_MONOTONIC, &begun);
    struct timespec next = begun;
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
    for (long i = 0; i < total; i++) {
        pthread_t thread;
        atomic_fetch_add(&outstanding, 1);
        atomic_fetch_add(&requests, 1);
        if (pthread_create(&thread, &small, ask, NULL)) { complain("thread"); atomic_fetch_sub(&outstanding, 1); }
        next.tv_nsec += 1000000000L / rate;
        if (next.tv_nsec >= 1000000000L) { next.tv_nsec -= 1000000000L; next.tv_sec++; }
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    }
    for (int i = 0; i < 300 && atomic_load(&outstanding); i++) usleep(100000);
    if (atomic_load(&outstanding)) complain("%d requests still without a reply", atomic_load(&outstanding));
    printf("%d requests, %d failed, slowest %.1f ms\n", atomic_load(&requests), atomic_load(&failures), atomic_load(&slowest) / 1e3);
    return atomic_load(&failures) ? 1 : 0;
}
