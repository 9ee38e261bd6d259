"""HTTP/2 that is abuse: floods of frames that cost the server more than the client. Each connection is ended by the
server (GOAWAY or closed), memory stays, and others are answered meanwhile."""
import os, struct

from wire import *


def abuse(data, seconds=20, most=100):
    """Sends it, ends in being cut; the error code of the GOAWAY, when there was one."""
    before = resident()
    sock = connect2()
    send(sock, data)
    alive()
    code, ended = None, False
    for kind, _, _, payload in frames(sock, seconds):
        if kind == GOAWAY:
            code = int.from_bytes(payload[4:8], "big")
    ended = is_cut(sock, 1)
    sock.close()
    grown = resident() - before
    assert grown < most, f"{grown} MB more"
    return code, ended


def ended(data, what=""):
    code, cut = abuse(data)
    assert cut, f"{what} the connection stays (GOAWAY {code})"


def request(stream, block=None, end=True):
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block or fields())


def rapid_reset():
    """HTTP/2 rapid reset: 20,000 streams begun and given up"""
    ended(b"".join(request(stream) + frame(RST_STREAM, 0, stream, struct.pack(">I", 8)) for stream in range(1, 40_001, 2)))


def pings():
    """HTTP/2 ping flood, answers unread"""
    ended(frame(PING, 0, 0, b"12345678") * 500_000)


def settings_flood():
    """HTTP/2 settings flood, answers unread"""
    ended(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) * 300_000)


def continuations():
    """HTTP/2 continuation flood: a head without end"""
    many = b"".join(field(f"x{n}", "a" * 100) for n in range(140))
    ended(frame(HEADERS, 0, 1, fields()) + frame(CONTINUATION, 0, 1, many) * 2000)
    ended(frame(HEADERS, 0, 1, fields()) + frame(CONTINUATION, 0, 1, b"") * 100_000)


def empty_data():
    """HTTP/2 flood of empty data frames"""
    ended(request(1, fields("POST", CONFIGMAPS, ("content-type", JSON)), end=False) + frame(DATA, 0, 1, b"") * 500_000)


def header_bomb():
    """HTTP/2 header bombs: a field of the table named a hundred thousand times"""
    entry = b"\x40\x01a\x7f" + bytes([4000 - 127 & 127 | 128, 4000 - 127 >> 7]) + b"v" * 4000
    sock = connect2()
    send(sock, frame(HEADERS, END_HEADERS | END_STREAM, 1, fields() + entry))
    for stream in range(3, 41, 2):
        send(sock, frame(HEADERS, END_HEADERS | END_STREAM, stream, fields() + b"\xbe" * 16000))
    before, seen = resident(), 0
    for kind, _, stream, payload in frames(sock, 5):
        seen += kind in (RST_STREAM, GOAWAY) or kind == HEADERS and stream > 1
    sock.close()
    assert resident() - before < 100 and seen


def too_many_streams():
    """HTTP/2: more streams at a time than allowed are refused, the others answered"""
    sock = connect2()
    open_streams = b"".join(request(stream, fields("GET", "/api/v1/configmaps?watch=true&timeoutSeconds=5"), end=True) for stream in range(1, 801, 2))
    send(sock, open_streams)
    answered, refusals, gone = 0, 0, False
    for kind, _, stream, payload in frames(sock, 4):
        answered += kind == HEADERS
        refusals += kind == RST_STREAM
        gone |= kind == GOAWAY
    sock.close()
    assert answered <= 250 and (refusals or gone), (answered, refusals, gone)


def broken_frames():
    """HTTP/2 frames against the rules: sizes, streams, windows, states, noise"""
    window = frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0x7FFFFFFF))
    for name, data in {
        "a frame larger than allowed": frame(DATA, 0, 1, b"a" * 20_000),
        "a ping of 7 bytes": frame(PING, 0, 0, b"1234567"),
        "settings of 5 bytes": frame(SETTINGS, 0, 0, b"12345"),
        "settings on a stream": frame(SETTINGS, 0, 1),
        "data on no stream": frame(DATA, 0, 0, b"x"),
        "data on a stream that is not open": frame(DATA, 0, 99, b"x"),
        "an even stream": request(2),
        "a stream that goes back": request(5) + request(3),
        "a push from a client": frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2" + fields()),
        "a window that overflows": window * 2,
        "a window of nothing": frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\0"),
        "an initial window of 2^32-1": frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0xFFFFFFFF)),
        "a continuation of nothing": frame(CONTINUATION, END_HEADERS, 1, fields()),
        "padding longer than the frame": frame(DATA, 8, 1, b"\xff"),
        "headers that are no HPACK": frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff" * 100),
        "noise": os.urandom(50_000),
    }.items():
        ended(data, name)


def bad_requests():
    """HTTP/2 requests that are none: reset or refused, and nothing else happens"""
    blocks = {
        "no method": field(":path", "/") + field(":scheme", "https"),
        "two paths": fields() + field(":path", "/x"),
        "capital letters": fields() + field("X-Upper", "1"),
        "connection": fields() + field("connection", "keep-alive"),
        "transfer-encoding": fields("POST", CONFIGMAPS, ("transfer-encoding", "chunked")),
        "a line end in a value": fields() + field("x", "a\r\nb: c"),
        "a line end in the path": fields("GET", "/readyz HTTP/1.1\r\nHost: y\r\n\r\nGET /x"),
        "a length that is not true": fields("POST", CONFIGMAPS, ("content-length", "5")),
        "a pseudo field behind others": field("a", "b") + fields(),
    }
    for name, block in blocks.items():
        sock = connect2()
        send(sock, request(1, block))
        outcome = None
        for kind, _, stream, payload in frames(sock, 30):
            if kind in (RST_STREAM, GOAWAY) or kind == HEADERS and stream == 1:
                outcome = kind
                # A literal or indexed :status 200 would begin with 0x88.
                assert kind != HEADERS or not payload.startswith(b"\x88"), f"{name}: answered with 200"
                break
        sock.close()
        assert outcome is not None, f"{name}: neither refused nor reset"


def large_bodies():
    """HTTP/2 bodies of 100 MB: 413, mostly unread"""
    before = resident()
    sock = connect2()
    send(sock, request(1, fields("POST", CONFIGMAPS, ("content-type", JSON)), end=False))
    sock.settimeout(3)
    sent = send(sock, frame(DATA, 0, 1, b" " * 16384) * 6000)
    sock.close()
    assert sent < 50_000_000, f"it took {sent} bytes"
    assert resident() - before < 100


run([rapid_reset, pings, settings_flood, continuations, empty_data, header_bomb, too_many_streams, broken_frames, bad_requests, large_bodies])
