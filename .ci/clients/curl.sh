# No client, but the requests of one, for what no client at hand can take: everything behind a name, whatever it is and
# however deep, byte for byte, with the headers that a client relies on.
# shellcheck shell=bash

curl_pull() { # NAME DIRECTORY
    local host=${1%%/*} path=${1#*/} repository reference
    case $path in
    *@*) repository=${path%@*} reference=${path#*@} ;;
    *) repository=${path%:*} reference=${path##*:} ;;
    esac
    # A name of Docker Hub goes to Roadstead as containerd sends it there.
    local namespace=
    if [[ $host == docker.io ]]; then host=$gateway namespace='?ns=docker.io'; fi
    curl_tree "http://$host/v2/$repository" "$reference" "$2" "$namespace"
}

# A manifest and all that it names.
curl_tree() { # REPOSITORY-URL REFERENCE DIRECTORY QUERY
    local manifest type digest kind
    manifest=$(curl_both "$1/manifests/$2" "$3" manifest "$4")
    # `subject` is no part of what is pulled, and need not exist.
    jq -r '[.config, .layers[]?, .manifests[]? | values | "\(.digest) \(.mediaType)"] | unique[]' "$manifest" >"$manifest.names"
    while read -r digest type; do
        kind=blob
        if [[ $type == *.manifest.* || $type == *.index.* ]]; then kind=manifest; fi
        if [[ $kind == manifest ]]; then
            curl_tree "$1" "$digest" "$3" "$4"
        else
            curl_both "$1/blobs/$digest" "$3" blob "$4" >/dev/null
        fi
    done <"$manifest.names"
}

# GET and HEAD, which have to have the same headers; prints the name of the file that has the content.
curl_both() { # URL DIRECTORY manifest|blob QUERY
    local accept=() file=$2/${1##*/} names='content-length|content-type|docker-content-digest'
    if [[ $3 == manifest ]]; then
        accept=(-H 'Accept: application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json'
            -H 'Accept: application/vnd.docker.distribution.manifest.v2+json')
    else
        # Debian's registry names a SHA-512 blob by its SHA-256 there.
        names='content-length|content-type'
    fi
    curl -fsS "${accept[@]}" -D "$work/headers" -o "$work/body" "$1$4"
    case $file in
    *sha512:*) equal "${file##*sha512:}" "$(sha512sum <"$work/body" | cut -d' ' -f1)" ;;
    # Under its digest, so that it is the same file whether a tag or the digest asked for it.
    *) file=$2/sha256:$(sha256sum <"$work/body" | cut -d' ' -f1) ;;
    esac
    mv "$work/body" "$file"
    tr -d '\r' <"$work/headers" | grep -iE "^($names):" | tr '[:upper:]' '[:lower:]' | sort >"$file.headers"
    curl -fsS -I "${accept[@]}" "$1$4" | tr -d '\r' | grep -iE "^($names):" | tr '[:upper:]' '[:lower:]' | sort |
        diff "$file.headers" - >&2
    echo "$file"
}
