# Runs inside the machine, at each boot: what a user does on a fresh Debian, and what only a whole machine can show.
# Limits of time are wide: this is software emulation on a machine with other things to do.

cd /opt/noded || exit 1
. scripts/lib/report.sh
. scripts/lib/leftovers.sh
. scripts/e2e/lab.sh
export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
data=/var/lib/noded
state=/var/lib/whole-machine
image=ghcr.io/company/web-app:v1.0.0

unset -f noded
k() { timeout 120 kubectl --kubeconfig "$data/admin.kubeconfig" "$@"; }
patient() { local what=$1; shift; check "$what" wait_until 240 "$@"; }
# The address may be known already: then no API is asked.
page() { curl -sf --max-time 10 "http://${address:-$(service_ip)}/" | grep -q 'Hello from noded'; }
three_ready() { [ "$(kp get deployment web-app -o jsonpath='{.status.availableReplicas}')" = 3 ]; }
phase_is() { [ "$(kp get pod "$1" -o jsonpath='{.status.phase}')" = "$2" ]; }
group() { find /sys/fs/cgroup -type d -name "pod$(kp get pod "$1" -o jsonpath='{.metadata.uid}')" 2>/dev/null | head -n 1; }
stat_of() { awk -v key="$2" '$1 == key { print $2 }' "$(group "$1")/cpu.stat"; }
throttled() { [ "$(stat_of burn nr_throttled)" -gt 5 ]; }
resized() { [ "$(cat "$(group burn)/memory.max")" = 50331648 ] && grep -q '^40000 ' "$(group burn)/cpu.max"; }
containers() { kp get pods -l app=web -o jsonpath='{range .items[*]}{.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}{"\n"}{end}' | sort; }
finish() {
  echo DONE
  sync
  systemctl poweroff --force --force
}

first_boot() {
  title "a fresh $(. /etc/os-release && echo "$PRETTY_NAME"), Linux $(uname -r)"
  leftovers | grep -v ' /var/lib/noded$' >"$state/before"
  expect "nothing has loaded overlayfs" '^0$' bash -c 'grep -c "^overlay " /proc/modules || true'
  expect "noded check: can run pods" 'can run pods here' noded check
  scripts/demo/image "$state/image.tar" v1.0.0 >/dev/null
  check "the image is imported" noded image import "$state/image.tar"
  check "the unit starts and says when it is ready (Type=notify)" timeout 240 systemctl enable --now noded
  patient "the node is Ready" bash -c "kubectl --kubeconfig $data/admin.kubeconfig get nodes | grep -qw Ready"
  expect "every limit is enforced here" 'every resource limit is enforced' \
    k get nodes -o 'jsonpath={.items[0].status.conditions[?(@.type=="CgroupLimitsUnenforced")].message}'
  check "the demo is applied" k apply -f scripts/demo/web-app.yaml
  patient "three pods are ready" three_ready
  patient "a page through the Service" page

  title "limits"
  cat >"$state/limits.yaml" <<Y
apiVersion: v1
kind: Pod
metadata: {name: oom, namespace: production}
spec:
  restartPolicy: Never
  containers:
  - name: eat
    image: $image
    command: [/bin/busybox, sh, -c, 'x=a; while :; do x=\$x\$x; done']
    resources: {limits: {memory: 32Mi, cpu: 500m}}
---
apiVersion: v1
kind: Pod
metadata: {name: burn, namespace: production}
spec:
  containers:
  - name: burn
    image: $image
    command: [/bin/busybox, sh, -c, 'while :; do :; done']
    resources: {limits: {memory: 32Mi, cpu: 200m}, requests: {cpu: 100m}}
Y
  check "two greedy pods are applied" k apply -f "$state/limits.yaml"
  patient "one ends for want of memory" phase_is oom Failed
  expect "and says so" '^OOMKilled 137$' kp get pod oom -o 'jsonpath={.status.containerStatuses[0].state.terminated.reason} {.status.containerStatuses[0].state.terminated.exitCode}'
  patient "the other runs" phase_is burn Running
  expect "and has its share of a processor" '^20000 100000$' cat "$(group burn)/cpu.max"
  patient "and is held to it" throttled
  check "it is given more while it runs" kp patch pod burn --subresource resize --patch \
    '{"spec":{"containers":[{"name":"burn","resources":{"limits":{"cpu":"400m","memory":"48Mi"}}}]}}'
  patient "which its cgroup shows" resized
  expect "without a restart" '^0$' kp get pod burn -o 'jsonpath={.status.containerStatuses[0].restartCount}'
  same "noded is the last that the kernel would end" -999 "$(cat "/proc/$(systemctl show -P MainPID noded)/oom_score_adj")"
  check "both are deleted" kp delete pod oom burn --timeout=100s

  title "the unit"
  local before
  before=$(containers)
  address=$(service_ip)
  check "systemctl restart" timeout 240 systemctl restart noded
  patient "a page through the Service" page
  same "the same containers, none restarted" "$before" "$(containers)"
  check "systemctl kill -s KILL" systemctl kill --kill-whom=main -s KILL noded
  check "a page while nobody is there to serve the API" page
  patient "systemd starts it again, and the API answers" k get --raw /readyz
  patient "with three pods ready" three_ready
  same "the same containers, none restarted" "$before" "$(containers)"
  containers >"$state/containers"
  sync
  # The guest's kernel falls over with all that it has not written; what its disk was given, it keeps.
  kp create configmap last-words --from-literal=said=yes && echo b >/proc/sysrq-trigger
  fail "a ConfigMap is written, and at once the machine is gone"
}

second_boot() {
  title "after the plug was pulled"
  patient "noded has come back by itself" k get --raw /readyz
  expect "what was acknowledged is there" '^yes$' kp get configmap last-words -o 'jsonpath={.data.said}'
  check "the store is whole" noded store status --check
  patient "three pods are ready" three_ready
  patient "a page through the Service" page
  same "from containers that were started again" "" "$(comm -12 <(cut -d' ' -f1 "$state/containers" | sort) <(containers | cut -d' ' -f1 | sort))"

  title "and away"
  check "the namespace is deleted" k delete namespace production --timeout=110s
  check "the unit is disabled and stopped" timeout 240 systemctl disable --now noded
  check "noded reset --yes" timeout 240 noded reset --yes
  local left
  if left=$(new_leftovers "$state/before" 60); then
    ok "nothing is left: no link, address, route, mount, nft table, cgroup, process or file"
  else
    fail "nothing is left" "$left"
  fi
  finish
}

mkdir -p "$state"
if [ -e "$state/before" ]; then second_boot; else first_boot; fi
