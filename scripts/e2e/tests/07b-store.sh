# The store: looked at and saved while noded runs, restored elsewhere, never over a running noded

expect "noded store status beside a running noded" 'noded +running' noded store status --data-dir "$DATA"
expect "store status counts objects" '[0-9]+ configmaps' noded store status --data-dir "$DATA"
expect "store status --check reads everything" 'integrity +ok' noded store status --data-dir "$DATA" --check
expect "noded backup beside a running noded" 'objects at revision [0-9]+' noded backup "$WORK/backup" --data-dir "$DATA"
same "a backup is its owner's alone" 600 "$(stat -c %a "$WORK/backup")"
mkfifo "$WORK/pipe"
refused "a backup takes the place of no pipe or device" 'no regular file' noded backup "$WORK/pipe" --data-dir "$DATA"
refused "noded restore refuses a running noded's data" 'is running on' noded restore "$WORK/backup" --data-dir "$DATA" --force
expect "noded restore makes a new data directory" 'objects restored' noded restore "$WORK/backup" --data-dir "$WORK/restored"
check "with the same certificate authority" cmp "$DATA/pki/ca.crt" "$WORK/restored/pki/ca.crt"
expect "noded store status without a noded" 'noded +not running' noded store status --data-dir "$WORK/restored" --check
refused "noded restore does not replace a store by itself" 'use --force' noded restore "$WORK/backup" --data-dir "$WORK/restored"
head -c 5000 "$WORK/backup" >"$WORK/torn-backup"
refused "a torn backup is refused" 'no whole backup' noded restore "$WORK/torn-backup" --data-dir "$WORK/restored" --force
expect "and the store is still whole" 'integrity +ok' noded store status --data-dir "$WORK/restored" --check
dd if=/dev/zero of="$WORK/restored/store/state.db" bs=4096 seek=4 count=8 conv=notrunc status=none
refused "a damaged store is named, with what to do" 'noded restore FILE --force' noded store status --data-dir "$WORK/restored" --check
rm -rf "$WORK/restored"
