# Service account tokens in pods: mounted, bound, used from inside, and not there where somebody says no

place=/var/run/secrets/kubernetes.io/serviceaccount
image=ghcr.io/company/web-app:v1.0.0
kt() { k -n tokens "$@"; }
# claims TOKEN: what it says, as JSON.
claims() { jq -Rc 'split(".")[1] | gsub("-"; "+") | gsub("_"; "/") | @base64d | fromjson' <<<"$1"; }
# is_valid TOKEN [AUDIENCE]
is_valid() {
  jq -nc --arg t "$1" --arg a "${2:-}" '{apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: ({token: $t} + if $a == "" then {} else {audiences: [$a]} end)}' |
    k create -o json -f - | jq -e '.status.authenticated == true' >/dev/null
}

pod=$(web_pods | head -n 1)
expect "a pod of the demo has token, authority and namespace" '^ca.crt namespace token $' kp exec "$pod" -- sh -c "ls $place | tr '\n' ' '"
same "the namespace is its own" production "$(kp exec "$pod" -- cat $place/namespace)"
same "the authority is the cluster's" "$(k config view --raw -o jsonpath='{.clusters[0].cluster.certificate-authority-data}' | base64 -d)" "$(kp exec "$pod" -- cat $place/ca.crt)"
refused "the volume is read-only" 'Read-only' kp exec "$pod" -- sh -c "echo x >$place/token"

k create namespace tokens >/dev/null
kt create serviceaccount robot >/dev/null
kt create serviceaccount quiet >/dev/null
kt patch serviceaccount quiet -p '{"automountServiceAccountToken": false}' >/dev/null
kt create rolebinding robot --clusterrole=view --serviceaccount=tokens:robot >/dev/null
# KUBECTL, a program without libraries, comes in from the machine: client-go as it runs in any pod.
kt apply -f - >/dev/null <<YAML
{apiVersion: v1, kind: Pod, metadata: {name: inside}, spec: {serviceAccountName: robot, terminationGracePeriodSeconds: 0,
 volumes: [{name: kubectl, hostPath: {path: "$KUBECTL", type: File}},
  {name: vault, projected: {sources: [{serviceAccountToken: {path: deep/vault.jwt, audience: vault, expirationSeconds: 1200}}]}}],
 containers: [{name: c, image: "$image", command: [sleep, "3600"], volumeMounts: [
  {name: kubectl, mountPath: /bin/kubectl}, {name: vault, mountPath: /vault}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: user}, spec: {serviceAccountName: robot, terminationGracePeriodSeconds: 0,
 securityContext: {runAsUser: 1000, runAsGroup: 1000}, containers: [{name: c, image: "$image", command: [sleep, "3600"]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: group}, spec: {serviceAccountName: robot, terminationGracePeriodSeconds: 0,
 securityContext: {fsGroup: 1000}, containers: [{name: c, image: "$image", command: [sleep, "3600"]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: account-says-no}, spec: {serviceAccountName: quiet, terminationGracePeriodSeconds: 0,
 containers: [{name: c, image: "$image", command: [sleep, "3600"]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: pod-says-yes}, spec: {serviceAccountName: quiet, automountServiceAccountToken: true,
 terminationGracePeriodSeconds: 0, containers: [{name: c, image: "$image", command: [sleep, "3600"]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: pod-says-no}, spec: {serviceAccountName: robot, automountServiceAccountToken: false,
 terminationGracePeriodSeconds: 0, containers: [{name: c, image: "$image", command: [sleep, "3600"]}]}}
YAML
check "pods with and without" kt wait --for=condition=Ready pod --all --timeout=120s
token=$(kt exec inside -- cat $place/token)
said=$(claims "$token")
same "the token is the account's" system:serviceaccount:tokens:robot "$(jq -r .sub <<<"$said")"
same "bound to the pod" "$(kt get pod inside -o jsonpath='{.metadata.uid}')" "$(jq -r '.["kubernetes.io"].pod.uid' <<<"$said")"
same "for the API" '["https://kubernetes.default.svc.cluster.local"]' "$(jq -c .aud <<<"$said")"
same "due in an hour" 3607 "$(jq '.["kubernetes.io"].warnafter - .iat' <<<"$said")"
expect "a client inside is that account" 'system:serviceaccount:tokens:robot' kt exec inside -- kubectl auth whoami
expect "and sees what it may" '^inside ' kt exec inside -- kubectl get pods --no-headers
refused "no more" 'User "system:serviceaccount:tokens:robot" cannot list resource "secrets"' kt exec inside -- kubectl get secrets
expect "by the address of the environment" '^10.43.0.1:443$' kt exec inside -- sh -c 'echo $KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT'

vault=$(kt exec inside -- cat /vault/deep/vault.jwt)
same "a token for somebody else" '["vault"] 1200' "$(claims "$vault" | jq -r '"\(.aud | tojson) \(.exp - .iat)"')"
check "holds there" is_valid "$vault" vault
refused "and not here" '.|^$' is_valid "$vault"
refused "nor as a bearer" 'Unauthorized|logged in' kt exec inside -- kubectl auth whoami --token="$vault"

same "the one user of a pod owns its token" "600 1000 0" "$(kt exec user -- stat -Lc '%a %u %g' $place/token)"
same "a group may read it" "640 0 1000" "$(kt exec group -- stat -Lc '%a %u %g' $place/token)"
same "else anybody" "644 0 0" "$(kt exec inside -- stat -Lc '%a %u %g' $place/token)"
same "no token where the account says no" "" "$(kt get pod account-says-no -o jsonpath='{.spec.volumes}')"
refused "nor in its container" 'No such file' kt exec account-says-no -- ls $place
check "the pod has the last word" kt exec pod-says-yes -- test -s $place/token
refused "both ways" 'No such file' kt exec pod-says-no -- ls $place

check "a token lives with its pod" is_valid "$token"
kt delete pod inside --now >/dev/null 2>&1
refused "and dies with it" '.|^$' is_valid "$token"
k delete namespace tokens --wait=false >/dev/null
