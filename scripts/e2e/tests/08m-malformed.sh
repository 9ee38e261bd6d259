# Malformed requests, E2E_MALFORMED of them (default 100,000): the server stays up, its memory flat, nothing is stored

for part in certificate-authority client-certificate client-key; do
  sed -n "s/^ *$part-data: *//p" "$DATA/admin.kubeconfig" | tr -d '"' | base64 -d >"$WORK/$part.pem"
done
malformed() {
  in_node python3 "$here/malformed.py" 192.168.87.2 6443 "$WORK/certificate-authority.pem" "$WORK/client-certificate.pem" "$WORK/client-key.pem" "$1"
}
resident() { awk '/^VmRSS/ { print int($2 / 1024) }' "/proc/$NODED_PID/status"; }
stored() { k get configmaps,deployments,services,secrets -A -o name 2>/dev/null | sort; }
before_objects=$(stored)
expect "the first ones are refused" ' 0 strange' malformed 10000
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
