"""HTTP/1.1 that is ambiguous, endless or none at all, TLS that is none, WebSockets that break their rules.

A request that two programs could read differently must never become two requests: one answer at most, then the end.

usage: http1.py SETTINGS... [exec=PATH of an exec request]
"""
import base64, os, random, struct

from wire import CONFIGMAPS, answers, connect, head, is_cut, refused, resident, run, send, settings

SECOND = b"GET /api/v1/namespaces/kube-system HTTP/1.1\r\nHost: x\r\n\r\n"


def single(data, codes=(400,)):
    """At most one answer, one of these, and the connection ends."""
    with connect() as sock:
        send(sock, data)
        sock.settimeout(8)
        found = answers(sock, 5)
    assert len(found) <= 1 and all(answer.status in codes for answer in found), f"{data[:120]!r}: {found}"


def post(*fields, body=b""):
    return head("POST", CONFIGMAPS + "?dryRun=All", ["Content-Type: application/json", *fields]) + body


def both_lengths():
    """smuggling: Content-Length with Transfer-Encoding, and lengths that disagree"""
    for fields in [
        ("Content-Length: 6", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 6"),
        ("Content-Length: 0", "Content-Length: 44"),
        ("Content-Length: 44", "Content-Length: 44"),
        ("Content-Length: 0, 44",),
        ("Content-Length: +5",),
        ("Content-Length: -1",),
        ("Content-Length: 0x10",),
        ("Content-Length: 99999999999999999999999",),
        ("Content-Length: 5 5",),
        ("Content-Length:",),
        ("Transfer-Encoding: xchunked",),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding: gzip",),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
    ]:
        single(post(*fields, body=b"0\r\n\r\n" + SECOND))


def bad_chunks():
    """smuggling: chunk sizes that are none, too large or do not fit their chunk"""
    for chunk in [b"zz\r\n", b"-1\r\n", b"0x5\r\n", b"fffffffffffffffff\r\n", b"5 5\r\nabcde\r\n", b"3\r\nabcdef\r\n0\r\n\r\n", b"\r\n0\r\n\r\n", b"5\nabcde\n0\n\n", b" 0\r\n\r\n"]:
        single(post("Transfer-Encoding: chunked", body=chunk + SECOND))


def odd_lines():
    """smuggling: folded fields, bare line feeds, spaces before colons, control characters"""
    for data in [
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length : 44\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n Content-Length: 44\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX\0Y: z\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\rContent-Length: 44\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n: empty\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\nContent-Length: 44\n\n",
        b"GET /\tx HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1 \r\nHost: x\r\n\r\n",
        b"GET / HTTP/11.1\r\nHost: x\r\n\r\n",
        b"GET / http/1.1\r\nHost: x\r\n\r\n",
        b"get / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET\r\n\r\n",
    ]:
        single(data + SECOND)


def large_heads():
    """heads without end: fields, one field, the target"""
    before = resident()
    for data in [
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 500_000,
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X%d: y\r\n" % n for n in range(1000)) + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 10_000_000,
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"x" * 10_000_000,
        b"GET /" + b"a" * 10_000_000,
        b"G" * 10_000_000,
    ]:
        single(data, (400, 431))
    assert resident() - before < 50


def not_tls():
    """TLS garbage: random bytes, plain HTTP, cut and false handshakes"""
    generator = random.Random(7)
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(generator.randrange(256) for _ in range(505))
    socks = []
    for data in [
        *(bytes(generator.randrange(256) for _ in range(300)) for _ in range(50)),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        hello,
        hello[:100],
        b"\x16\x03\x01\xff\xff" + b"a" * 65535,
        b"\x15\x03\x01\x00\x02\x02\x28" * 1000,
        b"\x16\x03\x00\x00\x05" + b"a" * 5,
        b"\x80\x2e\x01\x00\x02" + b"\0" * 41,
        b"\x17\x03\x03\x40\x00" + b"a" * 16384,
    ]:
        sock = connect(secure=False)
        send(sock, data)
        socks.append(sock)
    # Some wait for more of a record; the others are cut now.
    cut = sum(is_cut(sock, 0.2) for sock in socks[:20])
    for sock in socks:
        sock.close()
    assert cut > 10, f"only {cut} of 20 are cut"
    # Random bytes inside of TLS, where HTTP should be.
    with connect() as sock:
        send(sock, os.urandom(10_000))
        assert all(answer.status == 400 for answer in answers(sock, 2))


def renegotiation():
    """a thousand handshakes that end at once"""
    before = resident()
    for _ in range(1000):
        connect().close()
    assert resident() - before < 50


def upgrade(key="dGhlIHNhbXBsZSBub25jZQ==", version="13", protocol="v5.channel.k8s.io", extra=()):
    sock = connect()
    fields = ["Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Key: {key}", f"Sec-WebSocket-Version: {version}", f"Sec-WebSocket-Protocol: {protocol}", *extra]
    send(sock, head("GET", settings["exec"], fields))
    return sock


def upgraded(sock):
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(1)
        assert part, f"no answer to the upgrade: {data!r}"
        data += part
    return data


def message(opcode, payload, final=True, masked=True, reserved=0, length=None):
    size = len(payload) if length is None else length
    first = bytes([(128 if final else 0) | reserved << 4 | opcode])
    mask = 128 if masked else 0
    second = bytes([mask | size]) if size < 126 else bytes([mask | 126]) + struct.pack(">H", size) if size < 65536 else bytes([mask | 127]) + struct.pack(">Q", size)
    return first + second + (b"\0\0\0\0" if masked else b"") + payload


def websocket_frames():
    """WebSocket garbage on exec: each connection is ended, none stays"""
    before = resident()
    for name, data in {
        "unmasked": message(2, b"\0ls\n", masked=False) * 100,
        "reserved bits": message(2, b"\0x", reserved=7),
        "reserved opcode": message(3, b"\0x"),
        "a length of 2^63": message(2, b"", length=1 << 63),
        "a length of 4 GB": message(2, b"a" * 100_000, length=1 << 32),
        "a long ping": message(9, b"a" * 1000),
        "a ping in pieces": message(9, b"a", final=False),
        "a continuation of nothing": message(0, b"a"),
        "pieces without end": message(2, b"\0", final=False) + message(0, b"a" * 16384, final=False) * 200,
        "noise": os.urandom(20_000),
    }.items():
        sock = upgrade()
        reply = upgraded(sock)
        assert reply.startswith(b"HTTP/1.1 101"), f"{name}: {reply!r}"
        send(sock, data)
        assert is_cut(sock, 15), f"{name}: the connection stays"
        sock.close()
    assert resident() - before < 50


def websocket_messages():
    """WebSocket messages that mean nothing: unknown channels, sizes that are no JSON, text where bytes belong"""
    sock = upgrade()
    assert upgraded(sock).startswith(b"HTTP/1.1 101")
    for payload in [b"", b"\xc8x", b"\x04{", b"\x04" + b"[" * 10_000, b'\x04{"Width":-1,"Height":99999999999999999999}', b"\xff\xff", b"\xff\x00", b"\x01out"]:
        send(sock, message(2, payload) + message(1, payload))
    send(sock, b"".join(message(9, b"p") for _ in range(1000)))
    send(sock, message(8, struct.pack(">H", 1000)))
    assert is_cut(sock, 15), "the connection stays"
    sock.close()


def websocket_heads():
    """upgrades that are none: refused, and the command does not run"""
    for arguments in [{"version": "12"}, {"key": ""}, {"key": "short"}, {"protocol": "nonsense"}, {"extra": ["Content-Length: 5"]}, {"extra": ["Transfer-Encoding: chunked"]}]:
        with upgrade(**arguments) as sock:
            sock.settimeout(10)
            found = answers(sock, 1)
            assert not found or 400 <= found[0].status < 500, f"{arguments}: {found}"


checks = [both_lengths, bad_chunks, odd_lines, large_heads, not_tls, renegotiation]
run(checks + ([websocket_frames, websocket_messages, websocket_heads] if "exec" in settings else []))
