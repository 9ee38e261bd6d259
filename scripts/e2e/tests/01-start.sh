# Start: images, usage errors, readiness, the admin's kubeconfig

demo=$here/../demo
gcc -O2 -static -pthread -o "$WORK/loop" "$here/loop.c" || essential "the request loop does not compile"
"$demo/image" "$WORK/v1.0.0.tar" v1.0.0 "$WORK/loop:bin/loop" >/dev/null
"$demo/image" "$WORK/v1.1.0.tar" v1.1.0 "$WORK/loop:bin/loop" >/dev/null

expect "noded version" '[0-9]+\.[0-9]+' noded version
check "noded check finds this machine fit" noded check
for flag in --port --data-dir --node-ip --pod-cidr --service-cidr --cluster-dns --standalone --log-format; do
  expect "--help explains $flag" "^ *$flag" noded run --help
done
for bad in "--port 0" "--no-such-flag" "--pod-cidr 10.42.0.0" "--standalone" "--log-level loud" "--cluster-dns 9.9.9.9"; do
  text=$(noded run "${PATHS[@]}" $bad 2>&1)
  same "a bad flag ends with 64: $bad" 64 $?
done
check "nothing was made by that" test ! -e "$DATA"
refused "noded image list without a data directory" "no data directory $DATA" noded image list --data-dir "$DATA"
refused "noded image remove without one" "no data directory $DATA" noded image remove --data-dir "$DATA" web-app
expect "noded image list without a store" "^$WORK has no images yet" noded image list --data-dir "$WORK"
check "noded reset without --yes" noded reset "${PATHS[@]}"
check "nor by that" test ! -e "$DATA"
refused "an address that is not ours is refused" 'Error|error|no address' noded run "${PATHS[@]}" --node-ip 192.168.99.99

expect "noded image import" 'ghcr.io/company/web-app:v1.0.0' noded image import --data-dir "$DATA" "$WORK/v1.0.0.tar"
head -c 200000 "$WORK/v1.0.0.tar" >"$WORK/torn.tar"
refused "a torn archive is refused" '.' noded image import --data-dir "$DATA" "$WORK/torn.tar"
expect "noded image list" 'ghcr.io/company/web-app:v1.0.0' noded image list --data-dir "$DATA"

begun=$(date +%s%N)
start_noded
if until_ready 60; then
  ok "/readyz after $((($(date +%s%N) - begun) / 1000000)) ms"
else
  fail "/readyz within 60 s" "$(tail -n 30 "$WORK/noded.log")"
  essential "noded does not start"
  return
fi
if wait_until 60 node_ready; then
  ok "node Ready after $((($(date +%s%N) - begun) / 1000000)) ms"
else
  fail "node Ready within 60 s" "$(k get node -o yaml 2>&1 | tail -n 40)"
  essential "the node does not get ready"
  return
fi
for path in readyz livez healthz; do expect "/$path?verbose" 'ok' k get --raw "/$path?verbose"; done
same "the admin's kubeconfig is the owner's alone" 600 "$(stat -c %a "$DATA/admin.kubeconfig")"
expect "kubectl version" 'Server Version: v1\.36' k version
expect "kubectl api-resources" 'deployments +deploy +apps/v1' k api-resources
same "anonymous may not list pods" 403 "$(in_node curl -sk -o /dev/null -w '%{http_code}' https://192.168.87.2:6443/api/v1/pods)"
same "anonymous may ask for health" 200 "$(in_node curl -sk -o /dev/null -w '%{http_code}' https://192.168.87.2:6443/readyz)"
for bad in "--cluster-domain Bad_Domain" "--pod-cidr 192.168.87.0/24" "--resolv-conf /nonexistent" "--listen 8.8.8.8"; do
  # shellcheck disable=SC2086
  refused "a flag that cannot work is named: $bad" "${bad%% *}|no such address" \
    noded run --data-dir "$WORK/other" --run-dir "$RUN-other" --cgroup "$CGROUP-other" --node-ip 192.168.87.2 --port 6555 $bad
done
text=$(in_node timeout 60 "$NODED" run --data-dir "$WORK/other" --run-dir "$RUN-other" --cgroup "$CGROUP-other" --node-ip 192.168.87.2 2>&1)
same "a port in use ends with 1" 1 $?
if grep -qE '6443' <<<"$text"; then ok "and says which"; else fail "and says which" "$text"; fi
rm -rf "$WORK/other" "$RUN-other"
text=$(noded run "${PATHS[@]}" --port 6444 --node-ip 192.168.87.2 2>&1)
same "a data directory in use ends with 1" 1 $?
refused "and says who has it, also when the port is the same" "another noded \(pid $NODED_PID\) is running on $DATA" \
  noded run "${PATHS[@]}" --node-ip 192.168.87.2
refused "nor may another share the network" "another noded \(pid $NODED_PID\) is running in this network namespace" \
  noded run --data-dir "$WORK/other" --run-dir "$RUN-other" --cgroup "$CGROUP-other" --port 6555 --node-ip 192.168.87.2
for shared in "--run-dir $RUN --cgroup $CGROUP-other" "--run-dir $RUN-other --cgroup $CGROUP"; do
  # Outside of the node's network: a neighbour that would end its pods.
  refused "nor share ${shared%% *}" "another noded \(pid $NODED_PID\) is running with --" \
    "$NODED" run --data-dir "$WORK/other" $shared --port 6555
done
same "and nothing was made" "" "$(ls -d "$WORK/other" "$RUN-other" 2>/dev/null)"
refused "nor may a reset of others take its links away" "another noded \(pid $NODED_PID\) is running in this network" \
  noded reset --yes --data-dir "$WORK/other" --run-dir "$RUN-other" --cgroup "$CGROUP-other"
expect "an image imported beside a running noded" 'v1.1.0' noded image import --data-dir "$DATA" "$WORK/v1.1.0.tar"
