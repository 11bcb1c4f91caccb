#!/usr/bin/env bash
# A real model, cold: makes the virtual environment, trains, starts `rouse up`, and sends one V2 request at zero replicas.
# With KEEP=1 it leaves `rouse up` running until Ctrl-C, to be looked at.
set -euo pipefail
cd "$(dirname "$0")"
LISTEN=${LISTEN:-127.0.0.1:8080}
ADMIN=${ADMIN:-127.0.0.1:8090}

./prepare.sh

echo "== building rouse"
cargo build --quiet --release -p rouse
rouse=$(cd ../..; pwd)/target/release/rouse
[ -n "${CARGO_TARGET_DIR:-}" ] && rouse=$CARGO_TARGET_DIR/release/rouse

echo "== in examples/iris: rouse up -f iris.yaml"
"$rouse" up -f iris.yaml --listen "$LISTEN" --admin "$ADMIN" &
up=$!
scratch=$(mktemp -d)
trap 'rm -r "$scratch"; kill -INT $up 2>/dev/null; wait $up 2>/dev/null || true' EXIT
for _ in $(seq 100); do
    curl --silent --fail --output /dev/null "http://$ADMIN/readyz" && break
    kill -0 $up 2> /dev/null || { echo "iris: rouse up has ended; its last lines say why" >&2; exit 1; }
    sleep 0.1
done

request='{"inputs":[{"name":"input-0","shape":[1,4],"datatype":"FP32","data":[[4.0,3.9,2.3,0.6]]}]}'
ask() {
    curl --silent --show-error --max-time 120 --dump-header $scratch/head \
        --write-out '\n%{http_code} after %{time_total} s\n' \
        --header 'content-type: application/json' --data "$request" "http://$LISTEN/v2/models/iris/infer" | tee "$scratch/body"
    grep -iE '^(server-timing|rouse-)' "$scratch/head" || true
}
echo "== before: $("$rouse" get --admin "http://$ADMIN" | sed -n 2p)"
echo "== a V2 request at zero replicas"
ask
grep -q '"data":\[0\]' "$scratch/body" || { echo "iris: the answer is not class 0" >&2; exit 1; }
echo "== class 0 (setosa). The same request again, warm"
ask
echo "== after"
"$rouse" get --admin "http://$ADMIN"
if [ -n "${KEEP:-}" ]; then
    echo "== it goes back to zero by itself; Ctrl-C ends it"
    wait $up
fi
