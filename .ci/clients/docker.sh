# The Docker engine: by Roadstead's prefix, and by names of Docker Hub with Roadstead as its mirror.
# shellcheck shell=bash

docker_starts() {
    export DOCKER_CONFIG=$work/docker-client DOCKER_HOST=unix://$work/docker.sock
    mkdir "$DOCKER_CONFIG"
    documented_file /etc/docker/daemon.json Docker >"$work/daemon.json"
    start docker dockerd --config-file "$work/daemon.json" --host "$DOCKER_HOST" --data-root "$work/engine" \
        --exec-root "$work/exec" --pidfile "$work/engine.pid" \
        --bridge=none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false
    until_ready docker docker version
}

docker_pull() { # NAME DIRECTORY
    local container
    # An image of several names is listed several times.
    docker image ls -aq | sort -u | xargs -r docker image rm -f
    docker pull -q "$1"
    docker image inspect -f '{{.Id}}' "$1" >"$2/image"
    docker image inspect -f '{{index .RepoDigests 0}}' "$1" | sed 's/.*@//' >"$2/digest"
    container=$(docker container create "$1")
    mkdir "$work/inside"
    docker export "$container" | tar -x -C "$work/inside" bin srv
    docker container rm "$container"
    describe_files "$work/inside" >"$2/unpacked"
}
