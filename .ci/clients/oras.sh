# The ORAS client, the Python one: by Roadstead's prefix, and without it.
# shellcheck shell=bash

oras_starts() {
    documented_file pull.py ORAS >"$work/pull.py"
    cat >"$work/push.py" <<'PYTHON'
import sys

from oras.client import OrasClient

target, *files = sys.argv[1:]
OrasClient(insecure=True).push(target=target, files=files, disable_path_validation=True)
PYTHON
}

oras_push() { # NAME FILE:MEDIA-TYPE...
    "$work/venv/bin/python3" "$work/push.py" "$@" >/dev/null
}

oras_pull() { # NAME DIRECTORY
    "$work/venv/bin/python3" "$work/pull.py" "$1" "$2/files"
}
