# The gateway of the end to end story.
# shellcheck shell=bash

start_roadstead() { # DATA-DIRECTORY [LISTEN-ADDRESS [OPTION...]]
    start roadstead "$roadstead" serve --listen "${2:-$gateway}" --admin-listen 127.0.0.1:0 \
        --data-dir "$1" --upstream "docker.io=http://$registry" --allow-upstream-network 127.0.0.0/8 "${@:3}"
    # An answer of any kind: it may ask for a token.
    until_ready roadstead curl -sS "http://$gateway/v2/"
}
