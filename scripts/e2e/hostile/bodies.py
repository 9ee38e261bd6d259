"""Bodies that no honest client sends: each is refused with a Status that says why, and the server goes on."""
import gzip, json

from wire import CONFIGMAPS, JSON, YAML, answers, ask, configmap, connect, head, refused, resident, run, send

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
DRY = CONFIGMAPS + "?dryRun=All"


def post(body, kind=JSON, query="?dryRun=All", path=CONFIGMAPS, fields=()):
    return ask("POST", path + query, body, kind, fields)


def deployment(replicas):
    return (
        '{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"hostile"},"spec":{"replicas":%s,"selector":'
        '{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}'
        % replicas
    )


def json_depth():
    """depth bombs in JSON, arrays and objects, open and closed"""
    for body in [b"[" * 3_000_000, b'{"a":' * 500_000, configmap('{"a":' * 20_000 + "1" + "}" * 20_000), configmap("[" * 20_000 + "]" * 20_000)]:
        refused(post(body), {400}, "exceeded max depth")


def yaml_depth():
    """depth bombs in YAML, sequences and mappings, flow and block"""
    for body in ["[" * 3_000_000, "{a: " * 500_000, "- " * 1_000_000, "? " * 100_000, "".join(" " * n + "a:\n" for n in range(1500))]:
        refused(post(body, YAML), {400}, "max depth")


def alias_depth():
    """YAML aliases that nest ever deeper"""
    lines = [f"a{n}: &a{n} " + "[" * 400 + (f"*a{n - 1}" if n else "x") + "]" * 400 for n in range(90)]
    refused(post("\n".join(lines), YAML), {400}, "exceeded max depth")


def laughs():
    """YAML billion laughs, in sequences, mappings and merge keys"""
    sequences = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(f"a{n}: &a{n} [" + ",".join([f"*a{n - 1}"] * 9) + "]\n" for n in range(1, 12))
    mappings = "a0: &a0 {k: v}\n" + "".join(f"a{n}: &a{n} {{" + ",".join(f"k{m}: *a{n - 1}" for m in range(9)) + "}\n" for n in range(1, 12))
    merges = "a: &a {" + ",".join(f"k{n}: v" for n in range(50_000)) + "}\nb:\n  <<: [" + ",".join(["*a"] * 50_000) + "]\n"
    for body in [sequences, mappings, merges]:
        refused(post(body, YAML), {400}, "excessive aliasing")
    refused(post("a: &a [*a]", YAML), {400}, "unknown anchor")


def many_keys():
    """a body of nothing but keys, in JSON and YAML"""
    keys = [f"k{n}" for n in range(200_000)]
    refused(post("{" + ",".join(f'"{key}":1' for key in keys) + "}"), {400, 422})
    refused(post("".join(f"{key}: 1\n" for key in keys), YAML), {400, 422})


def deepening_patch():
    """a JSON patch whose operations nest ever deeper"""
    inner = "1"
    for _ in range(300):
        inner = '{"a":%s}' % inner
    operations = ['{"op":"add","path":"/t0","value":%s}' % inner]
    for n in range(1, 300):
        operations += ['{"op":"add","path":"/t%d","value":%s}' % (n, inner), '{"op":"move","from":"/t%d","path":"/t%d%s"}' % (n - 1, n, "/a" * 250)]
    for body in ["[" + ",".join(operations) + "]", '[{"op":"add","path":"%s","value":1}]' % ("/a" * 500_000)]:
        answer = ask("PATCH", CONFIGMAPS + "/kube-root-ca.crt?dryRun=All", body, "application/json-patch+json")
        refused(answer, {400, 422}, "exceeded max depth")


def numbers():
    """numbers that do not fit: exponents, 20 digits, fractions; and -0, which does"""
    for number in ["1e999999", "-1e999999", "99999999999999999999", "-9223372036854775809", "2147483648", "1.5", "0x10", "01", "1e", "1e0", "--1", "1" * 5000, "NaN"]:
        refused(post(deployment(number), path=DEPLOYMENTS), {400, 422})
    for number in ["-0", "0"]:
        answer = post(deployment(number), path=DEPLOYMENTS)
        assert answer.status == 201, f"{number}: {answer}"
        assert json.loads(answer.body)["spec"]["replicas"] == 0, answer


