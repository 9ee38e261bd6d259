# Services, names, probes

ip=$(service_ip)
expect "a page through the Service, from the node" '<h1>Hello from noded</h1>' in_node curl -s --max-time 5 "http://$ip/"
answers=$(fetch 300)
same "300 requests, all answered" 300 "$(awk '{ n += $1 } END { print n + 0 }' <<<"$answers")"
same "by all three replicas" 3 "$(grep -c . <<<"$answers")"
pod=$(web_pods | head -n 1)
for name in web-app web-app.production web-app.production.svc web-app.production.svc.cluster.local; do
  expect "by name from a pod: $name" '<h1>Hello' kp exec "$pod" -- wget -q -T 5 -O - "http://$name/"
done
expect "the DNS answer is the Service's address" "$ip" kp exec "$pod" -- nslookup web-app.production.svc.cluster.local
refused "a name that does not exist" "NXDOMAIN|can't|bad address" kp exec "$pod" -- wget -q -T 5 -O - http://no-such.production.svc.cluster.local/
expect "a pod reaches itself through the Service (hairpin)" '^20$' kp exec "$pod" -- sh -c 'n=0; for i in $(seq 20); do wget -q -T 5 -O /dev/null http://web-app/ && n=$((n+1)); done; echo $n'

kp create service clusterip nobody --tcp=80:80 >/dev/null
begun=$(date +%s%N)
in_node curl -s --max-time 5 "http://$(kp get service nobody -o jsonpath='{.spec.clusterIP}')/" >/dev/null
code=$? took=$((($(date +%s%N) - begun) / 1000000))
if [ $code = 7 ] && [ $took -lt 1000 ]; then ok "a Service without endpoints refuses at once"; else fail "a Service without endpoints refuses at once" "curl: $code after $took ms"; fi
kp delete service nobody >/dev/null

# failureThreshold 3 x period 2 s + timeout 1 s
kp exec "$pod" -- rm /srv/www/ready
begun=$(date +%s%N)
if wait_until 9 ready_endpoints_are 2; then
  ok "a failing readiness probe takes its pod out ($((($(date +%s%N) - begun) / 1000000)) ms, at most 7000 + polling)"
else
  fail "a failing readiness probe takes its pod out" "$(kp get endpointslices -o yaml | tail -n 40)"
fi
same "and requests go to the other two" 2 "$(fetch 100 | grep -c .)"
kp exec "$pod" -- touch /srv/www/ready
if wait_until 15 ready_endpoints_are 3; then ok "and back when it is ready again"; else fail "and back when it is ready again"; fi
same "without a restart" 0 "$(restarts "$pod")"

kp exec "$pod" -- rm /srv/www/health
restarted() { [ "$(restarts "$pod")" = 1 ]; }
if wait_until 45 restarted; then ok "a failing liveness probe restarts the container"; else fail "a failing liveness probe restarts the container" "$(kp describe pod "$pod" | tail -n 20)"; fi
expect "an event says why" 'Liveness probe failed' kp get events --field-selector "involvedObject.name=$pod"
expect "logs --previous" 'listens on 8080' kp logs --previous "$pod"
if wait_until 30 ready_endpoints_are 3; then ok "and it comes back"; else fail "and it comes back"; fi
