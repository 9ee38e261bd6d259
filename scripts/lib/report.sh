# Sourced by every script here: how they speak. Colours only on a terminal.

if [ -t 1 ]; then bold=$'\033[1m' green=$'\033[32m' red=$'\033[31m' plain=$'\033[0m'; else bold="" green="" red="" plain=""; fi

say() { printf '%s==>%s %s\n' "$bold" "$plain" "$*"; }
die() { printf '%serror:%s %s\n' "$red" "$plain" "$*" >&2; exit 1; }

need_root() { [ "$(id -u)" = 0 ] || die "$0 needs root: namespaces, mounts and nftables are made for real (try: sudo $0)"; }

# phase NAME COMMAND...: runs it, says how long it took, keeps its exit code.
phase() {
  local name=$1 begun=$SECONDS code=0
  shift
  say "$name"
  "$@" || code=$?
  say "$name: $([ $code = 0 ] && echo done || echo "FAILED (exit $code)") in $((SECONDS - begun)) s"
  return $code
}

# wait_until SECONDS COMMAND...: asks ten times a second; fails when the time is over.
wait_until() {
  local deadline=$(($(date +%s%N) + $1 * 1000000000))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$(date +%s%N)" -lt "$deadline" ] || return 1
    sleep 0.1
  done
}
