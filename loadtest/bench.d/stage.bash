# What the benchmark stands on: a work directory, processes that end with it, tools, and the list of results.
# Sourced by loadtest/bench.

export PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH
export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1

work=$(mktemp -d "${BENCH_DIR:-/tmp}/roadstead-bench.XXXXXX")
logs=$work/logs results=$work/results
mkdir "$logs"
: >"$results"

section() { printf '\n-- %s (%d s)\n' "$1" "$SECONDS"; }

# ---------------------------------------------------------------------------------------------- processes

declare -A pids=()

# Starts a process under a name; its output becomes $logs/NAME.
start() { # NAME COMMAND...
    local name=$1
    shift
    "$@" >"$logs/$name" 2>&1 </dev/null &
    pids[$name]=$!
}

running() { # NAME
    [[ -n ${pids[$1]:-} ]] && kill -0 "${pids[$1]}" 2>/dev/null
}

# Ends a process in good order, or after 10 seconds in bad.
stop() { # NAME
    local name=$1 pid=${pids[$1]:-} tries
    [[ -n $pid ]] || return 0
    kill -TERM "$pid" 2>/dev/null || true
    for ((tries = 0; tries < 100; tries++)); do
        running "$name" || break
        sleep 0.1
    done
    if running "$name"; then kill -KILL "$pid"; fi
    unset "pids[$name]"
    wait "$pid" 2>/dev/null || true
}

# Waits until a command succeeds: at most 60 seconds, and not beyond the end of the process it depends on.
until_ready() { # NAME COMMAND...
    local name=$1 deadline=$((SECONDS + 60))
    shift
    until "$@" >/dev/null 2>&1; do
        if ! running "$name" || ((SECONDS >= deadline)); then
            echo "$name did not become ready:" >&2
            tail -n 20 "$logs/$name" >&2
            return 1
        fi
        sleep 0.05
    done
}

clean_up() {
    local status=$? name
    set +e
    for name in "${!pids[@]}"; do stop "$name"; done
    if [[ -n $keep ]]; then echo "kept: $work"; else rm -rf "$work"; fi
    exit $status
}
trap clean_up EXIT
trap 'exit 130' INT TERM

free_port() {
    local port
    while :; do
        # Below the range from which the kernel gives out ports of its own accord.
        port=$((20000 + RANDOM % 10000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo $port
}

# ---------------------------------------------------------------------------------------------- tools

install_tools() {
    local missing=() tool
    for tool in docker-registry curl jq; do
        command -v "$tool" >/dev/null || missing+=("$tool")
    done
    command -v nginx >/dev/null || missing+=(nginx-light)
    ((${#missing[@]})) || return 0
    echo "installing ${missing[*]}"
    local policy=/usr/sbin/policy-rc.d placed=
    # The packages bring services; this keeps them from being started.
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod +x $policy
        placed=1
    fi
    local status=0
    {
        apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}"
    } >"$logs/apt" 2>&1 </dev/null || status=$?
    if [[ -n $placed ]]; then rm -f $policy; fi
    if ((status)); then tail -n 20 "$logs/apt" >&2; fi
    return $status
}

describe_machine() {
    section "the machine"
    local model memory
    model=$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1)
    memory=$(awk '/^MemTotal/ { printf "%.0f GB", $2 / 1e6 }' /proc/meminfo)
    echo "   $(nproc) x ${model:-unknown processor}, $memory, Linux $(uname -r)"
    echo "   $(df --output=fstype "$work" | tail -n 1) under $work"
    echo "   $("$roadstead" --version), $(nginx -v 2>&1 | sed 's|.*: ||'), docker-registry $(docker-registry --version |
        sed 's|.* ||')"
    echo "   $rounds rounds, $seconds s each, order rotating"
}

# ---------------------------------------------------------------------------------------------- measuring

# Runs the load generator and puts its report into $report; fails when a request failed.
measure() { # OPTION... URL...
    if ! report=$("$loadtest" measure --json "$@" 2>"$logs/measure"); then
        cat "$logs/measure" >&2
        return 1
    fi
}

reported() { # JQ-EXPRESSION
    jq -r "$1" <<<"$report"
}

record() { # MEASUREMENT SERVER VALUE
    printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$results"
}

# The servers in the order of a round: each comes first in turn.
rotated() { # ROUND SERVER...
    local round=$1 index
    shift
    for ((index = 0; index < $#; index++)); do
        local place=$(((index + round) % $# + 1))
        echo "${!place}"
    done
}
