#!/usr/bin/env bash
# Installs what mlpc is built and tested with, on Debian 12: as root, or with sudo. Does nothing if it is all there.
set -euo pipefail

packages=(
  ca-certificates git g++ cmake ninja-build binutils zlib1g-dev
  llvm-22-dev liblld-22-dev lld-22
  libfmt-dev doctest-dev libcli11-dev nlohmann-json3-dev
  clang-22 libclang-rt-22-dev clang-format-22 # all presets, and the house style
  valgrind # counts instructions
  qemu-user libc6-dev-arm64-cross libgcc-12-dev-arm64-cross # what is compiled for aarch64 runs in the tests
  dataset-fashion-mnist
  python3-numpy python3-matplotlib # examples/lecture measures and draws with them
)

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "setup: these packages are missing, and there is neither root nor sudo: ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi
echo "setup: installing ${missing[*]}"
for attempt in 1 2 3; do
  "${as_root[@]}" apt-get update -qq && break
  [ "$attempt" -lt 3 ] || { echo "setup: apt-get update failed three times" >&2; exit 1; }
  sleep 5
done
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
