# Deleting the namespace leaves nothing

check "kubectl delete ns production" k delete ns production --timeout=180s
same "no object of it" "" "$(k get deploy,rs,po,svc,cm,secret,endpointslices -n production -o name 2>/dev/null)"
refused "the namespace is gone" 'namespaces "production" not found' k get ns production
if wait_until 60 nothing_remains; then
  ok "no link, mount, cgroup, file of its pods"
else
  fail "no link, mount, cgroup, file of its pods" "$(pod_remains)"
fi
same "no process of its pods" "" "$(list_pids)"
