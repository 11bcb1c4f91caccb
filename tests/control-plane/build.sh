#!/usr/bin/env bash
# Builds etcd and the programs of a Kubernetes control plane from their published modules, once, into a folder outside the
# clone that is named after what it was made from. Prints that folder on its last line. Ends with 69, and a line that says
# why, where they cannot be had.
#
# ROUSE_KUBE_BIN=FOLDER takes programs that are there already: etcd kube-apiserver kube-controller-manager kube-scheduler
# kube-proxy kubelet kubectl.
set -euo pipefail
cd "$(dirname "$0")"

programs=(etcd kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl)
say() { echo "control plane: $*" >&2; }
cannot() { say "$*"; exit 69; }
has_all() { for program in "${programs[@]}"; do [ -x "$1/$program" ] || return 1; done; }

if [ -n "${ROUSE_KUBE_BIN:-}" ]; then
    has_all "$ROUSE_KUBE_BIN" || cannot "ROUSE_KUBE_BIN=$ROUSE_KUBE_BIN lacks one of ${programs[*]}"
    echo "$ROUSE_KUBE_BIN"
    exit
fi
if [ -n "${KUBEBUILDER_ASSETS:-}" ] && has_all "$KUBEBUILDER_ASSETS"; then
    echo "$KUBEBUILDER_ASSETS"
    exit
fi

sums() { cat etcd/go.mod etcd/go.sum kubernetes/go.mod kubernetes/go.sum; }
key=$(sums | sha256sum | cut -c1-12)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/rouse
folder=$cache/kube-$key
if has_all "$folder"; then
    echo "$folder"
    exit
fi

# What says Go's version in go.mod is the least that builds it, and another one is not downloaded.
export GOTOOLCHAIN=local CGO_ENABLED=0 GOFLAGS=-mod=readonly
command -v go > /dev/null || cannot "Go is not installed; its programs are built from source (https://go.dev/dl, $(sed -n 's/^go //p' kubernetes/go.mod) or newer)"
mkdir -p "$cache"
building=$(mktemp -d "$cache/building.XXXXXX")
# A build leaves gigabytes that nothing else uses.
[ -n "${GOCACHE:-}" ] || export GOCACHE=$building/cache
log=$building/log
alive=
finish() { [ -z "$alive" ] || kill "$alive" 2> /dev/null || true; chmod -R u+w "$building" 2> /dev/null || true; rm -rf "$building"; }
trap finish EXIT

version=$(sed -n 's/^require k8s.io\/kubernetes //p; s/^\tk8s.io\/kubernetes \(v[^ ]*\).*/\1/p' kubernetes/go.mod | head -n 1)
minor=$(cut -d. -f2 <<< "$version")
v=k8s.io/component-base/version
flags="-s -w -X $v.gitVersion=$version -X $v.gitMajor=1 -X $v.gitMinor=$minor -X $v.gitTreeState=clean -X $v.buildDate=1970-01-01T00:00:00Z"

for module in etcd kubernetes; do
    go -C "$module" list -m > "$log" 2>&1 || cannot "$(tail -n 1 "$log") (newer ones: https://go.dev/dl)"
done
say "downloading the modules of etcd and Kubernetes $version"
for module in etcd kubernetes; do
    go -C "$module" mod download > "$log" 2>&1 || { tail -n 3 "$log" >&2; cannot "the modules of $module cannot be downloaded or are not what go.sum says"; }
done

begun=$SECONDS
say "building them: about ten minutes on two processors, once for each version"
(while sleep 30; do say "still building, $((SECONDS - begun)) s so far: $(du -sm "$GOCACHE" 2> /dev/null | cut -f1) MB compiled"; done) &
alive=$!
mkdir "$building/bin"
for module in etcd kubernetes; do
    nice -n 5 go -C "$module" build -trimpath -ldflags "$flags" -o "$building/bin/" tool > "$log" 2>&1 || { tail -n 20 "$log" >&2; cannot "$module does not build with $(go version)"; }
    say "$module is built, after $((SECONDS - begun)) s"
done
# Go names a program after its folder.
[ -x "$building/bin/etcd" ] || mv "$building/bin/server" "$building/bin/etcd"
has_all "$building/bin" || cannot "a program is missing among $(ls "$building/bin")"
rm -rf "$folder"
mv "$building/bin" "$folder"
say "built in $((SECONDS - begun)) s, $(du -sm "$folder" | cut -f1) MB in $folder"
echo "$folder"
