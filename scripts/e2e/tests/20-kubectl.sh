# kubectl's verbs, from the newest supported client and from the oldest

newest=$KUBECTL
oldest=$(command -v kubectl || true)
for KUBECTL in "$newest" $oldest; do
  client=$("$KUBECTL" version --client 2>/dev/null | sed -nE '1s/.*v([0-9]+\.[0-9]+).*/\1/p')
  ns=verbs-${client/./-}
  kv() { k -n "$ns" "$@"; }
  check "$client: create namespace" k create namespace "$ns"
  jq -nc '{apiVersion: "v1", kind: "ConfigMap", metadata: {name: "c"}, data: {a: "1"}}' >"$WORK/c.json"
  check "$client: create -f" kv create -f "$WORK/c.json"
  refused "$client: create -f again" 'AlreadyExists|already exists' kv create -f "$WORK/c.json"
  check "$client: create configmap" kv create configmap typed --from-literal=k=v
  check "$client: create secret" kv create secret generic typed --from-literal=k=v
  check "$client: create serviceaccount" kv create serviceaccount typed
  check "$client: create role" kv create role reader --verb=get,list --resource=pods,configmaps
  check "$client: create rolebinding" kv create rolebinding reader --role=reader --serviceaccount="$ns:typed"
  check "$client: create quota" kv create quota small --hard=configmaps=20
  check "$client: label" kv label configmap c tier=front
  expect "$client: a label selects" '^c ' kv get configmaps -l tier=front --no-headers
  check "$client: annotate" kv annotate configmap c note=x
  check "$client: patch --type=merge" kv patch configmap c --type=merge -p '{"data":{"b":"2"}}'
  check "$client: patch --type=json" kv patch configmap c --type=json -p '[{"op":"test","path":"/data/a","value":"1"},{"op":"remove","path":"/data/a"}]'
  check "$client: patch --type=strategic" kv patch configmap c -p '{"data":{"d":"4"}}'
  same "$client: all three patched" '{"b":"2","d":"4"}' "$(kv get configmap c -o jsonpath='{.data}')"
  refused "$client: a JSON patch whose test fails" 'testing|test' kv patch configmap c --type=json -p '[{"op":"test","path":"/data/b","value":"9"}]'
  kv get configmap c -o json | jq '.data.b = "3"' >"$WORK/replaced.json"
  check "$client: replace" kv replace -f "$WORK/replaced.json"
  refused "$client: replace of an old version" 'Conflict|the object has been modified' kv replace -f <(jq '.metadata.resourceVersion = "1"' "$WORK/replaced.json")
  KUBE_EDITOR="sed -i 's/^  b: .*/  b: \"33\"/'" check "$client: edit" kv edit configmap c
  same "$client: edited" 33 "$(kv get configmap c -o jsonpath='{.data.b}')"
  jq -c '.data.z = "new"' "$WORK/c.json" >"$WORK/changed.json"
  refused "$client: diff shows the change and exits with 1" '^\+ +z: new' kv diff -f "$WORK/changed.json"

  # Server-side apply: two managers, a conflict, and force.
  manifest() { jq -nc --arg v "$1" '{apiVersion: "v1", kind: "ConfigMap", metadata: {name: "ssa"}, data: {k: $v}}'; }
  check "$client: apply --server-side" kv apply --server-side --field-manager=one -f <(manifest 1)
  refused "$client: another manager conflicts" 'conflict with "one"' kv apply --server-side --field-manager=two -f <(manifest 2)
  check "$client: --force-conflicts" kv apply --server-side --field-manager=two --force-conflicts -f <(manifest 2)
  expect "$client: managedFields say whose it is" '"manager": "two"' kv get configmap ssa -o json --show-managed-fields
  jq -c '.metadata.name = "csa"' "$WORK/c.json" >"$WORK/csa.json"
  check "$client: apply" kv apply -f "$WORK/csa.json"
  check "$client: then apply --server-side, without a conflict" kv apply --server-side -f "$WORK/csa.json"
  jq -c '.metadata.name = "csa2"' "$WORK/c.json" >"$WORK/csa2.json"
  check "$client: apply another" kv apply -f "$WORK/csa2.json"
  jq -c '.data.b = "44"' "$WORK/csa2.json" >"$WORK/csa3.json"
  check "$client: then apply --server-side another value, which takes over" kv apply --server-side -f "$WORK/csa3.json"
  same "$client: taken over" 44 "$(kv get configmap csa2 -o jsonpath='{.data.b}')"

  # A rollout and its history; the pods need not run for it.
  jq -nc '{apiVersion: "apps/v1", kind: "Deployment", metadata: {name: "d"}, spec: {replicas: 0, selector: {matchLabels: {app: "d"}},
    template: {metadata: {labels: {app: "d"}}, spec: {containers: [{name: "c", image: "ghcr.io/company/web-app:v1.0.0"}]}}}}' | kv apply -f - >/dev/null
  check "$client: set image" kv set image deployment/d c=ghcr.io/company/web-app:v2.0.0
  expect "$client: rollout status" 'successfully rolled out' kv rollout status deployment/d --timeout=90s
  soon "$client: rollout history" '^2 ' kv rollout history deployment/d
  check "$client: rollout undo" kv rollout undo deployment/d
  same "$client: undone" ghcr.io/company/web-app:v1.0.0 "$(kv get deployment d -o jsonpath='{.spec.template.spec.containers[0].image}')"
  soon "$client: rollout history after undo" '^3 ' kv rollout history deployment/d
  check "$client: rollout restart" kv rollout restart deployment/d
  check "$client: scale" kv scale deployment d --replicas=0
  check "$client: autoscale" kv autoscale deployment d --min=1 --max=2 --cpu-percent=50
  check "$client: expose" kv expose deployment d --port=80
  check "$client: delete" kv delete deployment,hpa,service d
  check "$client: delete --all" kv delete configmaps --all

  # What there is, and what it means.
  expect "$client: api-resources" '^statefulsets +sts +apps/v1 +true +StatefulSet' k api-resources
  expect "$client: api-versions" '^rbac.authorization.k8s.io/v1$' k api-versions
  for field in pod.spec.containers.livenessProbe deployment.spec.strategy ingress.spec.rules networkpolicy.spec cronjob.spec.schedule hpa.spec.metrics; do
    expect "$client: explain $field" 'FIELD|DESCRIPTION' k explain "$field"
  done
  expect "$client: explain --recursive" 'preferredDuringScheduling' k explain pod.spec --recursive
  refused "$client: a kind that is not served" 'no matches for kind "Widget" in version "example.org/v1"' k apply -f - <<<'{"apiVersion":"example.org/v1","kind":"Widget","metadata":{"name":"w"}}'
  refused "$client: a resource that is not served" "the server doesn't have a resource type" k get widgets
  expect "$client: cluster-info" 'control plane' k cluster-info
  expect "$client: version" 'Server Version: v1\.36' k version

  # Who may do what.
  expect "$client: auth whoami" 'system:masters' k auth whoami
  expect "$client: auth can-i" '^yes' k auth can-i create pods
  expect "$client: auth can-i --list" '\*\.\*' k auth can-i --list
  expect "$client: a role allows" '^yes' kv auth can-i list pods --as="system:serviceaccount:$ns:typed"
  refused "$client: and no more than that" '^no' kv auth can-i delete pods --as="system:serviceaccount:$ns:typed"
  refused "$client: others are forbidden" 'User "jane" cannot list resource "secrets" in API group "" in the namespace' kv get secrets --as=jane
  token=$(kv create token typed --duration=20m)
  same "$client: create token" 3 "$(awk -F. '{ print NF }' <<<"$token")"
  # As the token says, without the admin's certificate.
  expect "$client: the token is the account" "system:serviceaccount:$ns:typed" in_node env KUBECACHEDIR="$WORK/cache" "$KUBECTL" --kubeconfig /dev/null \
    --server https://192.168.87.2:6443 --insecure-skip-tls-verify --token "$token" auth whoami
  refused "$client: a broken token" 'Unauthorized|must be logged in' in_node env KUBECACHEDIR="$WORK/cache" "$KUBECTL" --kubeconfig /dev/null \
    --server https://192.168.87.2:6443 --insecure-skip-tls-verify --token "${token}x" get pods

  # A certificate, from the request to a working context.
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$WORK/$ns.key" -subj "/O=devs/CN=jane" -out "$WORK/$ns.csr" 2>/dev/null
  jq -nc --arg r "$(base64 -w0 "$WORK/$ns.csr")" --arg n "$ns" '{apiVersion: "certificates.k8s.io/v1", kind: "CertificateSigningRequest", metadata: {name: $n},
    spec: {request: $r, signerName: "kubernetes.io/kube-apiserver-client", usages: ["client auth"], expirationSeconds: 3600}}' | k apply -f - >/dev/null
  check "$client: certificate approve" k certificate approve "$ns"
  signed() { [ -n "$(k get csr "$ns" -o jsonpath='{.status.certificate}')" ]; }
  if wait_until 60 signed; then ok "$client: it is signed"; else fail "$client: it is signed" "$(k describe csr "$ns")"; fi
  k get csr "$ns" -o jsonpath='{.status.certificate}' | base64 -d >"$WORK/$ns.crt"
  cp "$DATA/admin.kubeconfig" "$WORK/jane.kubeconfig"
  kj() { in_node env KUBECACHEDIR="$WORK/cache" "$KUBECTL" --kubeconfig "$WORK/jane.kubeconfig" "$@"; }
  kj config set-credentials jane --client-certificate="$WORK/$ns.crt" --client-key="$WORK/$ns.key" --embed-certs >/dev/null
  kj config set-context jane --cluster="$(kj config view -o jsonpath='{.clusters[0].name}')" --user=jane --namespace="$ns" >/dev/null
  check "$client: config use-context" kj config use-context jane
  expect "$client: the certificate is jane of devs" 'devs' kj auth whoami
  k delete csr "$ns" >/dev/null
  check "$client: delete namespace" k delete namespace "$ns" --timeout=180s
done
KUBECTL=$newest
