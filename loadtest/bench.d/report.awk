# Medians and spread of the recorded values, and the ratios that the targets are about.
# Lines: MEASUREMENT <tab> SERVER <tab> VALUE.
BEGIN { FS = "\t" }

{
    key = $1 FS $2
    if (!($1 in seen)) { seen[$1] = ++measurements; name[measurements] = $1 }
    present[$2]
    value[key, ++count[key]] = $3 + 0
}

function sorted(key,    i, j, n, t) {
    n = count[key]
    for (i = 2; i <= n; i++) {
        t = value[key, i]
        for (j = i - 1; j >= 1 && value[key, j] > t; j--) value[key, j + 1] = value[key, j]
        value[key, j + 1] = t
    }
    return n
}

function median(key,    n) {
    n = sorted(key)
    return n % 2 ? value[key, (n + 1) / 2] : (value[key, n / 2] + value[key, n / 2 + 1]) / 2
}

function shown(number) {
    return number >= 1000 ? sprintf("%.0f", number) : number >= 10 ? sprintf("%.1f", number) : sprintf("%.3f", number)
}

function cell(key,    middle) {
    middle = median(key)
    if (count[key] == 1) return shown(middle)
    return shown(middle) " (" shown(value[key, 1]) " to " shown(value[key, count[key]]) ")"
}

# Is the ratio of Roadstead's median to another's on the right side of the target?
function judge(measurement, other, sense, target,    a, b, ratio, ok) {
    a = measurement FS "roadstead"; b = measurement FS other
    if (!(a in count) || !(b in count)) return
    ratio = median(b) ? median(a) / median(b) : 0
    if (!sense) {
        printf "%-42s %-12s %9.3f  (for orientation)\n", measurement, other, ratio
        return
    }
    ok = sense == ">=" ? ratio >= target : ratio <= target
    printf "%-42s %-12s %9.3f  %s %-6s %s\n", measurement, other, ratio, sense, target, ok ? "reached" : "MISSED"
}

# Is the largest of all values within the target?
function worst(measurement, target,    key, most) {
    key = measurement FS "roadstead"
    if (!(key in count)) return
    most = value[key, sorted(key)]
    printf "%-42s %-12s %9s  %s %-6s %s\n", measurement, "(the largest)", shown(most), "<=", target,
        most <= target ? "reached" : "MISSED"
}

END {
    # In the same order everywhere, whatever round came first.
    columns = split("roadstead nginx nginx_256k proxy_cache registry direct", column, " ")
    width = 24
    printf "%-42s", "median (least to most)"
    for (c = 1; c <= columns; c++) if (column[c] in present) printf " %-" width "s", column[c]
    printf "\n"
    for (m = 1; m <= measurements; m++) {
        printf "%-42s", name[m]
        for (c = 1; c <= columns; c++) {
            if (!(column[c] in present)) continue
            key = name[m] FS column[c]
            printf " %-" width "s", key in count ? cell(key) : "-"
        }
        printf "\n"
    }
    printf "\n%-42s %-12s %9s  %s\n", "Roadstead against", "", "ratio", "target"
    judge("manifests by tag, requests/s", "registry", ">=", 50)
    judge("manifests by tag, requests/s", "nginx", ">=", 0.5)
    judge("1 MB blobs, GB/s", "nginx", ">=", 0.8)
    judge("64 MB blobs, GB/s", "nginx", ">=", 0.9)
    judge("64 MB blobs, GB/s", "nginx_256k", "", 0)
    judge("64 MB beyond memory blobs, GB/s", "nginx", "", 0)
    judge("1 MB blobs, server s/GB", "nginx", "<=", 1.5)
    judge("64 MB blobs, server s/GB", "nginx", "<=", 1.5)
    judge("cold 500 MB at 100 MB/s, wall s", "direct", "<=", 1.02)
    judge("cold 500 MB, wall s", "proxy_cache", "<=", 1.0)
    judge("cold 500 MB, server s", "registry", "<=", 0.5)
    worst("cold 500 MB, upstream GETs", 1)
    worst("memory above the tier, MiB", 256)
}
