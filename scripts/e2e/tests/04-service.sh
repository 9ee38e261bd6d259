# Services, names, probes

ip=$(service_ip)
expect "a page through the Service, from the node" '<h1>Hello from noded</h1>' in_node curl -s --max-time 30 "http://$ip/"
answers=$(fetch 300)
same "300 requests, all answered" 300 "$(awk '{ n += $1 } END { print n + 0 }' <<<"$answers")"
same "by all three replicas" 3 "$(grep -c . <<<"$answers")"
pod=$(web_pods | head -n 1)
# Not wget: Debian's busybox-static crashes in its static glibc whenever it resolves a name, nslookup excepted.
for name in web-app web-app.production web-app.production.svc web-app.production.svc.cluster.local; do
  expect "by name from a pod: $name" '^10 requests, 0 failed' kp exec "$pod" -- loop "$name" 80 10 1
done
expect "the DNS answer is the Service's address" "$ip" kp exec "$pod" -- nslookup web-app.production.svc.cluster.local
refused "a name that does not exist" 'no such name' kp exec "$pod" -- loop no-such.production.svc.cluster.local 80 1 1
expect "pods reach themselves through the Service, too (hairpin)" '^60 requests, 0 failed' kp exec "$pod" -- loop web-app 80 60 1

jq -nc '{apiVersion: "v1", kind: "Service", metadata: {name: "nobody"}, spec: {selector: {app: "nobody"}, ports: [{port: 80}]}}' | kp apply -f - >/dev/null
ip=$(kp get service nobody -o jsonpath='{.spec.clusterIP}')
# The best of five: a SYN that is dropped is sent again after 1 s, each time.
took=9999
for _ in 1 2 3 4 5; do
  begun=$(date +%s%N)
  in_node curl -s --max-time 30 "http://$ip/" >/dev/null
  code=$? this=$((($(date +%s%N) - begun) / 1000000))
  [ $code = 7 ] || break
  [ $this -ge $took ] || took=$this
done
if [ $code = 7 ] && [ $took -lt 1000 ]; then ok "a Service without endpoints refuses at once"; else fail "a Service without endpoints refuses at once" "curl: $code after $took ms"; fi
kp delete service nobody >/dev/null

# failureThreshold 3 x period 2 s + timeout 1 s
kp exec "$pod" -- rm /srv/www/ready
begun=$(date +%s%N)
if wait_until 30 ready_endpoints_are 2; then
  ok "a failing readiness probe takes its pod out ($((($(date +%s%N) - begun) / 1000000)) ms, at most 7000 + polling)"
else
  fail "a failing readiness probe takes its pod out" "$(kp get endpointslices -o yaml | tail -n 40)"
fi
if wait_until 30 answering_are 2; then ok "and requests go to the other two"; else fail "and requests go to the other two" "$(fetch 100)"; fi
kp exec "$pod" -- touch /srv/www/ready
if wait_until 60 ready_endpoints_are 3; then ok "and back when it is ready again"; else fail "and back when it is ready again"; fi
same "without a restart" 0 "$(restarts "$pod")"

kp exec "$pod" -- rm /srv/www/health
restarted() { [ "$(restarts "$pod")" = 1 ]; }
if wait_until 90 restarted; then ok "a failing liveness probe restarts the container"; else fail "a failing liveness probe restarts the container" "$(kp describe pod "$pod" | tail -n 20)"; fi
soon "an event says why" 'Liveness probe failed' kp get events --field-selector "involvedObject.name=$pod"
expect "logs --previous" 'listens on 8080' kp logs --previous "$pod"
if wait_until 60 ready_endpoints_are 3; then ok "and it comes back"; else fail "and it comes back"; fi
