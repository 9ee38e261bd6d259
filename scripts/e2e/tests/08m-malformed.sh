# Bad input: every kind by name, then malformed requests, E2E_MALFORMED of them (default 100,000): the server stays up, its memory flat, nothing is stored

for part in certificate-authority client-certificate client-key; do
  sed -n "s/^ *$part-data: *//p" "$DATA/admin.kubeconfig" | tr -d '"' | base64 -d >"$WORK/$part.pem"
done
server=(host=192.168.87.2 port=6443 ca="$WORK/certificate-authority.pem" cert="$WORK/client-certificate.pem" key="$WORK/client-key.pem" pid="$NODED_PID")
resident() { awk '/^VmRSS/ { print int($2 / 1024) }' "/proc/$NODED_PID/status"; }
stored() { k get configmaps,deployments,services,secrets -A -o name 2>/dev/null | sort; }
# named LOG: the checks of a program here, which it prints as `ok NAME` and `FAIL NAME: why`.
named() {
  local line count=0
  while IFS= read -r line; do
    case $line in
      "ok "*) ok "${line#ok }" ;;
      *) fail "${line#FAIL }" ;;
    esac
    count=$((count + 1))
  done <"$1"
  [ $count -gt 0 ] || fail "$1 checks something"
}
hostile() {
  local program=$1
  shift
  timeout 300 nsenter --net="/run/netns/$NODE" python3 -B "$here/hostile/$program.py" "${server[@]}" "$@" >"$WORK/$program.checks" 2>&1
  named "$WORK/$program.checks"
}
before_objects=$(stored)

# Clients of the LAN that vanish take a minute to be missed: they wait beside the others.
ip -n "$LAN" address add 192.168.87.9/24 dev eth0
cat >"$WORK/vanish.nft" <<'N'
table inet hostile {
  chain in { type filter hook input priority 0; ip daddr 192.168.87.9 drop; }
  chain out { type filter hook output priority 0; ip saddr 192.168.87.9 drop; }
}
N
timeout 300 nsenter --net="/run/netns/$LAN" python3 -B "$here/hostile/slow.py" "${server[@]}" from=192.168.87.9 vanish="nft -f $WORK/vanish.nft" >"$WORK/slow.checks" 2>&1 &
slow=$!

hostile bodies
exec_pod=$(kp get pods -l app=web --field-selector=status.phase=Running -o name 2>/dev/null | head -n 1)
if [ -n "$exec_pod" ]; then
  hostile http1 exec="/api/v1/namespaces/production/${exec_pod/pod\//pods\/}/exec?command=cat&stdin=true&stdout=true"
else
  fail "a pod runs to exec in"
fi
hostile http2
wait $slow
named "$WORK/slow.checks"
nsenter --net="/run/netns/$LAN" nft delete table inet hostile
ip -n "$LAN" address del 192.168.87.9/24 dev eth0
same "nothing of this was stored" "$before_objects" "$(stored)"

k create namespace crowd >/dev/null
k -n crowd create serviceaccount writer >/dev/null
k -n crowd create role writer --verb=create,get,list --resource=configmaps >/dev/null
k -n crowd create rolebinding writer --role=writer --serviceaccount=crowd:writer >/dev/null
hostile crowd namespace=crowd token="$(k -n crowd create token writer)"
k delete namespace crowd --timeout=60s >/dev/null

malformed() {
  in_node python3 "$here/malformed.py" 192.168.87.2 6443 "$WORK/certificate-authority.pem" "$WORK/client-certificate.pem" "$WORK/client-key.pem" "$1"
}
expect "the first malformed ones are refused" ' 0 strange' malformed 10000
before_memory=$(resident)
expect "so are the others" ' 0 strange' malformed "${E2E_MALFORMED:-100000}"
after_memory=$(resident)
check "the same process answers" is_ready
if [ $((after_memory - before_memory)) -le 20 ]; then
  ok "memory is flat: $before_memory MB before, $after_memory MB after"
else
  fail "memory is flat" "$before_memory MB before, $after_memory MB after"
fi
same "nothing was stored" "$before_objects" "$(stored)"
