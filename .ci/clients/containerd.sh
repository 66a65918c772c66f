# containerd: by Roadstead's prefix, and by names of Docker Hub through hosts.toml, where it says in `?ns=` whose name
# it is.
# shellcheck shell=bash

containerd_starts() {
    export CONTAINERD_ADDRESS=$work/containerd.sock
    cat >"$work/containerd.toml" <<TOML
version = 2
root = "$work/containerd"
state = "$work/containerd-state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "$CONTAINERD_ADDRESS"
TOML
    mkdir -p "$work/certs.d/docker.io"
    documented_file /etc/containerd/certs.d/docker.io/hosts.toml containerd >"$work/certs.d/docker.io/hosts.toml"
    start containerd containerd --config "$work/containerd.toml"
    until_ready containerd ctr version
}

containerd_pull() { # NAME DIRECTORY
    local how=(--plain-http)
    if [[ $1 == docker.io/* ]]; then how=(--hosts-dir "$work/certs.d"); fi
    ctr images ls -q | xargs -r ctr images rm --sync
    equal '' "$(ctr content ls -q)"
    ctr images pull "${how[@]}" "$1"
    # The digest of the name, and of everything that came with it.
    ctr images ls "name==$1" | awk 'NR == 2 {print $2, $3}' >"$2/image"
    ctr content ls -q | sort >"$2/content"
    mkdir "$work/inside"
    ctr images mount "$1" "$work/inside"
    describe_files "$work/inside" >"$2/unpacked"
    ctr images unmount --rm "$work/inside"
}
