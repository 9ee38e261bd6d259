# Sourced by scripts/test, scripts/e2e/run and scripts/quickstart: what noded and its tests may leave in the kernel and on disk.
#
#     leftovers >before          one line a thing: netns, link, address, route, kernel parameter, mount, nft table, cgroup,
#                                process, file
#     ...
#     new_leftovers before 15    prints what is there now and was not before; waits up to 15 s for it to go

leftovers() {
  # What cannot be asked here (no nft, a process just gone) is not there; that is no failure.
  {
    set +e
    ip netns list 2>/dev/null | awk '{ print "netns " $1 }'
    ip -o link show 2>/dev/null | awk -F': ' '{ sub(/@.*/, "", $2); print "link " $2 }'
    ip -o address show dev lo 2>/dev/null | awk '{ print "address " $4 " on lo" }'
    # 78 is what noded writes into its routes as their maker.
    { ip -o route show table all proto 78; ip -6 -o route show table all proto 78; } 2>/dev/null | sed 's/^/route /'
    local parameter
    for parameter in net/ipv4/ip_forward net/ipv6/conf/all/forwarding net/ipv6/conf/default/accept_ra; do
      [ -r "/proc/sys/$parameter" ] && echo "sysctl $parameter $(cat "/proc/sys/$parameter")"
    done
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
