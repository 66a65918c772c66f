# podman, buildah and skopeo share their configuration: by Roadstead's prefix, and by names of Docker Hub with Roadstead
# as its mirror.
# shellcheck shell=bash

containers_start() {
    export HOME=$work/home REGISTRY_AUTH_FILE=$work/auth.json CONTAINERS_STORAGE_CONF=$work/storage.conf
    mkdir -p "$HOME/.config/containers"
    echo '{}' >"$REGISTRY_AUTH_FILE"
    {
        documented_file /etc/containers/registries.conf "Podman, Buildah and Skopeo"
        # For the pulls that go straight to the upstream.
        printf '\n[[registry]]\nlocation = "%s"\ninsecure = true\n' "$registry"
    } >"$HOME/.config/containers/registries.conf"
    cat >"$CONTAINERS_STORAGE_CONF" <<TOML
[storage]
driver = "overlay"
graphroot = "$work/containers"
runroot = "$work/containers-run"
TOML
}

podman_pull() { # NAME DIRECTORY
    podman image rm -af
    podman pull -q "$1"
    podman image inspect -f '{{.Id}}' "$1" >"$2/image"
    podman image inspect -f '{{.Digest}}' "$1" >"$2/digest"
    describe_files "$(podman image mount "$1")" >"$2/unpacked"
    podman image unmount "$1"
}

buildah_pull() { # NAME DIRECTORY
    local container
    buildah rmi -af
    buildah pull -q "$1"
    container=$(buildah from --pull-never "$1")
    buildah inspect -f '{{.FromImageID}}' "$container" >"$2/image"
    buildah inspect -f '{{.FromImageDigest}}' "$container" >"$2/digest"
    describe_files "$(buildah mount "$container")" >"$2/unpacked"
    buildah rm "$container"
}

# Everything behind a name, byte for byte.
skopeo_pull() { # NAME DIRECTORY
    copy_image "docker://$1" "dir:$2/everything"
}
