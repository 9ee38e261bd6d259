# Scale, watch, a rolling update that loses no request

(kp get deployment web-app -w --no-headers >"$WORK/watch" 2>&1) &
watcher=$!
expect "scale up" 'scaled' kp scale deployment web-app --replicas=5
check "to five" kp wait --for=jsonpath='{.status.readyReplicas}'=5 deployment/web-app --timeout=120s
kp scale deployment web-app --replicas=3 >/dev/null
three_pods() { [ "$(web_pods | grep -c .)" = 3 ]; }
if wait_until 90 three_pods; then ok "scale down to three"; else fail "scale down to three" "$(kp get pods)"; fi
wait_until 30 grep -qE '5/5' "$WORK/watch"
stop_child $watcher
if grep -qE '5/5' "$WORK/watch"; then ok "get -w saw it"; else fail "get -w saw it" "$(cat "$WORK/watch")"; fi

# ask NAME SECONDS: a pod in namespace default that asks the Service by name, 100 times a second.
ask() {
  k run "$1" --image=ghcr.io/company/web-app:v1.0.0 --restart=Never --command -- /bin/loop web-app.production 80 "${3:-100}" "$2" >/dev/null
  k wait --for=jsonpath='{.status.phase}'=Running "pod/$1" --timeout=90s >/dev/null
}
# answered NAME SECONDS WHAT: waits for the asker's end; it has lost no request.
answered() {
  local text
  k wait --for=jsonpath='{.status.phase}'=Succeeded "pod/$1" --timeout="$2s" >/dev/null 2>&1
  text=$(k logs "$1" 2>&1)
  if [ "$(k get pod "$1" -o jsonpath='{.status.phase}')" = Succeeded ]; then ok "$3: $(tail -n 1 <<<"$text")"; else fail "$3" "$text"; fi
  k delete pod "$1" --grace-period=0 --wait=true >/dev/null 2>&1
}

ask during-update 20
sed 's/v1\.0\.0/v1.1.0/' "$demo/web-app.yaml" >"$WORK/changed.yaml"
expect "apply of a changed file" 'deployment.apps/web-app configured' k apply -f "$WORK/changed.yaml"
expect "rolls out" 'successfully rolled out' kp rollout status deployment web-app --timeout=180s
expect "to the new version" 'version v1.1.0' in_node curl -s --max-time 30 "http://$(service_ip)/"
same "in a second replica set" 2 "$(kp get rs -o name | wc -l)"
expect "rollout history" '^2 ' kp rollout history deployment web-app
answered during-update 150 "no request is lost in a rolling update"
kp scale deployment web-app --replicas=3 >/dev/null
wait_until 90 three_pods
