# What the end to end story needs on the machine: clients and a registry from Debian, the ORAS client from PyPI.
# shellcheck shell=bash

install_tools() {
    local missing=() tool
    for tool in docker-registry skopeo podman buildah containerd ctr curl jq; do
        if ! command -v "$tool" >/dev/null; then missing+=("${tool/#ctr/containerd}"); fi
    done
    command -v dockerd >/dev/null && command -v docker >/dev/null || missing+=(docker.io)
    # `ldd` succeeds on what is linked dynamically and could not run inside the image.
    if ! command -v busybox >/dev/null || ldd "$(command -v busybox)" >/dev/null 2>&1; then
        missing+=(busybox-static)
    fi
    # podman and buildah look for an OCI runtime even where they only pull.
    command -v runc >/dev/null || command -v crun >/dev/null || missing+=(runc)
    /usr/bin/python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
    if ((${#missing[@]})); then
        echo "installing ${missing[*]}"
        install_packages "${missing[@]}"
    fi
    install_oras
}

install_packages() { # PACKAGE...
    local policy=/usr/sbin/policy-rc.d placed='' status=0
    # The packages bring services; this keeps them from being started.
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod +x $policy
        placed=1
    fi
    {
        apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@"
    } >"$logs/apt" 2>&1 </dev/null || status=$?
    if [[ -n $placed ]]; then rm -f $policy; fi
    return $status
}

# The ORAS project's command is not in Debian; its Python package is another of its clients.
install_oras() {
    {
        /usr/bin/python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q 'oras==0.2.43'
    } >"$logs/pip" 2>&1 </dev/null
}
