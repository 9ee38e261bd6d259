"""Connections to an API server by hand: TLS, HTTP/1.1 as bytes, HTTP/2 as frames. Nothing here is polite.

Settings come as key=value arguments: host, port, ca, cert, key (the admin's), pid (noded's).
"""
import re, socket, ssl, struct, sys, time

settings = dict(argument.split("=", 1) for argument in sys.argv[1:] if "=" in argument)
address = (settings["host"], int(settings["port"]))
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
JSON, YAML = "application/json", "application/yaml"
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.I)


def connect(protocol="http/1.1", secure=True, certificate=True, source=None, timeout=30):
    raw = socket.create_connection(address, timeout=timeout, source_address=source)
    if not secure:
        return raw
    context = ssl.create_default_context(cafile=settings["ca"])
    context.check_hostname = False
    if certificate:
        context.load_cert_chain(settings["cert"], settings["key"])
    context.set_alpn_protocols([protocol])
    return context.wrap_socket(raw)


class Answer:
    def __init__(self, status, head, body):
        self.status, self.head, self.body = status, head, body

    def __repr__(self):
        return f"{self.status} {self.body[:300]!r}"

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")


def answers(sock, most=100):
    """The complete answers that come before the connection ends, at most so many; what is left over of another."""
    found, data = [], b""
    while len(found) < most:
        end = data.find(b"\r\n\r\n")
        if end >= 0:
            length = int((LENGTH.search(data, 0, end + 2) or [0, b"0"])[1])
            if len(data) >= end + 4 + length:
                found.append(Answer(int(data[9:12]), data[:end], data[end + 4 : end + 4 + length]))
                data = data[end + 4 + length :]
                continue
        try:
            part = sock.recv(1 << 18)
        except (OSError, ssl.SSLError):
            break
        if not part:
            break
        data += part
    return found


def send(sock, data):
    """Sends what the other side takes; how much that was at least."""
    sent = 0
    try:
        while sent < len(data):
            sent += sock.send(data[sent : sent + (1 << 16)])
    except (OSError, ssl.SSLError):
        pass
    return sent


def head(method, path, fields=()):
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def ask(method, path, body=b"", kind=JSON, fields=()):
    """One request over a connection of its own."""
    if isinstance(body, str):
        body = body.encode()
    with connect() as sock:
        send(sock, head(method, path, [f"Content-Type: {kind}", f"Content-Length: {len(body)}", *fields]) + body)
        found = answers(sock, 1)
    assert found, f"no answer to {method} {path[:80]}"
    return found[0]


def configmap(data, name="hostile"):
    text = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"%s"},"data":' % name
    return text.encode() + (data.encode() if isinstance(data, str) else data) + b"}"


def refused(answer, codes, *words):
    assert answer.status in codes, f"{answer}, wanted {codes}"
    assert '"kind":"Status"' in answer.text, f"no Status: {answer}"
    for word in words:
        assert word in answer.text, f"{answer}, wanted {word!r}"


def alive():
    """The server answers somebody else, now."""
    begun = time.monotonic()
    assert ask("GET", "/readyz").status == 200
    assert time.monotonic() - begun < 10, "it took too long"


def is_cut(sock, seconds):
    """Waits for the other side to end the connection."""
    sock.settimeout(1)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if not sock.recv(1 << 16):
                return True
        except (TimeoutError, socket.timeout):
            continue
        except (OSError, ssl.SSLError):
            return True
    return False


def resident():
    with open(f"/proc/{settings['pid']}/status") as status:
        return next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmRSS"))


def run(checks):
    """Runs them all; a line each: `ok NAME` or `FAIL NAME: why`."""
    for check in checks:
        name = check.__doc__.split("\n")[0].rstrip(".")
        try:
            check()
            alive()
            print(f"ok {name}", flush=True)
        except Exception as error:
            print(f"FAIL {name}: {type(error).__name__}: {error}".replace("\n", " ")[:800], flush=True)


# HTTP/2 (RFC 9113)

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, ACK = 1, 4, 1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def field(name, value):
    """A literal that is not indexed (RFC 7541, 6.2.2), without Huffman; shorter than 127 bytes or with a length behind."""

    def text(content):
        content = content.encode() if isinstance(content, str) else content
        if len(content) < 127:
            return bytes([len(content)]) + content
        rest, prefix = len(content) - 127, b"\x7f"
        while rest > 127:
            prefix += bytes([rest % 128 + 128])
            rest //= 128
        return prefix + bytes([rest]) + content

    return b"\0" + text(name) + text(value)


def fields(method="GET", path="/readyz", *more):
    block = field(":method", method) + field(":path", path) + field(":scheme", "https") + field(":authority", "x")
    return block + b"".join(field(name, value) for name, value in more)


def connect2():
    sock = connect("h2")
    send(sock, PREFACE + frame(SETTINGS))
    return sock


def frames(sock, seconds):
    """(kind, flags, stream, payload) of what comes, until the end or for so long."""
    data, deadline = b"", time.monotonic() + seconds
    sock.settimeout(0.5)
    while time.monotonic() < deadline:
        try:
            part = sock.recv(1 << 18)
            if not part:
                return
        except (TimeoutError, socket.timeout):
            continue
        except (OSError, ssl.SSLError):
            return
        data += part
        while len(data) >= 9 and len(data) >= 9 + (size := int.from_bytes(data[:3], "big")):
            yield data[3], data[4], int.from_bytes(data[5:9], "big") & 0x7FFFFFFF, data[9 : 9 + size]
            data = data[9 + size :]
