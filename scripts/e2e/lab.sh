# Sourced by scripts/e2e/run: the laboratory and the words that tests are written in.
#
#     netns noded-e2e-PID: eth0 192.168.87.2/24 --veth-- netns noded-e2e-PID-lan: eth0 192.168.87.1/24
#
# The node has no default route and no way out. noded is entered by nsenter, not `ip netns exec`: that one would mount
# a /sys without the cgroup tree.

passed=0 failed=0 broken=""

title() { printf '\n%s%s%s\n' "$bold" "$1" "$plain"; }
ok() { passed=$((passed + 1)); printf '  %sok%s    %s\n' "$green" "$plain" "$1"; }
# fail WHAT [DETAIL]
fail() {
  failed=$((failed + 1))
  printf '  %sFAIL%s  %s\n' "$red" "$plain" "$1"
  [ -z "${2:-}" ] || printf '%s\n' "$2" | tail -n 15 | sed 's/^/        | /'
  return 1
}
# check WHAT COMMAND...: the command succeeds.
check() {
  local what=$1 text
  shift
  if text=$("$@" 2>&1); then ok "$what"; else fail "$what" "$text"; fi
}
# expect WHAT REGEX COMMAND...: the command succeeds and says so.
expect() {
  local what=$1 regex=$2 text code=0
  shift 2
  text=$("$@" 2>&1) || code=$?
  if [ $code = 0 ] && grep -qE -- "$regex" <<<"$text"; then ok "$what"; else fail "$what" "exit $code, wanted: $regex
$text"; fi
}
# refused WHAT REGEX COMMAND...: the command fails and says why.
refused() {
  local what=$1 regex=$2 text code=0
  shift 2
  text=$("$@" 2>&1) || code=$?
  if [ $code != 0 ] && grep -qE -- "$regex" <<<"$text"; then ok "$what"; else fail "$what" "exit $code, wanted a refusal: $regex
$text"; fi
}
same() {
  if [ "$2" = "$3" ]; then ok "$1"; else fail "$1" "wanted: $2
   found: $3"; fi
}
# soon WHAT REGEX COMMAND...: as expect, but what is told a moment later counts, too.
soon() { wait_until 60 says "${@:2}"; expect "$@"; }
says() {
  local regex=$1
  shift
  "$@" 2>&1 | grep -qE -- "$regex"
}
# essential: after a failed check without which nothing else makes sense.
essential() { broken=$1; }

in_node() { nsenter --net="/run/netns/$NODE" "$@"; }
k() { KUBECACHEDIR=$WORK/cache timeout --foreground "${K_TIMEOUT:-200}" nsenter --net="/run/netns/$NODE" "$KUBECTL" --kubeconfig "$DATA/admin.kubeconfig" "$@"; }
kp() { k -n production "$@"; }
noded() { in_node "$NODED" "$@"; }

# Not through in_node: a function in the background is a subshell, and its number would be that one's.
start_noded() {
  nsenter --net="/run/netns/$NODE" "$NODED" run "${PATHS[@]}" --node-name e2e --node-ip 192.168.87.2 --resolv-conf "$WORK/resolv.conf" </dev/null >>"$WORK/noded.log" 2>&1 &
  NODED_PID=$!
}
noded_runs() { [ -n "$NODED_PID" ] && kill -0 "$NODED_PID" 2>/dev/null; }
is_ready() { k get --raw /readyz; }
# Waits for readyz, but not for a noded that has ended.
until_ready() {
  local deadline=$((SECONDS + $1))
  until is_ready >/dev/null 2>&1; do
    noded_runs && [ $SECONDS -lt $deadline ] || return 1
    sleep 0.1
  done
}
# stop_noded SIGNAL: sets `stop_code`.
stop_noded() {
  [ -n "$NODED_PID" ] || return 0
  kill "-$1" "$NODED_PID" 2>/dev/null
  stop_code=0
  { wait "$NODED_PID"; } 2>/dev/null || stop_code=$?
  NODED_PID=""
}
# stop_child PID: of a subshell in the background, with the program that it waits for.
stop_child() {
  pkill -P "$1" 2>/dev/null
  kill "$1" 2>/dev/null
  { wait "$1"; } 2>/dev/null
}
node_ready() { [ "$(k get node e2e -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}')" = True ]; }
web_pods() { kp get pods -l app=web --no-headers -o custom-columns=:metadata.name; }
service_ip() { kp get service web-app -o jsonpath='{.spec.clusterIP}'; }
# fetch N: N pages through the Service, from the node, each over a connection of its own; prints the pods that answered.
fetch() { in_node curl -s --http1.0 --max-time 180 "http://$(service_ip)/?[1-$1]" | grep -oE 'web-app-[a-z0-9]+-[a-z0-9]+' | sort | uniq -c; }
ready_endpoints() { kp get endpointslices -l kubernetes.io/service-name=web-app -o json | jq '[.items[].endpoints[]? | select(.conditions.ready)] | length'; }
# answering_are N: as many pods answer through the Service.
answering_are() { [ "$(fetch 100 | grep -c .)" = "$1" ]; }
ready_endpoints_are() { [ "$(ready_endpoints)" = "$1" ]; }
restarts() { kp get pod "$1" -o jsonpath='{.status.containerStatuses[0].restartCount}'; }

