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
for need in chromium:chromium; do
    if ! command -v "${need%%:*}" > /dev/null && command -v apt-get > /dev/null && [ "$(id -u)" = 0 ]; then
        echo "deps: installing ${need##*:}, for the tests of the live page"
        apt-get update -q && apt-get install -q -y --no-install-recommends "${need##*:}" fonts-dejavu-core \
            || echo "deps: ${need##*:} cannot be had; its tests will be left out"
    fi
done
# A linker that finds the disk full dies of a bus error, which tells nobody what to do.
free=$(df -Pk . | awk 'NR == 2 { print int($4 / 1048576) }')
[ "$free" -ge 6 ] || echo "deps: only $free GiB are free here; the tests build about 4 GiB" >&2
if ! command -v cargo > /dev/null; then
    echo "deps: missing: Rust. Install rustup from https://rustup.rs; rust-toolchain.toml then picks the version." >&2
    exit 1
fi
echo "deps: $(cargo --version), $(cc --version | head -n 1)"
