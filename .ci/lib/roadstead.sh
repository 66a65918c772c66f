# The gateway of the end to end story.
# shellcheck shell=bash

start_roadstead() { # DATA-DIRECTORY
    start roadstead "$roadstead" serve --listen "$gateway" --admin-listen 127.0.0.1:0 \
        --data-dir "$1" --upstream "docker.io=http://$registry"
    until_ready roadstead curl -fsS "http://$gateway/v2/"
}
