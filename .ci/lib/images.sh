# The images of the end to end story, by the names that the upstream knows, and what a pull of each has to give.
# shellcheck shell=bash

# An image in both families of media types, and an index over an image with other layers.
images=(library/tiny:1 library/tiny:docker library/multi:1)
declare -A digest=()

# Everything behind a name, without the credentials of whoever runs this.
copy_image() { # OPTION... SOURCE DESTINATION
    skopeo copy -q --all "$@"
}

push_images() {
    "$here/tiny-image" "$work/one"
    "$here/tiny-image" "$work/other"
    local push=(copy_image --dest-tls-verify=false)
    "${push[@]}" "oci:$work/one:tiny" "docker://$registry/library/tiny:1"
    "${push[@]}" --format v2s2 "oci:$work/one:tiny" "docker://$registry/library/tiny:docker"
    "${push[@]}" "oci:$work/other:multi" "docker://$registry/library/multi:1"
    local image
    for image in "${images[@]}"; do digest[$image]=$(digest_of "$image"); done
}

# The digest of what is behind a tag, computed and not believed.
digest_of() { # IMAGE
    local accept=(-H 'Accept: application/vnd.oci.image.index.v1+json'
        -H 'Accept: application/vnd.oci.image.manifest.v1+json'
        -H 'Accept: application/vnd.docker.distribution.manifest.list.v2+json'
        -H 'Accept: application/vnd.docker.distribution.manifest.v2+json')
    curl -fsS "${accept[@]}" "http://$registry/v2/${1%:*}/manifests/${1##*:}" | sha256sum | sed 's/^/sha256:/; s/ .*//'
}

by_digest() { # IMAGE
    echo "${1%:*}@${digest[$1]}"
}

plain_name() { # IMAGE -> a name without special characters
    tr '/:@' '---' <<<"$1"
}

# Describes an unpacked image: every file's content, every link's target. Only an engine that has unpacked all layers
# in order can come to it.
describe_files() { # DIRECTORY
    (
        cd "$1"
        find bin srv -type f -print0 | sort -z | xargs -0 sha256sum
        find bin srv -type l -printf '%p -> %l\n' | sort
    )
}

# An engine has unpacked what tiny-image packed: the direct pulls, that all others are compared with, are right.
is_what_was_pushed() { # DIRECTORY OF A PULL
    [[ -e $1/unpacked ]] || return 0
    equal "$(echo 'hello from four layers' | sha256sum | cut -d' ' -f1)" \
        "$(awk '$2 == "srv/greeting.txt" {print $1}' "$1/unpacked")" &&
        equal 200 "$(grep -c ' srv/many/' "$1/unpacked")" && equal 0 "$(grep -c obsolete "$1/unpacked")"
}
