#include "CRecordingVFS.h"
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

struct recording {
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
    pthread_mutex_t lock;
    struct recording_event *events;
    size_t count, capacity;
    int fail_after[8], fail_times[8], fail_code[8];
};

struct shim {
    sqlite3_file base;
    recording *owner;
    int file;
    sqlite3_file *real;
};

static void append(recording *r, int kind, int file, int64_t offset, const void *data, int64_t size) {
    pthread_mutex_lock(&r->lock);
    if (r->count == r->capacity) {
        r->capacity = r->capacity ? 2 * r->capacity : 1024;
        r->events = realloc(r->events, r->capacity * sizeof *r->events);
    }
    struct recording_event *e = &r->events[r->count++];
    *e = (struct recording_event){.kind = kind, .file = file, .offset = offset, .size = size};
    if (size > 0) {
        e->data = malloc((size_t)size);
        memcpy(e->data, data, (size_t)size);
    }
    pthread_mutex_unlock(&r->lock);
}

static int failure(recording *r, int kind) {
    int code = SQLITE_OK;
    pthread_mutex_lock(&r->lock);
    const int kinds[2] = {kind, RECORDING_ANY};
    for (int i = 0; i < 2 && code == SQLITE_OK; i++) {
        int k = kinds[i];
        if (r->fail_times[k] <= 0) continue;
        if (r->fail_after[k] > 0) r->fail_after[k]--;
        else { r->fail_times[k]--; code = r->fail_code[k]; }
    }
    pthread_mutex_unlock(&r->lock);
    return code;
}

#define REAL(f) (((struct shim *)(f))->real)

static int shim_close(sqlite3_file *f) {
    int rc = REAL(f)->pMethods->xClose(REAL(f));
    free(REAL(f));
    return rc;
}
static int shim_read(sqlite3_file *f, void *p, int n, sqlite3_int64 o) { return REAL(f)->pMethods->xRead(REAL(f), p, n, o); }
static int shim_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 o) {
    struct shim *s = (struct shim *)f;
    int fail = failure(s->owner, RECORDING_WRITE);
    if (fail == SQLITE_FULL) n /= 2; // a full disk takes what still fits
    int rc = s->real->pMethods->xWrite(s->real, p, n, o);
    if (rc == SQLITE_OK) append(s->owner, RECORDING_WRITE, s->file, o, p, n);
    return fail ? fail : rc;
}
static int shim_truncate(sqlite3_file *f, sqlite3_int64 size) {
    struct shim *s = (struct shim *)f;
    int fail = failure(s->owner, RECORDING_TRUNCATE);
    if (fail) return fail;
    int rc = s->real->pMethods->xTruncate(s->real, size);
    if (rc == SQLITE_OK) append(s->owner, RECORDING_TRUNCATE, s->file, size, NULL, 0);
    return rc;
}
static int shim_sync(sqlite3_file *f, int flags) {
    struct shim *s = (struct shim *)f;
    (void)flags; // the test's disk is a list in memory: nothing waits for the real one
    int fail = failure(s->owner, RECORDING_SYNC);
    if (fail) return fail;
    append(s->owner, RECORDING_SYNC, s->file, 0, NULL, 0);
    return SQLITE_OK;
}
static int shim_size(sqlite3_file *f, sqlite3_int64 *p) { return REAL(f)->pMethods->xFileSize(REAL(f), p); }
static int shim_lock(sqlite3_file *f, int l) { return REAL(f)->pMethods->xLock(REAL(f), l); }
static int shim_unlock(sqlite3_file *f, int l) { return REAL(f)->pMethods->xUnlock(REAL(f), l); }
static int shim_check(sqlite3_file *f, int *p) { return REAL(f)->pMethods->xCheckReservedLock(REAL(f), p); }
static int shim_control(sqlite3_file *f, int op, void *p) {
    // Hints that write or reserve space would pass the record by.
    if (op == SQLITE_FCNTL_SIZE_HINT || op == SQLITE_FCNTL_CHUNK_SIZE) return SQLITE_NOTFOUND;
    return REAL(f)->pMethods->xFileControl(REAL(f), op, p);
}
static int shim_sector(sqlite3_file *f) { return REAL(f)->pMethods->xSectorSize(REAL(f)); }
static int shim_device(sqlite3_file *f) { return REAL(f)->pMethods->xDeviceCharacteristics(REAL(f)); }

static const sqlite3_io_methods methods = {
    1, shim_close, shim_read, shim_write, shim_truncate, shim_sync, shim_size, shim_lock, shim_unlock, shim_check,
    shim_control, shim_sector, shim_device,
};

static int kind_of(const char *name) {
    size_t n = name ? strlen(name) : 0;
    if (n > 4 && strcmp(name + n - 4, "-wal") == 0) return RECORDING_WAL;
    if (n > 8 && strcmp(name + n - 8, "-journal") == 0) return RECORDING_JOURNAL;
    return RECORDING_DATABASE;
}

static int shim_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out) {
    recording *r = v->pAppData;
    if (!(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)))
        return r->real->xOpen(r->real, name, f, flags, out); // temporary files
    struct shim *s = (struct shim *)f;
    *s = (struct shim){.owner = r, .file = kind_of(name), .real = calloc(1, (size_t)r->real->szOsFile)};
    int rc = r->real->xOpen(r->real, name, s->real, flags, out);
    if (s->real->pMethods) s->base.pMethods = &methods;
    else free(s->real);
    return rc;
}
static int shim_delete(sqlite3_vfs *v, const char *name, int sync) {
    recording *r = v->pAppData;
    int fail = failure(r, RECORDING_DELETE);
    if (fail) return fail;
    int rc = r->real->xDelete(r->real, name, 0);
    if (rc == SQLITE_OK) append(r, RECORDING_DELETE, kind_of(name), sync, NULL, 0);
    return rc;
}

recording *recording_create(const char *name) {
    recording *r = calloc(1, sizeof *r);
    r->real = sqlite3_vfs_find(NULL);
    pthread_mutex_init(&r->lock, NULL);
    r->vfs = *r->real;
    r->vfs.zName = strdup(name);
    r->vfs.pAppData = r;
    r->vfs.pNext = NULL;
    r->vfs.xOpen = shim_open;
    r->vfs.xDelete = shim_delete;
    if (r->vfs.szOsFile < (int)sizeof(struct shim)) r->vfs.szOsFile = sizeof(struct shim);
    sqlite3_vfs_register(&r->vfs, 0);
    return r;
}

void recording_destroy(recording *r) {
    sqlite3_vfs_unregister(&r->vfs);
    for (size_t i = 0; i < r->count; i++) free(r->events[i].data);
    free(r->events);
    free((void *)r->vfs.zName);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

void recording_mark(recording *r, int64_t number) { append(r, RECORDING_MARK, 0, number, NULL, 0); }

size_t recording_count(recording *r) {
    pthread_mutex_lock(&r->lock);
    size_t n = r->count;
    pthread_mutex_unlock(&r->lock);
    return n;
}

struct recording_event recording_event_at(recording *r, size_t index) {
    pthread_mutex_lock(&r->lock);
    struct recording_event e = r->events[index];
    pthread_mutex_unlock(&r->lock);
    return e;
}

void recording_fail(recording *r, int kind, int after, int times, int code) {
    pthread_mutex_lock(&r->lock);
    r->fail_after[kind] = after;
    r->fail_times[kind] = times;
    r->fail_code[kind] = code;
    pthread_mutex_unlock(&r->lock);
}
