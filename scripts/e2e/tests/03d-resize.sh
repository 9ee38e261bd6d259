# pods/resize: other limits without a restart, or with one where the container wants it

image=ghcr.io/company/web-app:v1.0.0
kz() { k -n resize "$@"; }
# resize_to NAME RESOURCES: as kubectl does it.
resize_to() { kz patch pod "$1" --subresource resize -p "{\"spec\":{\"containers\":[{\"name\":\"app\",\"resources\":$2}]}}"; }
shows() { [ "$(kz get pod "$1" -o jsonpath="{.status.containerStatuses[0].$2}")" = "$3" ]; }
condition_of() { kz get pod "$1" -o jsonpath="{.status.conditions[?(@.type=='$2')].reason}"; }
is_infeasible() { [ "$(condition_of steady PodResizePending)" = Infeasible ]; }
is_settled() { [ -z "$(condition_of steady PodResizePending)" ]; }
k create namespace resize >/dev/null
for name in steady touchy; do
  policy='[]'
  [ $name = steady ] || policy='[{"resourceName": "memory", "restartPolicy": "RestartContainer"}]'
  jq -nc --arg n $name --arg i "$image" --argjson p "$policy" '{apiVersion: "v1", kind: "Pod", metadata: {name: $n}, spec: {
    terminationGracePeriodSeconds: 0, containers: [{name: "app", image: $i, command: ["sleep", "3600"], resizePolicy: $p,
    resources: {requests: {cpu: "50m", memory: "32Mi"}, limits: {cpu: "100m", memory: "64Mi"}}}]}}' | kz apply -f - >/dev/null
done
check "two pods to resize" kz wait --for=condition=Ready pod/steady pod/touchy --timeout=120s
check "the status shows what they have" wait_until 60 shows steady resources.limits.cpu 100m
check "patch --subresource resize" resize_to steady '{"requests":{"cpu":"80m"},"limits":{"cpu":"200m","memory":"96Mi"}}'
if wait_until 60 shows steady resources.limits.memory 96Mi; then ok "the container has it"; else fail "the container has it" "$(kz get pod steady -o yaml)"; fi
same "without a restart" 0 "$(kz get pod steady -o jsonpath='{.status.containerStatuses[0].restartCount}')"
same "requests are allocated" 80m "$(kz get pod steady -o jsonpath='{.status.containerStatuses[0].allocatedResources.cpu}')"
group=$(find "$CGROUPS" -type d -path "*$CGROUP*" -name "$(kz get pod steady -o jsonpath='{.status.containerStatuses[0].containerID}' | sed 's,noded://,,')" | head -n 1)
if [ -n "$group" ] && [ -f "$group/memory.max" ]; then
  same "and the kernel knows" $((96 << 20)) "$(cat "$group/memory.max")"
else
  say "  this machine cannot limit memory: not looked at in the kernel"
fi
check "memory of one that wants a restart for it" resize_to touchy '{"limits":{"memory":"128Mi"}}'
if wait_until 60 shows touchy restartCount 1; then ok "restarts it"; else fail "restarts it" "$(kz get pod touchy -o yaml)"; fi
check "with what it asked for" wait_until 60 shows touchy resources.limits.memory 128Mi
check "its CPU" resize_to touchy '{"limits":{"cpu":"150m"}}'
if wait_until 60 shows touchy resources.limits.cpu 150m; then ok "does not"; else fail "does not" "$(kz get pod touchy -o yaml)"; fi
same "restart it again" 1 "$(kz get pod touchy -o jsonpath='{.status.containerStatuses[0].restartCount}')"
check "more than there is" resize_to steady '{"requests":{"cpu":"4000"},"limits":{"cpu":"4000"}}'
if wait_until 60 is_infeasible; then ok "is infeasible, and waits"; else fail "is infeasible, and waits" "$(kz get pod steady -o yaml)"; fi
same "while the container keeps what it has" 200m "$(kz get pod steady -o jsonpath='{.status.containerStatuses[0].resources.limits.cpu}')"
check "taken back" resize_to steady '{"requests":{"cpu":"80m"},"limits":{"cpu":"200m"}}'
if wait_until 60 is_settled; then ok "the condition goes"; else fail "the condition goes" "$(kz get pod steady -o yaml)"; fi
refused "what was given is not taken away" 'resource limits cannot be removed' resize_to steady '{"limits":{"memory":null}}'
refused "nothing but cpu and memory" 'only cpu and memory resources are mutable' resize_to steady '{"requests":{"ephemeral-storage":"1Gi"}}'
refused "the class of quality stays" 'Pod QOS Class may not change' resize_to steady '{"requests":{"cpu":"200m","memory":"96Mi"}}'
refused "the pod itself is not the way" 'pod updates may not change fields' kz patch pod steady -p '{"spec":{"containers":[{"name":"app","resources":{"requests":{"cpu":"60m"}}}]}}'
k delete namespace resize --wait=false >/dev/null
