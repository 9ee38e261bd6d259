# kill -9 of noded under load: nobody notices

declare -F ask >/dev/null || . "$here/tests/06-change.sh"
restart_counts() { kp get pods -o jsonpath='{range .items[*]}{.metadata.name} {.status.containerStatuses[0].restartCount} {.status.podIP}{"\n"}{end}' | sort; }
kp wait --for=condition=Ready pod -l app=web --timeout=120s >/dev/null
pids=$(container_pids)
counts=$(restart_counts)
ask during-kill 25
sleep 2
stop_noded KILL
sleep 10
start_noded
if until_ready 60; then ok "noded starts again after 10 s of absence"; else fail "noded starts again" "$(tail -n 20 "$WORK/noded.log")"; essential "noded does not start after kill -9"; return; fi
check "the node is Ready" wait_until 60 node_ready
answered during-kill 150 "no request fails meanwhile"
same "the same processes run" "$pids" "$(list_pids | comm -12 <(printf '%s\n' "$pids") -)"
same "the same pods, restart counts and addresses" "$counts" "$(restart_counts)"
expect "exec works in an adopted pod" '^again$' kp exec "$(web_pods | head -n 1)" -- echo again
expect "logs of an adopted pod" 'listens on 8080' kp logs "$(web_pods | head -n 1)"
