# Processes of the end to end scripts: started under a name, logged under that name, ended with the story.
# shellcheck shell=bash

declare -A pids=()

# Starts a process under a name; its output becomes $logs/NAME.
start() { # NAME COMMAND...
    local name=$1
    shift
    "$@" >>"$logs/$name" 2>&1 </dev/null &
    pids[$name]=$!
}

running() { # NAME
    [[ -n ${pids[$1]:-} ]] && kill -0 "${pids[$1]}" 2>/dev/null
}

# Ends a process in good order and succeeds if it exits with 0 within 30 seconds.
stop() { # NAME
    local name=$1 pid=${pids[$1]:-} tries
    [[ -n $pid ]] || return 0
    kill -TERM "$pid" 2>/dev/null || true
    for ((tries = 0; tries < 600; tries++)); do
        running "$name" || break
        sleep 0.05
    done
    if running "$name"; then kill -KILL "$pid"; fi
    unset "pids[$name]"
    wait "$pid"
}

# Waits until a command succeeds: at most 30 seconds, and not beyond the end of the process it depends on.
until_ready() { # NAME COMMAND...
    local name=$1 deadline=$((SECONDS + 30))
    shift
    until "$@" >/dev/null 2>&1; do
        if ! running "$name" || ((SECONDS >= deadline)); then
            echo "$name did not become ready"
            return 1
        fi
        sleep 0.02
    done
}

free_port() {
    local port
    while :; do
        # Below the range from which the kernel gives out ports of its own accord.
        port=$((20000 + RANDOM % 10000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo $port
}

clean_up() {
    local status=$? name log
    set +e
    if ((status != 0 || failed > 0)); then
        for log in "$logs"/*; do
            printf '\n--- the end of the log of %s ---\n' "$(basename "$log")"
            tail -n 40 "$log" | cut -c 1-400
        done
    fi
    for name in "${!pids[@]}"; do stop "$name" 2>/dev/null; done
    # What a client leaves mounted if it could not end in good order.
    awk -v under="$work/" 'index($2, under) == 1 {print $2}' /proc/mounts | sort -r | xargs -r umount -l
    rm -rf "$work"
    if ((status != 0)); then failed=$((failed + 1)); fi
    echo
    echo "$SECONDS s"
    echo "$passed passed, $failed failed"
    ((failed == 0)) || exit 1
}
