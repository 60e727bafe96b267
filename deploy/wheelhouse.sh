#!/bin/sh
# Make a folder from which lianmo installs without any network: wheels as pinned, their sums, install.sh.
# Usage: deploy/wheelhouse.sh [FOLDER] - PYTHON names the interpreter; the folder fits its version and this platform.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-$root/dist/wheelhouse}
python=${PYTHON:-python3}

rm -rf "$out"
mkdir -p "$out"
# The pins are constraints, so that only what lianmo needs to run comes along, not what its developers need.
"$python" -m pip wheel --quiet --disable-pip-version-check --constraint "$root/requirements.lock" \
    --wheel-dir "$out" "$root"
install -m 0755 "$root/deploy/install.sh" "$out/install.sh"
(cd "$out" && LC_ALL=C sha256sum -- *.whl install.sh > SHA256SUMS)

n=$(find "$out" -name '*.whl' | wc -l)
size=$(du -sh "$out" | cut -f1)
echo "$out: $n wheels, $size"
echo "Tell the receiver this digest over another channel 请通过其他渠道告知接收方以下摘要:"
sha256sum "$out/SHA256SUMS" | cut -d' ' -f1
