# kubectl debug: ephemeral containers

image=ghcr.io/company/web-app:v1.0.0
kd() { k -n debug "$@"; }
state_of() { kd get pod patient -o jsonpath="{.status.ephemeralContainerStatuses[?(@.name=='$1')].state}"; }
has_ended() { state_of "$1" | grep -q terminated; }
k create namespace debug >/dev/null
kd apply -f - >/dev/null <<YAML
{apiVersion: v1, kind: Pod, metadata: {name: patient}, spec: {terminationGracePeriodSeconds: 0, containers: [{name: app,
 image: "$image", command: [sleep, "4242"]}]}}
YAML
check "a pod to look into" kd wait --for=condition=Ready pod/patient --timeout=120s
check "debug adds a container" kd debug patient --image=$image -c alone --attach=false -- sh -c 'ps; hostname; exit 3'
if wait_until 60 has_ended alone; then ok "which runs to its end"; else fail "which runs to its end" "$(kd get pod patient -o yaml)"; fi
same "with its exit code" 3 "$(kd get pod patient -o jsonpath='{.status.ephemeralContainerStatuses[0].state.terminated.exitCode}')"
same "in the pod's network and host name" patient "$(kd logs patient -c alone | tail -n 1)"
if kd logs patient -c alone | grep -q 'sleep 4242'; then fail "with processes of its own" "$(kd logs patient -c alone)"; else ok "with processes of its own"; fi
seen=$( (sleep 4; printf 'ps\nexit\n'; sleep 2) | timeout 90 script -qec "KUBECACHEDIR=$WORK/cache nsenter --net=/run/netns/$NODE $KUBECTL --kubeconfig $DATA/admin.kubeconfig -n debug debug -it patient --image=$image --target=app -c looker -- sh" /dev/null 2>&1)
if grep -q 'sleep 4242' <<<"$seen"; then ok "debug -it --target sees the container's processes"; else fail "debug -it --target sees the container's processes" "$seen"; fi
same "the pod goes on as if nothing were" "True 0" "$(kd get pod patient -o jsonpath='{.status.conditions[?(@.type=="Ready")].status} {.status.containerStatuses[0].restartCount}')"
refused "a target that is not there" 'targetContainerName: Not found: "nobody"' kd debug patient --image=$image --target=nobody --attach=false -- true
refused "ephemeral containers are not changed" 'existing ephemeral containers "alone" may not be changed' \
  kd patch pod patient --subresource ephemeralcontainers -p '{"spec":{"ephemeralContainers":[{"name":"alone","image":"other"}]}}'
refused "nor made with a pod" 'spec.ephemeralContainers: Forbidden: cannot be set on create' kd apply -f - <<YAML
{apiVersion: v1, kind: Pod, metadata: {name: eager}, spec: {containers: [{name: app, image: "$image"}], ephemeralContainers: [{name: e, image: "$image"}]}}
YAML
k delete namespace debug --wait=false >/dev/null
