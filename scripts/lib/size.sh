# Sourced by scripts/test and scripts/quickstart: the budgets of design.md.

# size_budget BINARY: the stripped binary at most 45 MB, the supervisor built beside it (a static file; what it takes of
# memory is measured in Benchmarks) at most 1 MB. A supervisor that is not there is a failure, not a pass.
size_budget() {
  local stripped code=0
  stripped=$(mktemp)
  strip -o "$stripped" "$1" || code=1
  within noded "$stripped" 45000000 || code=1
  rm -f "$stripped"
  stripped=$(mktemp)
  strip -o "$stripped" "$(dirname "$1")/Supervisor-tool" && within supervisor "$stripped" 1000000 || code=1
  rm -f "$stripped"
  return $code
}

# within NAME FILE BYTES
within() {
  local size
  size=$(stat -c %s "$2")
  if [ "$size" -le "$3" ]; then
    echo "$1: $size bytes stripped, at most $3"
  else
    echo "$1: $size bytes stripped, over its budget of $3: what grew? (bloaty, or nm --size-sort -S)"
    return 1
  fi
}
