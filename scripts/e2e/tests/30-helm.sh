# helm 4: install, upgrade, rollback, history, uninstall of a chart with hooks and a CRD

helm=$(dirname "$KUBECTL")/helm
h() { HELM_CACHE_HOME=$WORK/helm HELM_CONFIG_HOME=$WORK/helm HELM_DATA_HOME=$WORK/helm timeout 180 nsenter --net="/run/netns/$NODE" "$helm" --kubeconfig "$DATA/admin.kubeconfig" -n charts "$@"; }
kh() { k -n charts "$@"; }
check "helm install" h install greet "$here/chart" --create-namespace
expect "list" '^greet.*deployed' h list
expect "the CRD is there, and its object" '^greet +hello ' kh get greetings --no-headers
same "hooks ran before and after" "1 1" "$(kh get configmap greet-pre-install greet-post-install -o jsonpath='{.items[*].data.revision}')"
check "helm upgrade" h upgrade greet "$here/chart" --set greeting=goodbye
same "the change is there" goodbye "$(kh get configmap greet-greeting -o jsonpath='{.data.greeting}')"
refused "an upgrade that the schema forbids" 'spec.text|Invalid value' h upgrade greet "$here/chart" --set greeting=42
check "helm rollback" h rollback greet 1
same "and back" hello "$(kh get greeting greet -o jsonpath='{.spec.text}')"
expect "helm history" 'Rollback to 1' h history greet
expect "helm status" 'STATUS: deployed' h status greet
expect "helm get manifest" 'kind: Ingress' h get manifest greet
check "helm uninstall" h uninstall greet
same "nothing of it is left" "" "$(kh get deploy,svc,ingress,greetings -o name 2>/dev/null)"
expect "but its CRD is, as helm has it" 'greetings.e2e.noded.dev' k get crd greetings.e2e.noded.dev -o name
check "delete the CRD" k delete crd greetings.e2e.noded.dev --timeout=180s
refused "its resource is gone at once" "doesn't have a resource type|could not find the requested resource" kh get greetings
check "delete namespace" k delete namespace charts --timeout=180s
