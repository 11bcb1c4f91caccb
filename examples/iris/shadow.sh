#!/usr/bin/env bash
# A candidate beside the model in use: trains another one, starts `rouse up`, sends 1,000 requests, and holds the agreement
# that is told against one computed without Rouse.
set -euo pipefail
cd "$(dirname "$0")"
LISTEN=${LISTEN:-127.0.0.1:8080}
ADMIN=${ADMIN:-127.0.0.1:8090}

./prepare.sh
[ -f candidate.joblib ] || { echo "== training the candidate, with other parameters"; .venv/bin/python train.py candidate.joblib 0.05; }

echo "== building rouse"
cargo build --quiet --release -p rouse
rouse=${CARGO_TARGET_DIR:-$(cd ../..; pwd)/target}/release/rouse

echo "== in examples/iris: rouse up -f shadow.yaml"
"$rouse" up -f shadow.yaml --listen "$LISTEN" --admin "$ADMIN" > shadow.log 2>&1 &
up=$!
trap 'kill -INT $up 2>/dev/null; wait $up 2>/dev/null || true; rm -f shadow.log' EXIT
for _ in $(seq 100); do
    curl --silent --fail --output /dev/null "http://$ADMIN/readyz" && break
    kill -0 $up 2> /dev/null || { cat shadow.log >&2; echo "iris: rouse up has ended; its last lines say why" >&2; exit 1; }
    sleep 0.1
done
.venv/bin/python shadow.py "$LISTEN" "$ADMIN" || { tail -20 shadow.log >&2; exit 1; }
echo "== the agreement is the same"
