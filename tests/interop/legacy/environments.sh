#!/usr/bin/env bash
# Virtual environments with the TensorFlow runtimes of Fiji's plugin, for the tests in this folder, where the
# interpreters exist: .venv-tf1.15 (Python 3.7) and .venv-tf1.12 (Python 3.6) at the root of the checkout.
set -euo pipefail
cd "$(dirname "$0")/../../.."

find_python() {
    local candidate
    for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
        # A shim of pyenv is on the path even where its Python is not installed.
        if "$candidate" -c "import venv" 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}

make_environment() {
    local folder=".venv-$1" version="$2" python
    shift 2
    if [ -f "$folder/installed" ]; then return; fi
    python="$(find_python "$version")"
    if [ -z "$python" ]; then
        echo "no Python $version: the tests that need $folder will be skipped"
        return
    fi
    "$python" -m venv "$folder"
    # The newest pip, setuptools and wheel that these interpreters can run; the pip they come with is too old to tell.
    "$folder/bin/python" -m pip install -q --disable-pip-version-check --upgrade "pip<22" "setuptools<60" "wheel<0.38"
    "$folder/bin/python" -m pip install -q --disable-pip-version-check "$@"
    touch "$folder/installed"
}

make_environment tf1.15 3.7 "tensorflow==1.15.5" "protobuf<3.21" "numpy<1.19"
make_environment tf1.12 3.6 "tensorflow==1.12.3" "protobuf<3.18" "numpy<1.19"
