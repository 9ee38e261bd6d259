# SIGTERM leaves containers running, reset leaves nothing

k run stays --image=ghcr.io/company/web-app:v1.0.0 >/dev/null
check "a pod to stay" k wait --for=condition=Ready pod/stays --timeout=120s
pids=$(container_pids)
refused "reset refuses beside a running noded" 'running' noded reset --yes "${PATHS[@]}"
begun=$(date +%s%N)
stop_noded TERM
same "SIGTERM: exit code 0" 0 $stop_code
ok "after $((($(date +%s%N) - begun) / 1000000)) ms"
same "its container goes on" "$pids" "$(list_pids | comm -12 <(printf '%s\n' "$pids") -)"
[ -n "$pids" ] || fail "there was a container"
expect "reset without --yes says what it would do" 'would' noded reset "${PATHS[@]}"
same "and does nothing" "$pids" "$(list_pids | comm -12 <(printf '%s\n' "$pids") -)"
check "reset --yes" noded reset --yes "${PATHS[@]}"
same "no process" "" "$(list_pids)"
nothing_remains && ok "no link, mount, cgroup" || fail "no link, mount, cgroup" "$(pod_remains)"
same "no nft table" "" "$(in_node nft list tables)"
same "no route and no address of its own" "" "$(in_node ip -o address show | grep -E '10\.4[23]\.'; in_node ip route show table all | grep -E '10\.4[23]\.')"
same "no file" "" "$(ls -d "$DATA" "$RUN" 2>/dev/null)"
same "no process in the node's namespace" "" "$(ip netns pids "$NODE")"
check "reset --yes again is harmless" noded reset --yes "${PATHS[@]}"
