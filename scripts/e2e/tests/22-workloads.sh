# ReplicationControllers: kept, scaled, exposed, deleted in three ways; disruption budgets and kubectl drain

kw() { k -n workloads "$@"; }
check "create a namespace" k create namespace workloads
web=ghcr.io/company/web-app:v1.0.0
rc() {
  jq -nc --argjson n "$1" --arg image $web '{apiVersion: "v1", kind: "ReplicationController", metadata: {name: "keeper"}, spec: {replicas: $n, template: {metadata: {labels: {app: "keeper"}},
    spec: {terminationGracePeriodSeconds: 1, containers: [{name: "web", image: $image, ports: [{containerPort: 8080}]}]}}}}' >"$WORK/rc.json"
}
running() { kw get pods -l "app=$1" --field-selector=status.phase=Running --no-headers -o custom-columns=:metadata.name | sort; }
are_running() { [ "$(running "$1" | grep -c .)" = "$2" ]; }
keeper_is() { kw wait --for=jsonpath="{.status.$1}=$2" rc/keeper --timeout=120s; }
no_pods() { [ -z "$(kw get pods -l "app=$1" -o name)" ]; }

rc 2
check "create a ReplicationController" kw create -f "$WORK/rc.json"
check "two replicas are ready" keeper_is readyReplicas 2
soon "get rc" '^keeper +2 +2 +2 +[0-9a-z]+ *$' kw get rc keeper --no-headers
soon "describe rc: replicas" 'Replicas: +2 current / 2 desired' kw describe rc keeper
soon "describe rc: events" 'SuccessfulCreate .*replication-controller +Created pod: keeper-' kw describe rc keeper
expect "describe pod: its owner" 'Controlled By: +ReplicationController/keeper' kw describe pod -l app=keeper
expect "scale up" 'scaled' kw scale rc keeper --replicas=3
check "to three" keeper_is readyReplicas 3
refused "scale from another number" 'Expected replicas to be 7, was 3' kw scale rc keeper --current-replicas=7 --replicas=1
expect "scale down" 'scaled' kw scale rc keeper --current-replicas=3 --replicas=1
if wait_until 60 are_running keeper 1; then ok "to one"; else fail "to one" "$(kw get pods)"; fi
expect "expose the controller" 'service/keeper exposed' kw expose rc keeper --port=80 --target-port=8080
expect "expose the service" 'service/again exposed' kw expose service keeper --name=again --port=81 --target-port=8080
page() { in_node curl -s --max-time 30 "http://$(kw get service "$1" -o jsonpath='{.spec.clusterIP}'):$2/" | grep -q 'pod keeper-'; }
for service in "keeper 80" "again 81"; do
  # shellcheck disable=SC2086
  if wait_until 60 page $service; then ok "a page through $service"; else fail "a page through $service" "$(kw get endpointslices -o yaml | tail -n 30)"; fi
done
victim=$(running keeper)
kw delete pod "$victim" >/dev/null
replaced() { are_running keeper 1 && [ "$(running keeper)" != "$victim" ]; }
if wait_until 60 replaced; then ok "a deleted pod is replaced"; else fail "a deleted pod is replaced" "$(kw get pods)"; fi

orphan=$(running keeper)
check "delete --cascade=orphan" kw delete rc keeper --cascade=orphan
same "its pod stays" "$orphan" "$(running keeper)"
same "and has no owner" "" "$(kw get pod "$orphan" -o jsonpath='{.metadata.ownerReferences}')"
rc 1
kw create -f "$WORK/rc.json" >/dev/null
adopted() { [ "$(kw get pod "$orphan" -o jsonpath='{.metadata.ownerReferences[0].kind}')" = ReplicationController ]; }
if wait_until 60 adopted; then ok "a new one adopts it"; else fail "a new one adopts it" "$(kw get pods -o yaml | tail -n 40)"; fi
same "and needs no other" "$orphan" "$(running keeper)"
check "delete --cascade=foreground" kw delete rc keeper --cascade=foreground --timeout=120s
check "its pod went before it" no_pods keeper
rc 2
kw create -f "$WORK/rc.json" >/dev/null
check "another one" keeper_is readyReplicas 2
check "delete --cascade=background" kw delete rc keeper --cascade=background
if wait_until 60 no_pods keeper; then ok "its pods follow"; else fail "its pods follow" "$(kw get pods)"; fi

jq -nc --arg image $web '{apiVersion: "apps/v1", kind: "Deployment", metadata: {name: "guarded"}, spec: {replicas: 3, selector: {matchLabels: {app: "guarded"}}, template: {metadata: {labels: {app: "guarded"}},
  spec: {terminationGracePeriodSeconds: 1, containers: [{name: "web", image: $image}]}}}}' | kw apply -f - >/dev/null
check "three guarded pods" kw rollout status deployment guarded --timeout=120s
check "create poddisruptionbudget" kw create poddisruptionbudget guard --selector=app=guarded --min-available=2
check "one of three may go" kw wait --for=jsonpath='{.status.disruptionsAllowed}=1' pdb/guard --timeout=60s
soon "get pdb" '^guard +2 +N/A +1 +' kw get pdb guard --no-headers
refused "drain stops where the budget does" "Cannot evict pod as it would violate the pod's disruption budget" k drain e2e --pod-selector=app=guarded --timeout=20s
expect "the node is cordoned" 'SchedulingDisabled' k get node e2e
if wait_until 60 are_running guarded 2; then ok "two pods of three still run"; else fail "two pods of three still run" "$(kw get pods)"; fi
soon "the budget says so" '^guard +2 +N/A +0 +' kw get pdb guard --no-headers
check "with another budget" kw patch pdb guard --type=merge -p '{"spec":{"minAvailable":0}}'
expect "drain goes through" 'node/e2e drained' k drain e2e --pod-selector=app=guarded --timeout=120s
check "no guarded pod runs" are_running guarded 0
check "uncordon" k uncordon e2e
check "and they are back" kw rollout status deployment guarded --timeout=120s

check "delete the namespace" k delete namespace workloads --timeout=180s
