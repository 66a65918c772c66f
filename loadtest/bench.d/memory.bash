# Memory: one blob far larger than it, cold and warm, alone and with many slow clients. Sourced by loadtest/bench.

run_memory() {
    section "memory: an upstream with a blob of $huge"
    local port
    port=$(free_port)
    # Layers that fill the blob tier, for a tier that is empty proves nothing; and one that does not fit into it.
    start paced "$loadtest" upstream --listen "127.0.0.1:$port" \
        --image "bench/fill:1=8:$(printf '4MiB%.0s,' {1..63})4MiB" --image "bench/huge:1=9:$huge"
    until_ready paced grep -q '^ready' "$logs/paced"
    blobs[bench/fill]=$(memory_layers 4194304)
    blobs[bench/huge]=$(memory_layers '[0-9]\{9,\}')
    memory_start "$port"
    memory_phase "cold, one client" memory_pull 1
    memory_phase "warm, one client" memory_pull 1
    memory_phase "warm, 500 slow clients" memory_slow
    stop roadstead
    memory_start "$port"
    memory_phase "cold, 500 slow clients and a fast one" memory_slow_and_fast
    stop roadstead
    stop paced
}

# The digests of the layers of a size.
memory_layers() { # PATTERN
    sed -n "s/^ *\(sha256:[0-9a-f]*\)  $1 bytes/\1/p" "$logs/paced"
}

# A server with an empty data directory and a full tier: what is pulled a second time is kept in memory.
memory_start() { # PORT
    start_roadstead roadstead "http://127.0.0.1:$1"
    echo "   idle: $(awk '/^VmRSS/ { print int($2 / 1024) }' "/proc/${pids[roadstead]}/status") MiB"
    memory_phase "the tier is filled" memory_fill
}

memory_fill() {
    pull_once roadstead bench/fill
    pull_once roadstead bench/fill
    memory_note=
}

memory_pull() { # CLIENTS
    measure --connections "$1" --requests "$1" "$(blob_urls roadstead bench/huge)"
    memory_note="$(reported '.bytes_per_second / 1e7 | floor / 100') GB/s"
}

memory_slow() {
    measure --connections 500 --rate 200kB --time "${slow_seconds}s" "$(blob_urls roadstead bench/huge)"
    memory_note="$(reported '.bytes / 1e7 | floor / 100') GB sent"
}

memory_slow_and_fast() {
    local slow
    "$loadtest" measure --connections 500 --rate 200kB --time "${slow_seconds}s" "$(blob_urls roadstead bench/huge)" \
        >"$logs/slow" 2>&1 &
    slow=$!
    memory_pull 1
    wait $slow || { cat "$logs/slow" >&2; return 1; }
}

# Runs a phase and prints the most memory that was resident in it, and how much of that is not the tier's.
memory_phase() { # TITLE COMMAND...
    local title=$1 pid=${pids[roadstead]} peak above memory_note=
    shift
    echo 5 >"/proc/$pid/clear_refs"
    "$@"
    peak=$(awk '/^VmHWM/ { print int($2 / 1024) }' "/proc/$pid/status")
    above=$((peak - tier))
    record "memory: $title, peak MiB" roadstead "$peak"
    record "memory above the tier, MiB" roadstead "$above"
    echo "   $title: peak $peak MiB, $above above the $tier MiB of the tier${memory_note:+ ($memory_note)}"
}

# The default of blob_memory.
tier=256