# Processes in containers: "pid starttime", without the short-lived ones.
container_pids() {
  local first
  first=$(list_pids)
  sleep 0.5
  list_pids | comm -12 <(printf '%s\n' "$first") -
}
list_pids() {
  local pid
  find "$CGROUPS" -type d -path "*$CGROUP*" -exec cat {}/cgroup.procs \; 2>/dev/null | while read -r pid; do
    grep -qE 'Name:[[:space:]]+noded$' "/proc/$pid/status" 2>/dev/null && continue
    echo "$pid $(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | cut -d' ' -f20)"
  done | sort
}

# What the pods of this node left in it: links, mounts, cgroups, containers' files.
pod_remains() {
  in_node ip -o link show 2>/dev/null | awk -F': ' '$2 ~ /^nd/ { print "link " $2 }'
  awk -v data="$DATA" -v run="$RUN" 'index($5, data "/") == 1 || index($5, run "/") == 1 { print "mount " $5 }' /proc/self/mountinfo
  find "$CGROUPS" -type d -path "*$CGROUP*/pod*" 2>/dev/null | sed 's/^/cgroup /'
  find "$RUN/pods" -mindepth 1 2>/dev/null | sed 's/^/file /'
  find "$DATA/pods" "$DATA/containers" -mindepth 1 -maxdepth 1 -type d 2>/dev/null | grep -E '[0-9a-f]{8}-' | sed 's/^/file /'
}
nothing_remains() { [ -z "$(pod_remains)" ]; }

open_lab() {
  CGROUPS=$(awk '$0 ~ / - cgroup2 / { print $5; exit }' /proc/self/mountinfo)
  NODE=noded-e2e-$$ LAN=noded-e2e-$$-lan CGROUP=noded-e2e-$$ RUN=/run/noded-e2e-$$ NODED_PID="" stop_code=0
  BEFORE=$(mktemp /tmp/e2e-before.XXXXXX)
  leftovers >"$BEFORE"
  WORK=$(mktemp -d /tmp/noded-e2e.XXXXXX)
  chmod 711 "$WORK"
  DATA=$WORK/data
  PATHS=(--data-dir "$DATA" --run-dir "$RUN" --cgroup "$CGROUP")
  printf 'nameserver 192.168.87.1\n' >"$WORK/resolv.conf"
  ip netns add "$NODE" && ip netns add "$LAN" || die "cannot make network namespaces"
  ip -n "$NODE" link set lo up
  ip -n "$LAN" link set lo up
  ip -n "$NODE" link add eth0 type veth peer name eth0 netns "$LAN" || die "cannot make a veth pair"
  ip -n "$NODE" address add 192.168.87.2/24 dev eth0
  ip -n "$LAN" address add 192.168.87.1/24 dev eth0
  ip -n "$NODE" link set eth0 up
  ip -n "$LAN" link set eth0 up
  say "noded: $NODED; $("$KUBECTL" version --client 2>/dev/null | head -n 1); work in $WORK"
}

close_lab() {
  trap - EXIT
  set +u
  [ -z "${E2E_LOG:-}" ] || cp "$WORK/noded.log" "$E2E_LOG"
  if [ $failed != 0 ] && [ -f "$WORK/noded.log" ]; then
    title "the last lines of noded's log"
    tail -n 60 "$WORK/noded.log"
  fi
  title "after all"
  stop_noded KILL
  # Ours by name, or by having run below our cgroup or in our namespace: others may be at work on this machine.
  local own="noded-e2e-$$|$WORK|^nft " left pid
  for pid in $(ip netns pids "$NODE" 2>/dev/null; list_pids | cut -d' ' -f1); do own+="|^process $pid "; done
  [ ! -d "$DATA" ] || timeout 60 nsenter --net="/run/netns/$NODE" "$NODED" reset --yes "${PATHS[@]}" >/dev/null 2>&1
  # What reset should have done, for a noded that cannot: only below names that are this run's own.
  local directory
  find "$CGROUPS" -depth -type d -name "$CGROUP" 2>/dev/null | while read -r directory; do
    echo 1 >"$directory/cgroup.kill"
    sleep 0.3
    find "$directory" -depth -type d -exec rmdir {} \;
  done 2>/dev/null
  for pid in $(ip netns pids "$NODE" 2>/dev/null); do kill -9 "$pid" 2>/dev/null; done
  awk -v data="$DATA" -v run="$RUN" 'index($5, data) == 1 || index($5, run) == 1 { print $5 }' /proc/self/mountinfo | sort -r |
    while read -r directory; do umount -l "$directory"; done
  ip netns del "$NODE" 2>/dev/null
  ip netns del "$LAN" 2>/dev/null
  rm -rf "$WORK" "$RUN"
  left=$(new_leftovers "$BEFORE" 15 | grep -E "$own")
  if [ -z "$left" ]; then
    ok "nothing is left on the machine"
  else
    fail "nothing is left on the machine" "$left"
  fi
  rm -f "$BEFORE"
  printf '\n%d passed, %d failed\n' $passed $failed
  [ $failed = 0 ] && [ -z "$broken" ] && [ $passed != 0 ]
  exit $?
}
