# Warm: everything is cached. Sourced by loadtest/bench.

warm_servers=(roadstead nginx nginx_256k proxy_cache registry)

run_warm() {
    section "warm: starting servers and filling them"
    start_static nginx
    start_nginx_256k
    start_proxy_cache proxy_cache "$upstream"
    start_registry registry "$upstream"
    start_roadstead roadstead "$upstream"
    local server repository round
    for server in "${warm_servers[@]}"; do
        for repository in bench/small bench/large bench/wide; do pull_once "$server" $repository; done
    done
    for ((round = 0; round < rounds; round++)); do
        section "warm: round $((round + 1))"
        for server in $(rotated $round "${warm_servers[@]}"); do warm_round "$server"; done
    done
    for server in "${warm_servers[@]}"; do stop "$server"; done
}

warm_round() { # SERVER
    local urls load=(--time "${seconds}s" --warm-up 500ms --server "${pids[$1]}")
    measure "${load[@]}" --connections 32 --header "Accept: $manifest_type" "$(manifest_url "$1" bench/small)"
    record 'manifests by tag, requests/s' "$1" "$(reported .requests_per_second)"
    record 'manifests by tag, p99 ms' "$1" "$(reported .total_ms.p99)"
    record 'manifests by tag, server us/request' "$1" "$(reported '.server_seconds * 1e6 / .requests')"
    local line="   $1: manifests $(reported '.requests_per_second | floor')/s"
    local kind
    for kind in "1 MB:small:16" "64 MB:large:16" "64 MB beyond memory:wide:16"; do
        IFS=: read -r title name connections <<<"$kind"
        mapfile -t urls < <(blob_urls "$1" "bench/$name")
        measure "${load[@]}" --connections "$connections" "${urls[@]}"
        record "$title blobs, GB/s" "$1" "$(reported '.bytes_per_second / 1e9')"
        record "$title blobs, server s/GB" "$1" "$(reported '.server_seconds * 1e9 / .bytes')"
        line+=", $title $(reported '.bytes_per_second / 1e7 | floor / 100') GB/s"
    done
    echo "$line"
}
