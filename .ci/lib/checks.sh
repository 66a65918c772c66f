# Checks of the end to end scripts: each is a line of the output, and counted.
# shellcheck shell=bash

passed=0 failed=0

section() { printf '\n-- %s (%d s)\n' "$1" "$SECONDS"; }

# Runs a command and counts whether it succeeds; what it prints is shown only if it does not. The command runs outside
# any condition, so that `set -e` holds inside a subshell of its own.
check() { # TITLE COMMAND...
    local title=$1 status
    shift
    set +e
    "$@" >"$work/check" 2>&1
    status=$?
    set -e
    if ((status == 0)); then
        passed=$((passed + 1))
        echo "   ok      $title"
    else
        failed=$((failed + 1))
        echo "   FAILED  $title"
        tail -n 40 "$work/check" | sed 's/^/           /'
    fi
}

equal() { # EXPECTED ACTUAL
    [[ $1 == "$2" ]] || { printf 'expected %s\nbut got  %s\n' "$1" "$2"; return 1; }
}
