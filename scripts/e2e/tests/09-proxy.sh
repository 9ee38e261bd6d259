# Through the API server to pods, Services and the node; kubectl proxy

raw() { k get --raw "$@"; }
base=/api/v1/namespaces/production
pod=$(web_pods | head -n 1)
expect "services/NAME:PORTNAME/proxy" '<h1>Hello from noded</h1>' raw "$base/services/web-app:http/proxy/"
expect "services/NAME:PORT/proxy" '<h1>Hello from noded</h1>' raw "$base/services/web-app:80/proxy/"
expect "pods/NAME/proxy finds the declared port" "$pod" raw "$base/pods/$pod/proxy/"
expect "pods/http:NAME:PORT/proxy" "$pod" raw "$base/pods/http:$pod:8080/proxy/"
refused "a port of the Service that is not there" 'no service port 81 found for service "web-app"' raw "$base/services/web-app:81/proxy/"
refused "a port that nobody listens on" 'error trying to reach service: dial tcp 10\.42\.0\.[0-9]+:81: connect: connection refused' raw "$base/pods/$pod:81/proxy/"
jq -nc '{apiVersion: "v1", kind: "Service", metadata: {name: "nobody"}, spec: {selector: {app: "nobody"}, ports: [{port: 80}]}}' | kp apply -f - >/dev/null
refused "a Service without endpoints" 'no endpoints available for service "nobody:80"' raw "$base/services/nobody:80/proxy/"
kp delete service nobody >/dev/null

expect "nodes/NAME/proxy/healthz" '^ok$' raw /api/v1/nodes/e2e/proxy/healthz
same "nodes/NAME/proxy/pods" 3 "$(raw /api/v1/nodes/e2e/proxy/pods | jq '[.items[] | select(.metadata.labels.app == "web") | select(.status.phase == "Running")] | length')"
same "nodes/NAME/proxy/runningpods" 3 "$(raw /api/v1/nodes/e2e/proxy/runningpods/ | jq '[.items[] | select(.metadata.namespace == "production")] | length')"
expect "nodes/NAME/proxy/metrics" '^kubelet_running_pods [1-9]' raw /api/v1/nodes/e2e/proxy/metrics
refused "a page that is not there" 'could not find the requested resource|404|NotFound' raw /api/v1/nodes/e2e/proxy/configz

# kubectl proxy: a server of kubectl's own in front of ours.
nsenter --net="/run/netns/$NODE" "$KUBECTL" --kubeconfig "$DATA/admin.kubeconfig" proxy --port=0 >"$WORK/proxy.log" 2>&1 &
by_port=$!
nsenter --net="/run/netns/$NODE" "$KUBECTL" --kubeconfig "$DATA/admin.kubeconfig" proxy --unix-socket="$WORK/proxy.sock" >"$WORK/proxy2.log" 2>&1 &
by_socket=$!
serves() { grep -q 'Starting to serve on 127' "$WORK/proxy.log" && [ -S "$WORK/proxy.sock" ]; }
if wait_until 60 serves; then ok "kubectl proxy starts"; else fail "kubectl proxy starts" "$(cat "$WORK"/proxy*.log)"; fi
port=$(sed -nE 's/.*127\.0\.0\.1:([0-9]+).*/\1/p' "$WORK/proxy.log")
expect "kubectl proxy --port=0" '"v1"' in_node curl -s --max-time 60 "http://127.0.0.1:$port/api/"
expect "kubectl proxy --unix-socket" '"v1"' in_node curl -s --max-time 60 --unix-socket "$WORK/proxy.sock" http://localhost:0/api/
page="http://127.0.0.1:$port$base/services/web-app:http/proxy"
expect "a page through both proxies" '<h1>Hello from noded</h1>' in_node curl -s --max-time 60 "$page/"
expect "without the slash, a redirect that stays below the proxy" "^301 http://127.0.0.1:$port$base/services/web-app:http/proxy/\$" \
  in_node curl -s --max-time 60 -o /dev/null -w '%{http_code} %{redirect_url}\n' "$page"
for method in POST PUT PATCH DELETE OPTIONS; do
  # busybox httpd answers GET and HEAD; what counts is that the answer is its own.
  expect "$method reaches the pod" '^[45]0[0-9]$' in_node curl -s --max-time 60 -o /dev/null -w '%{http_code}\n' -X $method -d x=y "$page/nothing"
done
head -c 50000000 /dev/zero >"$WORK/large"
expect "a body of 50 MB to a server that does not want it has an answer" '^[45]0[0-9]$' \
  in_node curl -s --max-time 60 -o /dev/null -w '%{http_code}\n' -X POST --data-binary @"$WORK/large" "$page/nothing"
rm -f "$WORK/large"
{ kill $by_port $by_socket; wait $by_port $by_socket; } 2>/dev/null
