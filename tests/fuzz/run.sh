#!/usr/bin/env bash
# Looks for bytes that break a law of tests/fuzz, door by door, with libFuzzer on the stable compiler.
#   FUZZ_SECONDS=60      for each door
#   FUZZ="frames file"   only these doors
#   FUZZ_KEEP=1          afterwards, keep in corpus/ some of what reaches code that nothing kept there reaches
# What breaks a law is written into corpus/DOOR, where `cargo test -p fuzz` plays it.
set -uo pipefail
cd "$(dirname "$0")/../.."
seconds=${FUZZ_SECONDS:-60}
doors=${FUZZ:-headers frames file settings}
out=${CARGO_TARGET_DIR:-target}/fuzz
MOST_KEPT=60 # files, for each door
# With a target named, build scripts and macros are built without these flags.
host=$(rustc -vV | sed -n 's/^host: //p')

# Without sanitizers nothing here needs a nightly compiler: memory is Rust's, and what is looked for is a panic.
flags="-Cpasses=sancov-module -Ccodegen-units=1 --cfg fuzzing"
# Comparisons are not traced: where names are held against names, telling of each costs a hundred times the work itself.
# Words for the fuzzer are in words/DOOR, and it sees by itself which texts are compared as a whole.
for option in level=4 inline-8bit-counters pc-table; do
    flags+=" -Cllvm-args=-sanitizer-coverage-$option"
done
echo "== building the fuzzer; the first build takes some minutes"
RUSTFLAGS=$flags cargo build --quiet --locked --profile fuzz --target "$host" --target-dir "$out" -p fuzz --features engine --bins || exit 1

status=0
for door in $doors; do
    program=$out/$host/fuzz/fuzz-$door
    kept=tests/fuzz/corpus/$door
    met=$out/corpus/$door
    log=$out/$door.log
    mkdir -p "$met"
    options=(-max_len=2048 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1)
    [ -f "tests/fuzz/words/$door" ] && options+=("-dict=tests/fuzz/words/$door")
    before=$(find "$kept" -type f | sort)
    "$program" "${options[@]}" -max_total_time="$seconds" -artifact_prefix="$kept/" "$met" "$kept" > "$log" 2>&1
    ended=$?
    number() { sed -n "s/^stat::$1: *//p" "$log" | tail -n 1; }
    edges=$(grep -oE 'cov: [0-9]+' "$log" | tail -n 1)
    found=$(comm -13 <(echo "$before") <(find "$kept" -type f | sort))
    echo "$door: $(number number_of_executed_units) runs, $(number average_exec_per_sec) a second, ${edges#cov: } branches reached, $(number peak_rss_mb) MiB, $(grep -c . <<< "$found") found"
    if [ "$ended" != 0 ]; then
        status=1
        grep -E '^thread|panicked|assertion|ERROR: libFuzzer' -A3 "$log" | head -n 12
        for file in $found; do echo "FOUND: $file"; done
        echo "REPLAY: cargo test -p fuzz --test corpus $door      (all that the fuzzer said: $log)"
    elif [ -n "${FUZZ_KEEP:-}" ]; then
        # Those that reach the most are written first, and of those that reach the same the smallest. The long tail, each
        # of which reaches one branch more, stays in the target folder.
        merged=$out/merged/$door
        rm -rf "$merged" && mkdir -p "$merged" && cp "$kept"/* "$merged" && before=$(ls "$merged")
        "$program" -set_cover_merge=1 -use_counters=0 -max_len=300 "$merged" "$met" > "$log.merge" 2>&1 || status=1
        ls -tr "$merged" | grep -vxF "$before" | head -n $((MOST_KEPT - $(wc -w <<< "$before"))) \
            | while read -r file; do cp "$merged/$file" "$kept"; done
        echo "$door: $(find "$kept" -type f | wc -l) kept, $(du -sb "$kept" | cut -f1) bytes"
    fi
done
exit $status
