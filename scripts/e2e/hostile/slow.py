"""Clients that are slow or gone: what they hold is let go within the stated limits (30 s for a request to arrive or a
handshake to end, a minute and some without a sign of life).

usage: slow.py SETTINGS... from=ADDRESS [vanish=COMMAND]
  from     an address of this network namespace that only these clients use
  vanish   a shell command after which nothing from or to that address passes
"""
import subprocess, threading, time

from wire import *

source = (settings["from"], 0)
# TLS waits five seconds for the other side to say goodbye, too.
REQUEST_SECONDS = 30 + 5 + 15
GONE_SECONDS = 60 + 40


def descriptors():
    """Sockets of noded's with these clients at the other end; one that it has closed has no inode."""
    remote = "%08X" % int.from_bytes(socket.inet_aton(source[0]), "little")
    with open(f"/proc/{settings['pid']}/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    return sum(row[2].startswith(remote) and row[9] != "0" for row in rows)


def drip(socks, data, name):
    """A byte of it each second and connection, until they are cut."""
    begun, open_socks, position = time.monotonic(), list(socks), 0
    while open_socks and time.monotonic() - begun < REQUEST_SECONDS:
        for sock in list(open_socks):
            try:
                sock.settimeout(0.01)
                sock.send(data[position : position + 1] or b"a")
                try:
                    while sock.recv(4096):
                        pass
                    open_socks.remove(sock)
                except (TimeoutError, ssl.SSLWantReadError):
                    pass
            except (OSError, ssl.SSLError):
                open_socks.remove(sock)
        position += 1
        time.sleep(0.5)
    for sock in socks:
        sock.close()
    return len(open_socks)


def slow_loris():
    """slow-loris clients, 250 of them: heads, bodies, handshakes and HTTP/2 heads byte by byte are cut within 30 s"""
    kinds = {
        "heads": ([connect(source=source) for _ in range(50)], b"GET /readyz HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100),
        "bodies": ([connect(source=source) for _ in range(50)], b""),
        "handshakes": ([connect(source=source, secure=False) for _ in range(50)], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 100),
        "HTTP/2 bodies": ([connect("h2", source=source) for _ in range(50)], b""),
        "HTTP/2 heads": ([connect("h2", source=source) for _ in range(50)], PREFACE + frame(SETTINGS) + frame(HEADERS, 0, 1, b"a" * 200)),
    }
    for sock in kinds["bodies"][0]:
        send(sock, head("POST", CONFIGMAPS, ["Content-Type: application/json", "Content-Length: 1000"]))
    for sock in kinds["HTTP/2 bodies"][0]:
        send(sock, PREFACE + frame(SETTINGS) + frame(HEADERS, END_HEADERS, 1, fields("POST", CONFIGMAPS, ("content-type", JSON))))
    left = {}

    def work(name, socks, data):
        left[name] = drip(socks, data, name) if name != "HTTP/2 bodies" else reset(socks)

    threads = [threading.Thread(target=work, args=(name, *kind)) for name, kind in kinds.items()]
    for thread in threads:
        thread.start()
    alive()
    for thread in threads:
        thread.join()
    assert not any(left.values()), f"still open: {left}"


def reset(socks):
    """How many of these have a stream that was not ended for them."""
    left, deadline = 0, time.monotonic() + REQUEST_SECONDS
    for sock in socks:
        told = any(kind in (RST_STREAM, GOAWAY) or kind == HEADERS for kind, _, _, _ in frames(sock, max(1, deadline - time.monotonic())))
        # It ends before the time is over when the connection does.
        left += not told and time.monotonic() >= deadline
        sock.close()
    return left


def half_open():
    """half-open connections: a client that vanished while idle, asking, watching or reading is let go within a minute and some"""
    idle = [connect(source=source) for _ in range(20)]
    for sock in idle:
        send(sock, head("GET", "/readyz"))
        assert answers(sock, 1)
    asking = [connect(source=source) for _ in range(20)]
    for sock in asking:
        send(sock, b"POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
    watching = [connect(source=source) for _ in range(20)]
    for sock in watching:
        send(sock, head("GET", CONFIGMAPS + "?watch=true"))
        sock.recv(100)
    two = [connect("h2", source=source) for _ in range(20)]
    for sock in two:
        send(sock, PREFACE + frame(SETTINGS) + frame(HEADERS, END_HEADERS | END_STREAM, 1, fields("GET", CONFIGMAPS + "?watch=true")))
        sock.recv(100)
    # Those of the check before may be on their way out.
    # One look decides: the kernel's table may show a row twice, or not, when others change while it is read.
    deadline = time.monotonic() + 60
    while (count := descriptors()) != 80 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert count == 80, count
    subprocess.run(settings["vanish"], shell=True, check=True)
    # What watchers are told now is never acknowledged.
    for name in ("one", "two"):
        assert ask("POST", CONFIGMAPS, configmap('{"a":"b"}', "vanished")).status == 201
        assert ask("DELETE", CONFIGMAPS + "/vanished").status == 200
    deadline = time.monotonic() + GONE_SECONDS
    while descriptors() and time.monotonic() < deadline:
        time.sleep(1)
    assert not descriptors(), f"{descriptors()} of 80 descriptors are still held"


run([slow_loris] + ([half_open] if "vanish" in settings else []))
