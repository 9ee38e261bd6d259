# kill -9 at random moments of rolling updates: nothing acknowledged is lost, nothing leaks

rounds=${E2E_KILLS:-5}
jq -nc '{apiVersion: "v1", kind: "ConfigMap", metadata: {name: "ledger"}, data: {n: "0"}}' | k apply -f - >/dev/null
lost=0 reopened=0 acknowledged=0
for ((round = 1; round <= rounds; round++)); do
  kp patch deployment web-app -p "{\"spec\":{\"template\":{\"metadata\":{\"annotations\":{\"round\":\"$round\"}}}}}" >/dev/null
  sleep "$((RANDOM % 3)).$((RANDOM % 10))"
  k patch configmap ledger --type=merge -p "{\"data\":{\"n\":\"$round\"}}" >/dev/null && acknowledged=$round
  stop_noded KILL
  start_noded
  until_ready 60 || break
  reopened=$((reopened + 1))
  [ "$(k get configmap ledger -o jsonpath='{.data.n}')" = "$acknowledged" ] || lost=$((lost + 1))
done
same "the store opens after each of $rounds kills" "$rounds" "$reopened"
same "no acknowledged write is lost" 0 "$lost"
noded_runs || { essential "noded does not start after kill -9"; return; }
expect "the last update rolls out" 'successfully rolled out' kp rollout status deployment web-app --timeout=180s
only_three() { [ "$(kp get pods --no-headers | grep -c Running)" = 3 ] && [ "$(kp get pods --no-headers | wc -l)" = 3 ]; }
if wait_until 120 only_three; then ok "three pods are left"; else fail "three pods are left" "$(kp get pods -o wide)"; fi
same "no address twice" "" "$(kp get pods -o jsonpath='{range .items[*]}{.status.podIP}{"\n"}{end}' | sort | uniq -d)"
links() { [ "$(in_node ip -o link show | grep -cE ': nd[0-9a-f]+')" = 3 ]; }
if wait_until 60 links; then ok "one link a pod"; else fail "one link a pod" "$(in_node ip -br link)"; fi
if wait_until 60 ready_endpoints_are 3; then ok "the Service has three endpoints"; else fail "the Service has three endpoints" "$(kp get endpointslices -o yaml | tail -n 40)"; fi
k delete configmap ledger >/dev/null
