# Cold: one blob of 500 MB that nobody has pulled before, through an empty cache each time. Sourced by loadtest/bench.

cold_servers=(roadstead proxy_cache registry)

run_cold() {
    local round server
    for ((round = 0; round < rounds; round++)); do
        section "cold: round $((round + 1))"
        for server in $(rotated $round direct "${cold_servers[@]}"); do
            cold_round "$server" free "$upstream"
        done
    done
    local port images=(--image "bench/cold:1=${recipe[bench/cold]}")
    port=$(free_port)
    start paced "$loadtest" upstream --listen "127.0.0.1:$port" --bandwidth 100MB "${images[@]}"
    until_ready paced grep -q '^ready' "$logs/paced"
    for ((round = 0; round < rounds; round++)); do
        section "cold, upstream of 100 MB/s: round $((round + 1))"
        for server in $(rotated $round direct roadstead); do
            cold_round "$server" paced "http://127.0.0.1:$port"
        done
    done
    stop paced
}

cold_round() { # SERVER KIND UPSTREAM
    local url before title="cold 500 MB"
    [[ $2 == free ]] || title="cold 500 MB at 100 MB/s"
    if [[ $1 == direct ]]; then
        address[direct]=$3/v2
        measure --connections 1 --requests 1 "$(blob_urls direct bench/cold)"
    else
        "start_$1" "$1" "$3"
        measure --connections 1 --requests 1 --header "Accept: $manifest_type" "$(manifest_url "$1" bench/cold)"
        url=$(blob_urls "$1" bench/cold)
        before=$(upstream_gets)
        measure --connections 1 --requests 1 --server "${pids[$1]}" --settle 1500ms "$url"
        if [[ $2 == free ]]; then
            record "$title, server s" "$1" "$(reported .server_seconds)"
            record "$title, upstream GETs" "$1" $(($(upstream_gets) - before))
        fi
        stop "$1"
        rm -rf "${work:?}/$1.data" "${work:?}/$1.cache"
    fi
    record "$title, wall s" "$1" "$(reported .seconds)"
    echo "   $1: $(reported '.seconds * 1000 | floor / 1000') s"
}

# How many times the upstream has sent the blob so far.
upstream_gets() {
    grep -c "\"GET [^\"]*/blobs/${blobs[bench/cold]} " "$work/upstream.access" || true
}
