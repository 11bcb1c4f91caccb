#!/usr/bin/env bash
# Runs every test that this machine can run, says in capitals what it left out and why, and ends with a line that counts.
set -uo pipefail
cd "$(dirname "$0")/.."

log=$(mktemp)
trap 'rm -f "$log"' EXIT
left_out=()
status=0

# The tests of tests/wired and tests/peers need the programs, and this command builds them anyway.
case ${CARGO_TARGET_DIR:-target} in
    /*) built=$CARGO_TARGET_DIR/debug ;;
    *) built=$PWD/${CARGO_TARGET_DIR:-target}/debug ;;
esac
export ROUSE_BIN=$built/rouse QUEUE_PROXY_BIN=$built/queue-proxy

features=rouse/cluster
echo "== building the programs and the tests; the first build takes some minutes"
# Every target, as the tests of the cluster start programs of packages that have no tests of their own.
cargo build --workspace --locked --all-targets --features "$features" || exit 1
echo "== a control plane for the tests of the cluster"
tests/control-plane/build.sh || echo "== the tests of the cluster are left out"
echo "== running the tests"
cargo test --workspace --locked --no-fail-fast --features "$features" 2>&1 | tee "$log" || status=1
grep -q '^test result:' "$log" || status=1

# A test that cannot run on this machine says so itself, on a line of its own, and never pretends to have passed.
while read -r line; do left_out+=("$line"); done < <(sed -n 's/^LEFT OUT: //p' "$log" | sort -u)
left_out+=("the iris examples, which download their Python packages (make example-iris, make example-iris-shadow)")

# Tests that are marked as ignored say why in the mark.
while read -r line; do left_out+=("$line"); done < <(sed -nE 's/^test ([a-zA-Z0-9_:]+) \.\.\. ignored(, (.*))?$/\1, which \3 (cargo test --workspace -- --ignored \1)/p' "$log")

sum() { awk -v word="$1" '/^test result:/ { for (i = 1; i < NF; i++) if ($(i + 1) ~ "^" word) total += $i } END { print total + 0 }' "$log"; }
passed=$(sum passed) failed=$(sum failed)
[ "$failed" = 0 ] && [ "$status" = 0 ] || { status=1; grep -E '^(test .* FAILED|error|    [a-z_:]+$)' "$log" | sort -u | head -40; }

echo
echo "golden sets played: $(grep -cE '^[a-z_]+: [0-9]+ lines, [0-9]+ outputs compared' "$log"), pending: $(grep -c '^PENDING' "$log")"
for reason in "${left_out[@]}"; do echo "LEFT OUT: ${reason^^}"; done
list=$(printf '%s; ' "${left_out[@]}")
echo "PASSED $passed, FAILED $failed, LEFT OUT ${#left_out[@]}: ${list%; }"
exit $status
