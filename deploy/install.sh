#!/bin/sh
# Install lianmo from the folder this file lies in, without a network.
# Usage: install.sh FOLDER [DIGEST]
#   FOLDER  a new virtual environment; PYTHON names the interpreter to make it with
#   DIGEST  of SHA256SUMS, as the maker of this folder told it over another channel
set -eu
here=$(cd "$(dirname "$0")" && pwd)
target=${1:?Usage: install.sh FOLDER [DIGEST]}
digest=${2:-}
python=${PYTHON:-python3}

stop() {
    echo "$1" >&2
    echo "$2" >&2
    exit 1
}

cd "$here"
if [ -n "$digest" ]; then
    found=$(sha256sum SHA256SUMS | cut -d' ' -f1)
    [ "$found" = "$digest" ] || stop \
        "SHA256SUMS is not the file whose digest you were told: do not install from this folder." \
        "SHA256SUMS 与告知的摘要不符：请勿从此目录安装。"
fi
sha256sum --quiet --strict --check SHA256SUMS || stop \
    "A file is missing or was changed: do not install from this folder." \
    "文件缺失或已被改动：请勿从此目录安装。"
[ ! -e "$target" ] || stop \
    "$target is there already: name a new folder, then let the services use it." \
    "$target 已存在：请指定新目录，再让服务改用该目录。"

"$python" -m venv "$target"
# The files in the list and no others: pip would prefer a newer version that somebody put beside them.
LC_ALL=C sed -n 's/^[0-9a-f]\{64\}  \([^/]*\.whl\)$/\1/p' SHA256SUMS | sed 's|^|./|' > "$target/wheels.txt"
"$target/bin/python" -m pip --isolated install --quiet --disable-pip-version-check --no-index --no-deps \
    --requirement "$target/wheels.txt"
"$target/bin/python" -m pip --isolated --disable-pip-version-check check
"$target/bin/lianmo" --help > /dev/null
echo "$target/bin/lianmo is ready 已就绪"
