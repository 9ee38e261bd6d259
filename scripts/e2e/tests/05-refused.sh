# Bad manifests are refused as Kubernetes refuses them, and nothing is stored

for part in certificate-authority client-certificate client-key; do
  sed -n "s/^ *$part-data: *//p" "$DATA/admin.kubeconfig" | tr -d '"' | base64 -d >"$WORK/$part.pem"
done
post() {
  in_node curl -s --max-time 60 --cacert "$WORK/certificate-authority.pem" --cert "$WORK/client-certificate.pem" --key "$WORK/client-key.pem" \
    -H 'Content-Type: application/json' -d "$2" "https://192.168.87.2:6443$1?fieldValidation=Strict"
}
deployment() { jq -nc "{apiVersion: \"apps/v1\", kind: \"Deployment\", metadata: {name: \"bad\"}, spec: {replicas: 1, selector: {matchLabels: {a: \"b\"}}, template: {metadata: {labels: {a: \"b\"}}, spec: {containers: [{name: \"c\", image: \"i\"}]}}}} | $1"; }
service() { jq -nc "{apiVersion: \"v1\", kind: \"Service\", metadata: {name: \"bad\"}, spec: {selector: {a: \"b\"}, ports: [{port: 80}]}} | $1"; }
# bad WHAT CODE REASON TEXT PATH OBJECT: TEXT is in the message or is the path of a cause.
bad() {
  local answer
  answer=$(post "$5" "$6")
  if jq -e --argjson code "$2" --arg reason "$3" --arg text "$4" '.kind == "Status" and .code == $code and .reason == $reason
      and ((.message | contains($text)) or ([.details.causes[]?.field] | index($text) != null))' <<<"$answer" >/dev/null 2>&1; then
    ok "$1: $2 $3, $4"
  else
    fail "$1: $2 $3, $4" "$answer"
  fi
}
deployments=/apis/apps/v1/namespaces/default/deployments services=/api/v1/namespaces/default/services
bad "unknown field" 400 BadRequest 'unknown field "spec.replica"' $deployments "$(deployment '.spec.replica = 3')"
bad "wrong type" 400 BadRequest 'spec.replicas' $deployments "$(deployment '.spec.replicas = "three"')"
bad "missing image" 422 Invalid 'spec.template.spec.containers[0].image' $deployments "$(deployment 'del(.spec.template.spec.containers[0].image)')"
bad "missing selector" 422 Invalid 'spec.selector' $deployments "$(deployment 'del(.spec.selector)')"
bad "selector that selects nothing" 422 Invalid 'spec.template.metadata.labels' $deployments "$(deployment '.spec.selector.matchLabels.a = "other"')"
bad "bad name" 422 Invalid 'metadata.name' $deployments "$(deployment '.metadata.name = "Bad_Name"')"
bad "bad quantity" 400 BadRequest 'quantities must match the regular expression' $deployments "$(deployment '.spec.template.spec.containers[0].resources = {limits: {memory: "12Quux"}}')"
bad "bad port" 422 Invalid 'spec.template.spec.containers[0].ports[0].containerPort' $deployments "$(deployment '.spec.template.spec.containers[0].ports = [{containerPort: 70000}]')"
bad "bad Service port" 422 Invalid 'spec.ports[0].port' $services "$(service '.spec.ports[0].port = 0')"
bad "no such namespace" 404 NotFound 'namespaces "nowhere" not found' /api/v1/namespaces/nowhere/services "$(service '.')"
deployment '.spec.replica = 3' >"$WORK/bad.json"
refused "kubectl apply says so" 'strict decoding error: unknown field "spec.replica"' k apply -f "$WORK/bad.json"
deployment 'del(.spec.template.spec.containers[0].image)' >"$WORK/bad.json"
refused "kubectl apply names the path" 'The Deployment "bad" is invalid: spec.template.spec.containers\[0\].image: Required value' k apply -f "$WORK/bad.json"
refused "kubectl names what is not there" 'Error from server \(NotFound\): pods "nothing" not found' k get pod nothing
same "nothing was stored" "" "$(k get deploy,rs,po,svc -A -o name 2>/dev/null | grep bad)"
