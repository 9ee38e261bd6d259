#!/usr/bin/env python3
"""Sends malformed requests to an API server over TLS and counts what comes back.

usage: malformed.py HOST PORT CA CERT KEY COUNT

Most are well-formed HTTP with nonsense in it (bodies, patches, selectors, tokens, versions, paths), pipelined; some are no
HTTP at all, or no TLS, or stop in the middle. Prints `N requests: N refused (4xx), N connections cut`; every other answer
(2xx, 3xx, 5xx, none at all) is printed and makes the exit code 1.
"""
import os, random, re, socket, ssl, sys

host, port, ca, cert, key, count = sys.argv[1], int(sys.argv[2]), *sys.argv[3:6], int(sys.argv[6])
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.I)
STATUS = re.compile(rb"HTTP/1\.1 (\d\d\d) [A-Z][^\r\n]*\r\n")
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
JSON, YAML = "application/json", "application/yaml"


def request(method, path, body=b"", kind=JSON):
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def configmap(data):
    return b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"malformed"},"data":' + data + b"}"


FIXED = [
    request("POST", CONFIGMAPS, b""),
    request("POST", CONFIGMAPS, b"{"),
    request("POST", CONFIGMAPS, b"[" * 20000),
    request("POST", CONFIGMAPS, configmap(b'{"a":' * 2000 + b"1" + b"}" * 2000)),
    request("POST", CONFIGMAPS, configmap(b'{"a":"\xff\xfe"}')),
    request("POST", CONFIGMAPS, configmap(b'{"a":1e999}')),
    request("POST", CONFIGMAPS, configmap(b'{"a":99999999999999999999}')),
    request("POST", CONFIGMAPS + "?fieldValidation=Strict", configmap(b'{"a":"1","a":"2"}')),
    request("POST", CONFIGMAPS, b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"../../etc"}}'),
    request("POST", CONFIGMAPS, b'{"apiVersion":"v2","kind":"Pod"}'),
    request("POST", CONFIGMAPS, b"a: [", YAML),
    request("POST", CONFIGMAPS, b"a: &a [*a,*a]", YAML),
    request("POST", CONFIGMAPS, b"k8s\x00\x0a", "application/vnd.kubernetes.protobuf"),
    request("POST", CONFIGMAPS, b"x", "text/plain"),
    request("POST", DEPLOYMENTS, b'{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"malformed"},"spec":{}}'),
    request("PATCH", CONFIGMAPS + "/kube-root-ca.crt", b"[{}]", "application/json-patch+json"),
    request("PATCH", CONFIGMAPS + "/kube-root-ca.crt", b"[1]", "application/merge-patch+json"),
    request("PATCH", CONFIGMAPS + "/none", b"{}", "application/strategic-merge-patch+json"),
    request("DELETE", CONFIGMAPS + "/kube-root-ca.crt", b'{"kind":"Pod","apiVersion":"v1"}'),
    request("GET", CONFIGMAPS + "?labelSelector=a=b=c"),
    request("GET", CONFIGMAPS + "?fieldSelector=no.such=x"),
    request("GET", CONFIGMAPS + "?continue=bm9uc2Vuc2U"),
    request("GET", CONFIGMAPS + "?resourceVersion=-1"),
    request("GET", CONFIGMAPS + "?limit=ten"),
    request("GET", CONFIGMAPS + "/%00%ff"),
    request("GET", "/api/v1/%2e%2e/%2e%2e/etc/passwd"),
    request("GET", "/apis/none/v1/things"),
]
BREAKING = [
    b"\x00\xff\r\n\r\n",
    request("BREW", CONFIGMAPS),
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\nContent-Length: minus\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
    request("POST", CONFIGMAPS).replace(b"Content-Length: 0", b"Content-Length: 100000000"),
]
random.seed(20)


def mutated():
    """A request whose body was hit at random."""
    body = bytearray(configmap(b'{"a":"b"}'))
    for _ in range(random.randint(1, 5)):
        body[random.randrange(20)] = random.randrange(256)
    return request("POST", CONFIGMAPS + "?fieldValidation=Strict&dryRun=All", bytes(body))


def connect(secure=True):
    raw = socket.create_connection((host, port), timeout=30)
    if not secure:
        return raw
    context = ssl.create_default_context(cafile=ca)
    context.check_hostname = False
    context.load_cert_chain(cert, key)
    context.set_alpn_protocols(["http/1.1"])
    return context.wrap_socket(raw)


class Reader:
    """Status codes of pipelined answers, found without looking at every answer's head."""

    def __init__(self, sock):
        self.sock, self.data = sock, b""

    def codes(self, number):
        """Those of the next so many answers; fewer when the connection ends."""
        while True:
            starts = list(STATUS.finditer(self.data))
            if len(starts) >= number:
                end = self.end(starts[number - 1].start())
                if end is not None:
                    self.data = self.data[end:]
                    return [int(start[1]) for start in starts[:number]]
            try:
                part = self.sock.recv(1 << 20)
            except OSError:
                part = b""
            if not part:
                return [int(start[1]) for start in starts[:number]]
            self.data += part

    def end(self, start):
        """Where the answer that begins there ends; None while it is not all there."""
        head = self.data.find(b"\r\n\r\n", start)
        if head < 0:
            return None
        end = head + 4 + int((LENGTH.search(self.data, start, head + 2) or [0, b"0"])[1])
        return end if end <= len(self.data) else None


BATCHES, SIZE = 100, 100


def break_one():
    """A connection that ends in something that is no HTTP, or no TLS; (refused, cut, strange)."""
    with connect(secure=False) as other:
        other.sendall(os.urandom(200))
    with connect() as other:
        try:
            other.sendall(random.choice(BREAKING))
            codes = Reader(other).codes(1)
            return len(codes), 1 + (not codes), sum(not 400 <= code < 500 for code in codes)
        except OSError:
            return 0, 2, 0


def run(number):
    sent = refused = cut = strange = 0
    batches = [b"".join(random.choice(FIXED) if random.random() < 0.7 else mutated() for _ in range(SIZE)) for _ in range(BATCHES)]
    sock = connect()
    reader, waiting = Reader(sock), 0
    while sent < number or waiting:
        if sent < number:
            sock.sendall(random.choice(batches))
            sent += SIZE
            waiting += 1
            if waiting == 1:
                continue
        codes = reader.codes(SIZE)
        waiting -= 1
        refused += sum(400 <= code < 500 for code in codes)
        # A mutation may leave the object whole; it is a dry run.
        odd = [code for code in codes if not 400 <= code < 500 and code != 201]
        strange += len(odd) + SIZE - len(codes)
        if odd or len(codes) < SIZE:
            print("strange:", odd, SIZE - len(codes), "without an answer", flush=True)
        if len(codes) < SIZE:
            sock = connect()
            reader, waiting = Reader(sock), 0
        if random.random() < 0.1:
            counts = break_one()
            refused, cut, strange, sent = refused + counts[0], cut + counts[1], strange + counts[2], sent + 2
    return sent, refused, cut, strange


workers = 2
pipes = []
for worker in range(workers):
    reader, writer = os.pipe()
    if os.fork() == 0:
        random.seed(worker)
        os.write(writer, repr(run(count // workers)).encode())
        os._exit(0)
    os.close(writer)
    pipes.append(reader)
results = [os.read(pipe, 4096) for pipe in pipes]
if not all(results):
    print("a worker died")
    sys.exit(1)
sent, refused, cut, strange = map(sum, zip(*(eval(result) for result in results)))
print(f"{sent} requests: {refused} refused (4xx), {cut} connections cut, {strange} strange")
sys.exit(1 if strange else 0)
