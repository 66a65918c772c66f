# The upstream of the end to end story: Debian's docker-registry, which can be stopped and asked what it served.
# shellcheck shell=bash

# Everything but loopback addresses goes to a proxy that is not there: no client can get an image past Roadstead.
keep_to_loopback() {
    export HTTP_PROXY=http://127.0.0.1:9 HTTPS_PROXY=http://127.0.0.1:9 NO_PROXY=127.0.0.1
    export http_proxy=$HTTP_PROXY https_proxy=$HTTPS_PROXY no_proxy=$NO_PROXY
}

set_up_registry() {
    registry=127.0.0.1:$(free_port)
    cat >"$work/registry.yml" <<YAML
version: 0.1
log:
  level: warn
storage:
  filesystem:
    rootdirectory: $work/registry
http:
  addr: "$registry"
  secret: not-a-secret
YAML
}

start_registry() {
    # It would read its configuration from such variables too, of which other clients have one.
    local variable others=()
    for variable in "${!REGISTRY_@}"; do others+=(-u "$variable"); done
    start registry env "${others[@]}" docker-registry serve "$work/registry.yml"
    until_ready registry curl -fsS "http://$registry/v2/"
}

# Puts what the registry has served so far into $work/requests, a line each, and counts it in $requests. The registry
# logs a request after its answer, so a request of our own marks the point up to which the log has to be complete.
markers=0 requests=0
read_requests() {
    markers=$((markers + 1))
    curl -fsS "http://$registry/v2/?marker=$markers." >/dev/null
    until_ready registry grep -q "marker=$markers\." "$logs/registry"
    grep -o '"[A-Z]* /v2/[^"]*"' "$logs/registry" | grep -v 'marker=' >"$work/requests"
    requests=$(wc -l <"$work/requests")
}

# No blob was asked for twice since a request of that number.
each_blob_once() { # NUMBER
    local twice
    twice=$(tail -n "+$(($1 + 1))" "$work/requests" | grep -o '"GET .*/blobs/sha[0-9]*:[0-9a-f]*' | sort | uniq -d)
    equal '' "$twice"
}
