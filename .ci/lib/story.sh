# The story that every client goes through: an empty cache, a full one, no upstream, a restart.
# shellcheck shell=bash

# A pull into an empty folder; stops at the first command that fails.
pull() { # CLIENT NAME DIRECTORY
    rm -rf "$3" "$work/inside"
    mkdir -p "$3"
    (
        set -e
        "$1_pull" "$2" "$3"
    )
}

# Pulls everything straight from the upstream: what every pull through Roadstead has to equal.
pull_directly() { # CLIENT
    local image
    for image in $(pulled_by "$1"); do
        check "$(short "$image") from the upstream" pull "$1" "$registry/$image" "$work/direct/$1/$(plain_name "$image")"
        check "$(short "$image") is what was pushed" is_what_was_pushed "$work/direct/$1/$(plain_name "$image")"
    done
}

# The names that a client has for what is behind Roadstead: with the prefix, without it, and those of Docker Hub, for
# which it is set up to go to Roadstead.
addresses_of() { # CLIENT
    case $1 in
    oras) echo "$prefix $gateway" ;;
    curl) echo "$prefix $gateway docker.io" ;;
    *) echo "$prefix docker.io" ;;
    esac
}

# What a client takes: engines run images, others take whatever has a name.
pulled_by() { # CLIENT
    case $1 in
    oras) echo library/artifact:1 ;;
    curl) echo "${images[@]}" "${artifacts[@]}" "${beyond_skopeo[@]}" ;;
    skopeo) echo "${images[@]}" "${artifacts[@]}" ;;
    containerd) echo "${images[@]}" library/tiny:attested library/tiny:nested ;;
    *) echo "${images[@]}" library/tiny:attested ;;
    esac
}

short() { # NAME -> the name with its digests cut
    sed -E 's/(sha[0-9]+[-:][0-9a-f]{8})[0-9a-f]*/\1…/' <<<"$1"
}

agree() { # CLIENT IMAGE NAME...
    local client=$1 image=$2 name
    shift 2
    for name in "$@"; do
        echo "pulling $name"
        pull "$client" "$name" "$work/pulled" || return
        diff -r "$work/direct/$client/$(plain_name "$image")" "$work/pulled" || return
    done
}

# Every image by every name that the client has for it, by tag and by digest.
pull_all_names() { # CLIENT
    local image address
    for image in $(pulled_by "$1"); do
        for address in $(addresses_of "$1"); do
            check "$address/$(short "$image") by tag and by digest" \
                agree "$1" "$image" "$address/$image" "$address/$(by_digest "$image")"
        done
    done
}

# Every image once by tag and once by digest; a client that has several names for it uses two of them.
pull_everything() { # CLIENT ADDRESS-FOR-TAGS ADDRESS-FOR-DIGESTS
    local image addresses
    read -ra addresses <<<"$(addresses_of "$1")"
    for image in $(pulled_by "$1"); do
        check "$(short "$image") by tag and by digest" \
            agree "$1" "$image" "${addresses[$2]}/$image" "${addresses[$3]}/$(by_digest "$image")"
    done
}

# The image that is pulled once, and then without its upstream for ever: of several platforms, by a tag and by a digest.
lasting=library/multi:1

by_tag_and_by_digest() { # CLIENT ADDRESS
    check "$2/$(short "$lasting") by tag" agree "$1" "$lasting" "$2/$lasting"
    check "$2/$(short "$lasting") by digest" agree "$1" "$lasting" "$2/$(by_digest "$lasting")"
}

# The gateway serves the tag although it can no longer ask whether it still holds: its validity is over.
is_stale() {
    curl -fsS -I "http://$gateway/v2/virtual_registries/container/1/${lasting%:*}/manifests/${lasting##*:}" |
        grep -qi '^cache-status: .*ttl=-'
}

# The upstream never comes back: the tag runs out of its validity, the gateway starts again, and the client, whose own store
# is empty before each pull, gets the image by tag and by digest.
gone_for_good() { # CLIENT
    local addresses
    read -ra addresses <<<"$(addresses_of "$1")"
    rm -rf "$work/data"

    section "$1: pulled once, then the upstream is gone for good"
    start_roadstead "$work/data" "$gateway" --cache-validity 1s
    # Once, by its tag: that has to do for its digest too.
    check "${addresses[0]}/$(short "$lasting") by tag, once" agree "$1" "$lasting" "${addresses[0]}/$lasting"
    stop registry || true
    check "the upstream is gone" bash -c "! curl -s http://$registry/v2/"
    check "the validity of the tag is over" until_ready roadstead is_stale
    by_tag_and_by_digest "$1" "${addresses[0]}"

    section "$1: the upstream is gone for good, and roadstead starts again"
    check "roadstead ends in good order" stop roadstead
    start_roadstead "$work/data" "$gateway" --cache-validity 1s
    check "the validity of the tag is over" until_ready roadstead is_stale
    by_tag_and_by_digest "$1" "${addresses[0]}"
    by_tag_and_by_digest "$1" "${addresses[-1]}"
    check "roadstead ends in good order" stop roadstead
    start_registry
}

# The client meets an empty cache of its own, so that nothing is there that it has not asked for itself.
story() { # CLIENT
    local before
    rm -rf "$work/data"

    section "$1: an empty cache"
    pull_directly "$1"
    start_roadstead "$work/data"
    read_requests
    before=$requests
    pull_all_names "$1"
    read_requests
    check "the upstream was asked: $((requests - before)) requests" test "$requests" -gt "$before"
    check "the upstream was asked for no blob twice" each_blob_once "$before"

    section "$1: a full cache"
    before=$requests
    pull_everything "$1" 0 -1
    read_requests
    check "the upstream was not asked" equal 0 $((requests - before))

    section "$1: the upstream is stopped"
    stop registry || true
    check "the upstream is gone" bash -c "! curl -s http://$registry/v2/"
    pull_everything "$1" 0 -1

    section "$1: roadstead starts again, the upstream is still stopped"
    check "roadstead ends in good order" stop roadstead
    start_roadstead "$work/data"
    pull_everything "$1" -1 0
    check "roadstead ends in good order" stop roadstead
    start_registry
}