def duplicates():
    """duplicate keys: an error when strict, a warning when not, nothing when ignored"""
    for body, kind, word in [
        (configmap('{"a":"1","a":"2"}'), JSON, 'duplicate field \\"data.a\\"'),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: hostile}\ndata:\n  a: x\n  a: z\n", YAML, "already set in map"),
    ]:
        refused(post(body, kind, "?dryRun=All&fieldValidation=Strict"), {400}, word)
        warned, ignored = post(body, kind), post(body, kind, "?dryRun=All&fieldValidation=Ignore")
        assert warned.status == 201 and b"\r\nwarning: 299" in warned.head.lower(), warned.head
        assert ignored.status == 201 and b"\r\nwarning:" not in ignored.head.lower(), ignored.head


def text():
    """invalid UTF-8 and lone surrogates, in JSON, YAML, paths, queries and header fields"""
    for bad in [b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xff\xfe", rb"\ud800", rb"\udc00x", rb"\ud800\ud800", rb"\u12", b"\x00"]:
        refused(post(configmap(b'{"a":"' + bad + b'"}')), {400})
        refused(post(configmap(b'{"' + bad + b'":"a"}')), {400})
    for bad in [b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xff", b"\x00", b"\x07"]:
        refused(post(b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: hostile}\ndata: {a: '" + bad + b"'}\n", YAML), {400})
    assert ask("GET", CONFIGMAPS + "/%ff%fe%00").status == 404
    refused(ask("GET", CONFIGMAPS + "?labelSelector=%ff%3d%c0%af"), {400})
    with connect() as sock:
        send(sock, b"GET /readyz HTTP/1.1\r\nHost: x\r\nX: \xff\xfe\xed\xa0\x80\r\n\r\n")
        assert [answer.status for answer in answers(sock, 1)] in ([200], [400])


def told_length():
    """a body of 100 MB whose length is told: 413, unread"""
    with connect() as sock:
        send(sock, head("POST", CONFIGMAPS, ["Content-Type: application/json", "Content-Length: 100000000"]))
        found = answers(sock, 1)
        assert found and found[0].status == 413, found
        refused(found[0], {413}, "Request entity too large: limit is 3145728")
        sent = send(sock, b" " * 100_000_000)
    assert sent < 50_000_000, f"it took {sent} bytes"


def chunks():
    """bodies of 100 MB in chunks, twenty at once: 413, mostly unread, memory stays"""
    before = resident()
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    socks = [connect() for _ in range(20)]
    total = 0
    for sock in socks:
        send(sock, head("POST", CONFIGMAPS, ["Content-Type: application/json", "Transfer-Encoding: chunked"]))
    for _ in range(60):
        for sock in socks:
            total += send(sock, chunk)
    for sock in socks:
        found = answers(sock, 1)
        assert found and found[0].status == 413, found
        sock.settimeout(5)
        sent = send(sock, chunk * 1500)
        assert sent < 50_000_000, f"it took {sent} bytes"
        sock.close()
    grown = resident() - before
    assert grown < 150, f"{grown} MB more"


def compressed():
    """bodies with Content-Encoding, bombs among them: refused, not unpacked"""
    before = resident()
    plain = configmap('{"a":"b"}')
    for coding in ["gzip", "deflate", "br", "gzip, gzip", "identity, gzip"]:
        refused(post(gzip.compress(plain), fields=[f"Content-Encoding: {coding}"]), {400, 415})
    refused(post(gzip.compress(b" " * 1_000_000_000, 9), fields=["Content-Encoding: gzip"]), {400, 415})
    assert resident() - before < 100


def protobuf():
    """protobuf that is none"""
    magic = b"k8s\0"
    for body in [b"", magic, magic + b"\xff" * 100, magic + b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f", magic + b"\x0a\x00" * 100_000, b"\x0a" * 3_000_000]:
        refused(post(body, "application/vnd.kubernetes.protobuf"), {400})


run([json_depth, yaml_depth, alias_depth, laughs, many_keys, deepening_patch, numbers, duplicates, text, told_length, chunks, compressed, protobuf])
