#!/usr/bin/env bash
# Make the environment with torch 2.3 and torchtext 0.18 if there is none, and print the path of its Python.
# The packages (5 GB, some minutes) are outside the checkout, one folder per set of pins, kept from run to run and
# shared by checkouts. The checkout itself holds a thin environment on top of them with nothing but this project.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
pins=constraints-torchtext.txt
thin=$PWD/.venv-torchtext

"$python" -c 'import sys; (3, 10) <= sys.version_info < (3, 13) or sys.exit("torch 2.3 has wheels for Python 3.10 to \
3.12; this is %d.%d. Name another: make test-torchtext PYTHON=python3.12" % sys.version_info[:2])'
key=$("$python" -c 'import hashlib, pathlib, sys
print(hashlib.sha256(pathlib.Path(sys.argv[1]).read_bytes() + sys.version.encode()).hexdigest()[:12])' "$pins")
packages=${XDG_CACHE_HOME:-$HOME/.cache}/lstm-readout-environments/torchtext-$key

mkdir -p "$packages"
if command -v flock >/dev/null; then # another checkout may be installing the same packages
  exec 9>"$packages.lock"
  flock 9
fi
if [ ! -e "$packages/ready" ]; then # also after an interrupted install
  echo "torchtext: installing $pins into $packages" >&2
  "$python" -m venv --clear "$packages"
  "$packages/bin/python" -m pip install --quiet --requirement "$pins" >&2
  touch "$packages/ready"
  for other in "$(dirname "$packages")"/torchtext-*/; do
    [ "$other" = "$packages/" ] || echo "torchtext: from other pins, delete if unused: $other" >&2
  done
fi
if [ "$(cat "$thin/ready" 2>/dev/null)" != "$packages" ] || [ pyproject.toml -nt "$thin/ready" ]; then
  "$python" -m venv --clear --without-pip "$thin" # pip's own setuptools would hide the pinned one
  site=$("$thin/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  below=$("$packages/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  echo "import site; site.addsitedir('$below')" >"$site/packages.pth"
  "$thin/bin/python" -m pip install --quiet --no-deps --no-build-isolation --editable . >&2
  echo "$packages" >"$thin/ready"
fi
echo "$thin/bin/python"
