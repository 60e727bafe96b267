#!/bin/sh
# Make the wheelhouse and install it where there is no network: `make airgap`. Takes some minutes; CI runs it.
# `unshare` takes the network away where the kernel lets us; elsewhere a proxy that cannot be does.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

"$root/deploy/wheelhouse.sh" "$place/wheelhouse"
digest=$(sha256sum "$place/wheelhouse/SHA256SUMS" | cut -d' ' -f1)
export https_proxy=http://127.0.0.1:1 http_proxy=http://127.0.0.1:1
alone="unshare --map-root-user --net"
$alone true 2> /dev/null || alone=
cd "$place"  # so that nothing of the checkout is imported
$alone "$place/wheelhouse/install.sh" "$place/lianmo" "$digest"
$alone "$place/lianmo/bin/lianmo" hub init --hub "$place/hub"
$alone "$place/lianmo/bin/lianmo" node inventory --json > /dev/null
echo "installed without a network 离线安装成功${alone:+ (unshare)}"
