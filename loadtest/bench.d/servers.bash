# The servers and what they serve. All of them serve the same paths below a prefix of their own, from the same
# upstreams, with two workers. Sourced by loadtest/bench.

# Repository, seed and layers of what is pulled; every image has the tag 1.
declare -A recipe=(
    [bench/small]=1:$(printf '1MB,%.0s' {1..16})
    [bench/large]=2:64MB,64MB,64MB
    [bench/wide]=3:64MB,64MB,64MB,64MB,64MB,64MB,64MB,64MB
    [bench/cold]=4:500MB
)
manifest_type=application/vnd.oci.image.manifest.v1+json
declare -A manifest=() # REPOSITORY -> digest of its manifest
declare -A blobs=()    # REPOSITORY -> digests of its layers
declare -A address=()  # SERVER -> http://HOST:PORT/v2/PREFIX

fetch() { # URL FILE
    mkdir -p "$(dirname "$2")"
    curl -fsS -H "Accept: $manifest_type" -o "$2" "$1"
}

# The synthetic upstream makes the images; their bytes become files that nginx serves, as upstream and as the limit.
start_content() {
    section "content"
    local repository digest images=() port
    for repository in "${!recipe[@]}"; do images+=(--image "$repository:1=${recipe[$repository]%,}"); done
    port=$(free_port)
    paced=http://127.0.0.1:$port
    start paced "$loadtest" upstream --listen "127.0.0.1:$port" "${images[@]}"
    until_ready paced grep -q '^ready' "$logs/paced"
    for repository in "${!recipe[@]}"; do
        local from=$paced/v2/$repository to=$work/static/v2/$repository
        fetch "$from/manifests/1" "$to/manifests/1"
        digest=sha256:$(sha256sum "$to/manifests/1" | cut -d' ' -f1)
        manifest[$repository]=$digest
        cp "$to/manifests/1" "$to/manifests/$digest"
        blobs[$repository]=$(jq -r '.layers[].digest' "$to/manifests/1")
        for digest in ${blobs[$repository]} $(jq -r .config.digest "$to/manifests/1"); do
            fetch "$from/blobs/$digest" "$to/blobs/$digest"
        done
    done
    stop paced
    du -sh "$work/static" | awk '{ print "   " $1 " in files" }'
    start_static upstream
    upstream=${address[upstream]%/v2}
}

# ---------------------------------------------------------------------------------------------- nginx

nginx_main() { # NAME
    cat <<CONF
worker_processes 2;
daemon off;
pid $work/$1.pid;
error_log stderr warn;
events { worker_connections 4096; }
http {
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    open_file_cache max=1000 inactive=1h;
    open_file_cache_valid 1h;
    client_body_temp_path $work/$1.tmp/body;
    proxy_temp_path $work/$1.tmp/proxy;
    fastcgi_temp_path $work/$1.tmp/fastcgi;
    scgi_temp_path $work/$1.tmp/scgi;
    uwsgi_temp_path $work/$1.tmp/uwsgi;
CONF
}

start_nginx() { # NAME (its configuration is in $work/NAME.conf)
    mkdir -p "$work/$1.tmp"
    chmod 755 "$work"
    start "$1" nginx -c "$work/$1.conf" -e stderr
    until_ready "$1" curl -fsS "${address[$1]%/v2}/v2/"
}

# Files with sendfile: the practical limit. Every worker has a queue of connections of its own, or one of them may end
# up with all of them.
start_static() { # NAME [DIRECTIVE]
    local port repository
    port=$(free_port)
    address[$1]=http://127.0.0.1:$port/v2
    {
        nginx_main "$1"
        if [[ $1 == upstream ]]; then echo "    access_log $work/upstream.access;"; else echo "    access_log off;"; fi
        echo "    ${2:-}"
        echo "    server { listen 127.0.0.1:$port reuseport backlog=4096; root $work/static; types { }"
        echo "        location = /v2/ { default_type application/json; return 200 '{}'; }"
        for repository in "${!manifest[@]}"; do
            echo "        location /v2/$repository/manifests/ { default_type $manifest_type;" \
                "add_header Docker-Content-Digest ${manifest[$repository]}; }"
        done
        echo '        location ~ "/blobs/(?<digest>sha256:[0-9a-f]+)$" { default_type application/octet-stream;' \
            'add_header Docker-Content-Digest $digest; }'
        echo "    }"
        echo "}"
    } >"$work/$1.conf"
    start_nginx "$1"
}

# As stock nginx, but with pieces that stay in the processor's cache on their way: faster for large files.
start_nginx_256k() { start_static nginx_256k 'sendfile_max_chunk 256k;'; }

# A cache without any knowledge of images, over an upstream.
start_proxy_cache() { # NAME UPSTREAM
    local port
    port=$(free_port)
    address[$1]=http://127.0.0.1:$port/v2
    rm -rf "$work/$1.cache"
    {
        nginx_main "$1"
        cat <<CONF
    access_log off;
    proxy_cache_path $work/$1.cache levels=1:2 keys_zone=images:10m max_size=20g inactive=1d use_temp_path=off;
    upstream origin { server ${2#http://}; keepalive 16; }
    server {
        listen 127.0.0.1:$port reuseport backlog=4096;
        location / {
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_cache images;
            proxy_cache_valid 200 1d;
            proxy_cache_lock on;
        }
    }
}
CONF
    } >"$work/$1.conf"
    start_nginx "$1"
}

# ---------------------------------------------------------------------------------------------- the others

start_registry() { # NAME UPSTREAM
    local port
    port=$(free_port)
    address[$1]=http://127.0.0.1:$port/v2
    rm -rf "$work/$1.data"
    cat >"$work/$1.yml" <<YAML
version: 0.1
log:
  level: error
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: $work/$1.data
http:
  addr: "127.0.0.1:$port"
  secret: not-a-secret
proxy:
  remoteurl: $2
YAML
    # It would read its configuration from such variables too.
    unset "${!REGISTRY_@}"
    start "$1" env GOMAXPROCS=2 docker-registry serve "$work/$1.yml"
    until_ready "$1" curl -fsS "${address[$1]%/v2}/v2/"
}

start_roadstead() { # NAME UPSTREAM
    local port
    port=$(free_port)
    address[$1]=http://127.0.0.1:$port/v2/virtual_registries/container/1
    rm -rf "$work/$1.data"
    start "$1" env TOKIO_WORKER_THREADS=2 "$roadstead" serve --listen "127.0.0.1:$port" --admin-listen 127.0.0.1:0 \
        --data-dir "$work/$1.data" --upstream "local=$2" --allow-upstream-network 127.0.0.0/8
    until_ready "$1" curl -fsS "${address[$1]%/v2/*}/v2/"
}

# ---------------------------------------------------------------------------------------------- addresses

manifest_url() { # SERVER REPOSITORY
    echo "${address[$1]}/$2/manifests/1"
}

blob_urls() { # SERVER REPOSITORY
    local digest
    for digest in ${blobs[$2]}; do echo "${address[$1]}/$2/blobs/$digest"; done
}

# Once through everything, as a client would: the manifest, then every blob.
pull_once() { # SERVER REPOSITORY
    local urls
    mapfile -t urls < <(manifest_url "$1" "$2"; blob_urls "$1" "$2")
    measure --header "Accept: $manifest_type" --connections 1 --requests ${#urls[@]} "${urls[@]}"
}
