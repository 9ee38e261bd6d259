# attach and port-forward, with the newest supported client and the oldest

newest=$KUBECTL
oldest=$(command -v kubectl || true)
image=ghcr.io/company/web-app:v1.0.0
forward_log=$WORK/forward
# forward_to NAMESPACE ARGUMENT...: port-forward in the background, its number in `forward`. kubectl itself is the child: it
# ends by signal.
forward_to() {
  local ns=$1
  shift
  : >"$forward_log"
  KUBECACHEDIR=$WORK/cache nsenter --net="/run/netns/$NODE" "$KUBECTL" --kubeconfig "$DATA/admin.kubeconfig" -n "$ns" port-forward "$@" >"$forward_log" 2>&1 &
  forward=$!
  wait_until 60 grep -q 'Forwarding from 127.0.0.1' "$forward_log"
}
forward_ends() { ! kill -0 "$forward" 2>/dev/null; }
stop_forward() {
  kill "$forward" 2>/dev/null
  { wait "$forward"; } 2>/dev/null
}
# said WHAT REGEX: in the output of port-forward.
said() { if wait_until 60 grep -qiE "$2" "$forward_log"; then ok "$1"; else fail "$1" "$(cat "$forward_log")"; fi; }
# at_terminal INPUT COMMAND...: kubectl at a terminal, on which INPUT is typed after two seconds.
at_terminal() {
  local input=$1
  shift
  (sleep 2; printf '%s' "$input"; sleep 2) |
    timeout 90 script -qec "KUBECACHEDIR=$WORK/cache nsenter --net=/run/netns/$NODE $KUBECTL --kubeconfig $DATA/admin.kubeconfig -n streams $*" /dev/null
}
# upload PORT FILE: sends a file, ends its side, prints the answer.
upload() {
  in_node python3 -c '
import socket, sys
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 90)
connection.sendall(open(sys.argv[2], "rb").read())
connection.shutdown(socket.SHUT_WR)
print(connection.makefile().read().split()[0])' "$1" "$2"
}

k create namespace streams >/dev/null
head -c 10485760 /dev/urandom >"$WORK/big"
for KUBECTL in "$newest" $oldest; do
  client=$("$KUBECTL" version --client 2>/dev/null | sed -nE '1s/.*v([0-9]+\.[0-9]+).*/\1/p')
  ks() { k -n streams "$@"; }
  ks apply -f - >/dev/null <<YAML
apiVersion: v1
kind: Pod
metadata: {name: talker}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
  - {name: talker, stdin: true, stdinOnce: true, image: "$image", command: [sh, -c, 'while read -r line; do echo "heard \$line"; done; exit 4']}
---
apiVersion: v1
kind: Pod
metadata: {name: sleeper}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: sleeper, image: "$image", command: [sleep, "3600"]}
---
apiVersion: v1
kind: Pod
metadata: {name: server}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: server
    image: "$image"
    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
    command: [sh, -c, 'mkdir /tmp/w; head -c 10485760 /dev/urandom >/tmp/w/big; nc -ll -p 9090 -e sha256sum & exec httpd -f -p 8080 -h /tmp/w']
YAML
  check "$client: three pods" ks wait --for=condition=Ready pod/talker pod/sleeper pod/server --timeout=120s

  expect "$client: attach -i joins the streams" '^heard one$' bash -c \
    "(sleep 1; echo one; sleep 1) | KUBECACHEDIR=$WORK/cache timeout 60 nsenter --net=/run/netns/$NODE $KUBECTL --kubeconfig $DATA/admin.kubeconfig -n streams attach -i talker"
  refused "$client: attach to a container that is not there" 'container nobody (not found|is not valid) ' ks attach sleeper -c nobody
  typed=$(at_terminal $'word\n' run shell --image=$image --restart=Never -it --rm -- sh -c "'read -r x; tty; echo got-\$x'" 2>&1)
  if grep -q '/dev/pts/' <<<"$typed" && grep -q 'got-word' <<<"$typed"; then ok "$client: run -it"; else fail "$client: run -it" "$typed"; fi

  if forward_to streams server 18080:8080 18090:9090; then ok "$client: port-forward listens"; else fail "$client: port-forward listens" "$(cat "$forward_log")"; fi
  sum=$(ks exec server -- sha256sum /tmp/w/big | cut -d' ' -f1)
  same "$client: ten megabytes out" "$sum" "$(in_node curl -sS --max-time 90 http://127.0.0.1:18080/big | sha256sum | cut -d' ' -f1)"
  same "$client: ten megabytes in" "$(sha256sum "$WORK/big" | cut -d' ' -f1)" "$(upload 18090 "$WORK/big")"
  for number in 1 2 3 4 5 6 7 8 9 10; do
    (in_node curl -sS --max-time 90 http://127.0.0.1:18080/big | sha256sum | cut -d' ' -f1 >"$WORK/sum.$number") &
    downloads[number]=$!
  done
  wait "${downloads[@]}"
  same "$client: ten at once" 10 "$(cat "$WORK"/sum.* | grep -c "$sum")"
  in_node timeout 1 curl -sS --limit-rate 100k -o /dev/null http://127.0.0.1:18080/big
  same "$client: a download that is broken off harms no other" "$sum" "$(in_node curl -sS --max-time 90 http://127.0.0.1:18080/big | sha256sum | cut -d' ' -f1)"
  ks delete pod server --now >/dev/null 2>&1
  if wait_until 60 forward_ends; then ok "$client: the forward ends with the pod"; else fail "$client: the forward ends with the pod" "$(cat "$forward_log")"; fi
  said "$client: and says so" 'lost connection to pod'
  stop_forward

  # kubectl ends when it is told of a failure, whatever the server does.
  forward_to streams sleeper 18081:9
  in_node curl -sS --max-time 30 http://127.0.0.1:18081/ >/dev/null 2>&1
  said "$client: a port on which nobody listens" 'error forwarding port 9 to pod sleeper.*connection refused'
  stop_forward
  forward_to production service/web-app 18082:80
  expect "$client: port-forward to a service" 'web-app' in_node curl -sS --max-time 90 http://127.0.0.1:18082/
  stop_forward
  forward_to production deployment/web-app 18083:http
  expect "$client: port-forward to a deployment, by the port's name" 'web-app' in_node curl -sS --max-time 90 http://127.0.0.1:18083/
  stop_forward
  ks delete pod talker sleeper --now >/dev/null 2>&1
done
KUBECTL=$newest
refused "port-forward to a pod that is not there" 'pods "nobody" not found' k -n streams port-forward nobody 18080:80
k delete namespace streams --wait=false >/dev/null
rm -f "$WORK"/big "$WORK"/sum.*
