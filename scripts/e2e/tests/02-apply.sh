# The web application: apply, and what kubectl shows of it

expect "kubectl apply" 'deployment.apps/web-app created' k apply -f "$demo/web-app.yaml"
expect "kubectl rollout status" 'deployment "web-app" successfully rolled out' kp rollout status deployment web-app --timeout=180s ||
  { k get pods -A -o wide; kp describe pods | tail -n 40; k get events -A | tail -n 20; essential "the demo does not run"; return; }
expect "apply again changes nothing" 'deployment.apps/web-app unchanged' k apply -f "$demo/web-app.yaml"
expect "kubectl wait" 'condition met' kp wait --for=condition=Ready pod -l app=web --timeout=90s

wide=$(k get deploy,rs,po,svc,no -A -o wide 2>&1)
row() { if grep -qE -- "$2" <<<"$wide"; then ok "get -A -o wide: $1"; else fail "get -A -o wide: $1" "$wide"; fi; }
row "deployment head" 'NAMESPACE +NAME +READY +UP-TO-DATE +AVAILABLE +AGE +CONTAINERS +IMAGES +SELECTOR'
row "deployment" 'production +deployment.apps/web-app +3/3 +3 +3 +[0-9a-z]+ +web +ghcr.io/company/web-app:v1.0.0 +app=web'
row "replica set" 'replicaset.apps/web-app-[0-9a-z]+ +3 +3 +3 '
row "pod head" 'NAMESPACE +NAME +READY +STATUS +RESTARTS +AGE +IP +NODE +NOMINATED NODE +READINESS GATES'
row "pod" 'pod/web-app-[0-9a-z]+-[0-9a-z]{5} +1/1 +Running +0 +[0-9a-z]+ +10\.42\.0\.[0-9]+ +e2e +<none> +<none>'
row "service" 'production +service/web-app +ClusterIP +10\.43\.[0-9]+\.[0-9]+ +<none> +80/TCP +[0-9a-z]+ +app=web'
row "service of the API" 'default +service/kubernetes +ClusterIP +10\.43\.0\.1 '
row "node" 'node/e2e +Ready +[a-z,-<>]+ +[0-9a-z]+ +v1\.36'

pod=$(web_pods | head -n 1)
expect "describe deployment" 'RollingUpdateStrategy: +0 max unavailable, 1 max surge' kp describe deployment web-app
expect "describe pod: probes" 'Liveness: +http-get http://:http/health delay=2s timeout=1s period=5s' kp describe pod "$pod"
expect "describe pod: quality of service" 'QoS Class: +Burstable' kp describe pod "$pod"
soon "describe pod: events" 'Started +[0-9a-z()]+.* +kubelet' kp describe pod "$pod"
soon "describe service: endpoints" 'Endpoints: +10\.42\.0\.[0-9]+:8080,10\.42\.0\.[0-9]+:8080' kp describe service web-app
expect "describe node: pods" 'production +web-app-' k describe node e2e
expect "-o yaml" '^kind: Deployment' kp get deployment web-app -o yaml
expect "-o json" '"readyReplicas": 3' kp get deployment web-app -o json
same "-o jsonpath" 3 "$(kp get deployment web-app -o jsonpath='{.status.readyReplicas}')"
same "-o name" deployment.apps/web-app "$(kp get deployment web-app -o name)"
same "label selectors" 3 "$(kp get pods -l 'app in (web),version!=v2' -o name | wc -l)"
same "field selectors" 3 "$(kp get pods --field-selector spec.nodeName=e2e,status.phase=Running -o name | wc -l)"
expect "explain" 'replicas' k explain deployment.spec
expect "diff says nothing of an unchanged file" '^$' bash -c "$(declare -f k); $(declare -p NODE KUBECTL DATA WORK); k diff -f '$demo/web-app.yaml'; echo"
