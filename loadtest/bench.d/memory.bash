# Memory: one blob far larger than it, cold and warm, alone and with many slow clients. Sourced by loadtest/bench.

run_memory() {
    section "memory: an upstream with a blob of $huge"
    local port
    port=$(free_port)
    start paced "$loadtest" upstream --listen "127.0.0.1:$port" --image "bench/huge:1=9:$huge"
    until_ready paced grep -q '^ready' "$logs/paced"
    blobs[bench/huge]=$(grep -o 'sha256:[0-9a-f]*  [0-9]\{7,\} bytes' "$logs/paced" | cut -d' ' -f1)
    start_roadstead roadstead "http://127.0.0.1:$port"
    memory_phase "idle" true
    memory_phase "cold, one client" memory_pull 1
    memory_phase "warm, one client" memory_pull 1
    memory_phase "warm, 500 slow clients" memory_slow
    stop roadstead
    start_roadstead roadstead "http://127.0.0.1:$port"
    memory_phase "cold, 500 slow clients and a fast one" memory_slow_and_fast
    stop roadstead
    stop paced
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
    echo "   $title: peak $peak MiB, $above above the $tier MiB of the blob tier${memory_note:+ ($memory_note)}"
}

# The default of blob_memory.
tier=256
