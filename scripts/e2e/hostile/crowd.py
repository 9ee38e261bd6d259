"""More writes at once than the server takes: who is not of system:masters gets 429 with Retry-After, and all is well after.

usage: crowd.py SETTINGS... token=TOKEN namespace=NS     the token's user may create ConfigMaps there
"""
import ctypes, os, time

from wire import *

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WALL = 0x40000000


def store_thread():
    """The one thread of noded's that writes to the store."""
    folder = f"/proc/{settings['pid']}/task"
    for thread in os.listdir(folder):
        with open(f"{folder}/{thread}/comm") as name:
            if name.read().strip() == "noded-store":
                return int(thread)
    raise AssertionError("noded has no thread named noded-store")


def settle():
    """Waits until noded has dealt with what it was sent, which on a busy machine takes its time: it uses next to no CPU then."""
    def ticks():
        with open(f"/proc/{settings['pid']}/stat") as stat:
            return sum(map(int, stat.read().rsplit(")", 1)[1].split()[11:13]))

    deadline, quiet = time.monotonic() + 60, 0
    while quiet < 3 and time.monotonic() < deadline:
        before = ticks()
        time.sleep(1)
        quiet = quiet + 1 if ticks() - before < 15 else 0


def trace(request, thread):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if libc.ptrace(request, thread, None, None) != 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x} of {thread}")


def crowd():
    """429: of 600 writes at once the server takes some and asks the others to come again"""
    before = resident()
    path = f"/api/v1/namespaces/{settings['namespace']}/configmaps"
    socks = [connect(certificate=False) for _ in range(600)]
    # The disk takes its time: the store's thread is held, so that writes wait for it, and nothing else is.
    thread = store_thread()
    trace(PTRACE_SEIZE, thread)
    trace(PTRACE_INTERRUPT, thread)
    os.waitpid(thread, WALL)
    try:
        for number, sock in enumerate(socks):
            body = configmap('{"a":"b"}', f"crowd-{number}")
            send(sock, head("POST", path, [f"Authorization: Bearer {settings['token']}", f"Content-Type: {JSON}", f"Content-Length: {len(body)}"]) + body)
        settle()
        # A server that is too busy is still looked after, and reads are answered.
        alive()
        assert ask("GET", path + "?limit=1").status == 200
    finally:
        trace(PTRACE_DETACH, thread)
    codes = {}
    for number, sock in enumerate(socks):
        found = answers(sock, 1)
        assert found, f"no answer to number {number}"
        answer = found[0]
        codes[answer.status] = codes.get(answer.status, 0) + 1
        if answer.status == 429:
            assert b"\r\nretry-after: 1" in answer.head.lower(), answer.head
            refused(answer, {429}, "TooManyRequests")
        sock.close()
    assert set(codes) == {201, 429}, codes
    # Others write, too: controllers do not count, the admin's neither.
    assert 150 <= codes[201] <= 200, codes
    listed = ask("GET", path + "?limit=1000")
    assert listed.text.count('"name":"crowd-') == codes[201], f"{codes}, {listed.text.count('crowd-')} stored"
    again = ask("POST", path, configmap('{"a":"b"}', "crowd-again"), fields=[f"Authorization: Bearer {settings['token']}"])
    assert again.status == 201, again
    assert resident() - before < 100


run([crowd])
