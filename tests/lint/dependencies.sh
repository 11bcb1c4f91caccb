#!/usr/bin/env bash
# Who may reach whom (ARCHITECTURE.md has the table and the reasons). Asks cargo, so that a dependency of a dependency
# counts too. Tests are free: only normal dependencies are looked at. So are the programs of activator and autoscaler, which
# choose the platform: those two are asked without their feature `cluster`, as the libraries that others embed.
set -euo pipefail
cd "$(dirname "$0")/../.."
faults=0

libraries_only() {
    case $1 in activator | autoscaler) echo --no-default-features ;; esac
}

# must_never CRATE NAME...: none of the names may stand anywhere in the crate's tree.
must_never() {
    local crate=$1 tree
    shift
    tree=$(cargo tree --quiet --locked -p "$crate" $(libraries_only "$crate") -e normal --prefix none --format '{p}' | awk '{print $1}' | sort -u)
    for name in "$@"; do
        if grep -qx -- "$name" <<< "$tree"; then
            echo "dependencies: $crate reaches $name, and must not: cargo tree -p $crate -i $name"
            faults=$((faults + 1))
        fi
    done
}

for pure in kpa balance traffic compare breaker wire units; do
    must_never "$pure" tokio kube k8s-openapi hyper tracing
done
must_never activator kube k8s-openapi kpa
must_never autoscaler kube k8s-openapi forward breaker
must_never queue-proxy kube k8s-openapi api kpa platform
must_never local kube k8s-openapi
must_never platform kube k8s-openapi hyper
must_never api kube k8s-openapi hyper tokio
must_never forward kube k8s-openapi api kpa
must_never daemon kube k8s-openapi api kpa
must_never rouse kube k8s-openapi
must_never rouse openssl-sys aws-lc-sys rcgen
must_never queue-proxy openssl-sys aws-lc-sys rcgen

[ "$faults" = 0 ] && echo "dependencies: as the table says"
exit $((faults != 0))
