#!/usr/bin/env bash
# The example on a real control plane: KServe's Python server as the pod's process, with the sidecar, from zero and woken, V2
# over HTTP and gRPC. Makes what it needs: the virtual environment, the programs, and etcd with Kubernetes' own.
set -euo pipefail
cd "$(dirname "$0")"
./prepare.sh
cd ../..
echo "== building the programs and a control plane"
cargo build --quiet --workspace --locked --bins --test iris --features rouse/cluster
tests/control-plane/build.sh
echo "== kserve.yaml on it"
cargo test --quiet --workspace --locked --features rouse/cluster --test iris
