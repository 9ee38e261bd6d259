# Logs and exec

pod=$(web_pods | head -n 1)
expect "logs" "web-app v1.0.0 on $pod listens on 8080" kp logs "$pod"
expect "logs --tail=1 --timestamps" '^20[0-9-]+T[0-9:.]+(Z|\+00:00) ' kp logs "$pod" --tail=1 --timestamps
expect "logs of a deployment" 'listens on 8080' kp logs deployment/web-app
(K_TIMEOUT=60 kp logs -f "$pod" >"$WORK/follow" 2>&1) &
follower=$!
wait_until 30 test -s "$WORK/follow"
expect "exec prints" '^hello$' kp exec "$pod" -- echo hello
kp exec "$pod" -- sh -c 'echo followed-line >/proc/1/fd/1' >/dev/null 2>&1
if wait_until 30 grep -q followed-line "$WORK/follow"; then ok "logs -f follows"; else fail "logs -f follows" "$(tail -n 5 "$WORK/follow")"; fi
stop_child $follower
kp exec "$pod" -- sh -c 'exit 7' >/dev/null 2>&1
same "exec hands on the exit code" 7 $?
same "exec -i takes input" "$(seq 1 20000 | sha256sum)" "$(seq 1 20000 | kp exec -i "$pod" -- sha256sum)"
same "exec hands out a lot" "$(seq 1 200000 | sha256sum)" "$(kp exec "$pod" -- seq 1 200000 | sha256sum)"
same "stdout and stderr stay apart" err "$(kp exec "$pod" -- sh -c 'echo out; echo err >&2' 2>&1 >/dev/null)"
tty=$(script -qec "KUBECACHEDIR=$WORK/cache nsenter --net=/run/netns/$NODE $KUBECTL --kubeconfig $DATA/admin.kubeconfig -n production exec -it $pod -- sh -c 'tty; stty size'" /dev/null </dev/null 2>&1)
if grep -q '/dev/pts/' <<<"$tty"; then ok "exec -it has a terminal"; else fail "exec -it has a terminal" "$tty"; fi
refused "exec of a program that is not there" 'no-such-program' kp exec "$pod" -- no-such-program
expect "environment from ConfigMap, Secret and the pod itself" 'Hello from noded not-a-real-key 10\.42\.' kp exec "$pod" -- sh -c 'echo $GREETING $API_KEY $POD_IP'
expect "the ConfigMap as a file" '^info$' kp exec "$pod" -- cat /etc/web/LOG_LEVEL
refused "which is read-only" 'Read-only|denied' kp exec "$pod" -- sh -c 'echo x >/etc/web/LOG_LEVEL'
check "the emptyDir takes files" kp exec "$pod" -- sh -c 'echo x >/srv/scratch/x'
expect "a system-call filter is on" 'Seccomp:[[:space:]]+2' kp exec "$pod" -- grep Seccomp: /proc/self/status
expect "the default capabilities, no more" 'CapEff:[[:space:]]+00000000a80425fb' kp exec "$pod" -- grep CapEff /proc/self/status
same "the host name is the pod's" "$pod" "$(kp exec "$pod" -- hostname)"
