// A SQLite VFS that passes everything on to the default one and writes down what would reach a disk, so that a test
// can build the disk as it might be after a power cut at any moment. It can also make operations fail.
//
// Its files offer no shared memory (I/O methods version 1): a WAL database opens only with locking_mode=EXCLUSIVE.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum recording_kind {
    RECORDING_ANY = 0, // for recording_fail: every kind below but MARK
    RECORDING_WRITE = 1,
    RECORDING_TRUNCATE = 2, // offset is the new size
    RECORDING_SYNC = 3,
    RECORDING_DELETE = 4,
    RECORDING_MARK = 5, // offset is the test's number
};
enum recording_file { RECORDING_DATABASE = 0, RECORDING_WAL = 1, RECORDING_JOURNAL = 2 };

struct recording_event {
    int kind, file;
    int64_t offset, size;
    unsigned char *data;
};

typedef struct recording recording;

// Registers a VFS of that name. Lives until recording_destroy, which must come after the last close.
recording *recording_create(const char *name);
void recording_destroy(recording *r);
void recording_mark(recording *r, int64_t number);
size_t recording_count(recording *r);
// Valid until recording_destroy; the events do not change.
struct recording_event recording_event_at(recording *r, size_t index);
// Lets `after` more operations of that kind pass, then fails `times` with that SQLite code. A failing write has still
// reached the file, as it may on a real disk: all of it, or half with SQLITE_FULL. Other failing operations do nothing.
void recording_fail(recording *r, int kind, int after, int times, int code);
