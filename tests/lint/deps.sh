#!/usr/bin/env bash
# Checks what building and testing need. Installs what is missing where apt can; says what to do where it cannot.
set -euo pipefail

missing=()
for need in cc:gcc make:make git:git setsid:util-linux pkill:procps curl:curl; do
    command -v "${need%%:*}" > /dev/null || missing+=("${need##*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
    if command -v apt-get > /dev/null && [ "$(id -u)" = 0 ]; then
        echo "deps: installing ${missing[*]}"
        apt-get update -q && apt-get install -q -y --no-install-recommends "${missing[@]}" libc6-dev ca-certificates
    else
        echo "deps: missing: ${missing[*]}. Install them, for example: sudo apt-get install ${missing[*]} libc6-dev" >&2
        exit 1
    fi
fi
# What only some tests need is installed where that can be done, and else left out by those tests, in capitals.
optional() { # optional PROGRAM PACKAGES WHAT-FOR
    command -v "$1" > /dev/null && return
    if command -v apt-get > /dev/null && [ "$(id -u)" = 0 ]; then
        echo "deps: installing $2, for $3"
        # shellcheck disable=SC2086
        apt-get update -q && apt-get install -q -y --no-install-recommends $2 && return
    fi
    echo "deps: $1 cannot be had (package $2); $3 will be left out"
}
optional chromium "chromium fonts-dejavu-core" "the tests of the live page"
optional python3 "python3 python3-venv" "tests with Python's clients and servers"
optional h2load nghttp2-client "tests with h2load and nghttp"
optional nghttpd nghttp2-server "tests with nghttpd"
for_cluster="the tests on a real control plane"
optional nft nftables "$for_cluster"
optional ip iproute2 "$for_cluster"
optional unshare util-linux "$for_cluster"
optional go golang-go "$for_cluster"
# What apt has is often too old for Kubernetes.
if command -v go > /dev/null; then
    go=$(GOTOOLCHAIN=local go env GOVERSION) least=go$(sed -n 's/^go //p' "$(dirname "$0")/../control-plane/kubernetes/go.mod")
    [ "$(printf '%s\n' "$least" "$go" | sort -V | head -n 1)" = "$least" ] ||
        echo "deps: $go is older than $least (https://go.dev/dl has newer ones); $for_cluster will be left out"
fi
"$(dirname "$0")/../peers/deps.sh"
if ! command -v cargo > /dev/null; then
    echo "deps: missing: Rust. Install rustup from https://rustup.rs; rust-toolchain.toml then picks the version." >&2
    exit 1
fi
echo "deps: $(cargo --version), $(cc --version | head -n 1)"
