# Sourced by scripts/test, scripts/e2e/run and scripts/quickstart: what noded and its tests may leave in the kernel and on disk.
#
#     leftovers >before          one line a thing: netns, link, mount, nft table, cgroup, process, file
#     ...
#     new_leftovers before 15    prints what is there now and was not before; waits up to 15 s for it to go

leftovers() {
  # What cannot be asked here (no nft, a process just gone) is not there; that is no failure.
  {
    set +e
    ip netns list 2>/dev/null | awk '{ print "netns " $1 }'
    ip -o link show 2>/dev/null | awk -F': ' '{ sub(/@.*/, "", $2); print "link " $2 }'
    ip -o address show dev lo 2>/dev/null | awk '{ print "address " $4 " on lo" }'
    awk '{ print "mount " $5 }' /proc/self/mountinfo
    nft list tables 2>/dev/null | awk 'tolower($0) ~ /noded/ { print "nft " $0 }'
    local tree
    for tree in $(awk '$0 ~ / - cgroup2 / { print $5 }' /proc/self/mountinfo); do
      find "$tree" -type d -path '*noded*' 2>/dev/null | sed 's/^/cgroup /'
    done
    local directory program
    for directory in /proc/[0-9]*; do
      program=$(readlink "$directory/exe" 2>/dev/null) || continue
      case $program in
        */noded | */noded' (deleted)' | */noded-* | *memfd:*noded* | *memfd:*supervisor* | */Supervisor | *.xctest)
          echo "process ${directory#/proc/} $program" ;;
      esac
    done
    find /run /tmp /var/lib -maxdepth 1 -name 'noded*' 2>/dev/null | sed 's/^/file /'
  } | sort -u || true
}

new_leftovers() {
  local before=$1 patience=${2:-0} deadline found
  deadline=$((SECONDS + patience))
  while :; do
    found=$(leftovers | comm -13 "$before" -)
    [ -n "$found" ] || return 0
    [ $SECONDS -lt $deadline ] || break
    sleep 0.3
  done
  printf '%s\n' "$found"
  return 1
}
