# What the clients above do not look at: the requests of the distribution specification that read, by its sections, one
# by one. `$base` is the URL of a repository and `$query` what goes with every request.
# shellcheck shell=bash

request() { # METHOD PATH [OPTION...] -> $status, $work/headers, $work/body
    local method=(-X "$1") separator='?'
    if [[ $1 == HEAD ]]; then method=(-I); fi
    if [[ $2 == *\?* ]]; then separator='&'; fi
    status=$(curl -sS "${method[@]}" -H "Accept: $oci.image.index.v1+json, $oci.image.manifest.v1+json" \
        -D "$work/headers" -o "$work/body" -w '%{http_code}' "${@:3}" "$base$2${query:+$separator$query}")
}

header() { # NAME
    tr -d '\r' <"$work/headers" | sed -n "s/^$1: //Ip"
}

# An error says which one it is, in the body that the specification lays down.
refuses() { # STATUS CODE METHOD PATH [OPTION...]
    request "${@:3}"
    equal "$1" "$status" && { [[ $3 == HEAD ]] || equal "$2" "$(jq -r '.errors[0].code' "$work/body")"; }
}

answers() { # STATUS METHOD PATH [OPTION...]
    request "${@:2}"
    equal "$1" "$status"
}

a_part() { # RANGE EXPECTED-CONTENT-RANGE OFFSET LENGTH
    request GET "/blobs/$blob" -H "Range: bytes=$1"
    equal 206 "$status" && equal "$2" "$(header content-range)" && equal "$4" "$(stat -c %s "$work/body")" &&
        cmp "$work/body" <(tail -c "+$(($3 + 1))" "$work/whole" | head -c "$4")
}

tags() { # QUERY
    request GET "/tags/list$1"
    equal 200 "$status" >&2 && jq -r '.tags[]' "$work/body"
}

# Page after page as the Link header leads, the whole list as one.
follow_the_links() { # SIZE
    local path="/tags/list?n=$1" pages=0
    : >"$work/followed"
    while [[ -n $path ]]; do
        request GET "$path"
        equal 200 "$status" || return
        jq -r '.tags[]' "$work/body" >>"$work/followed"
        (($(jq '.tags | length' "$work/body") <= $1)) || return
        pages=$((pages + 1))
        # Relative or absolute: what matters is what comes after the list's own path.
        path=$(header link | sed -nE 's#^<[^>]*/tags/list(\?[^>]*)>; *rel="?next"?$#/tags/list\1#p')
    done
    ((pages > 1)) && diff <(jq -r '.tags | sort[]' "$work/tags") "$work/followed"
}

referrers_are() { # QUERY EXPECTED-ARTIFACT-TYPES
    request GET "/referrers/$subject$1"
    equal 200 "$status" && equal "$oci.image.index.v1+json" "$(header content-type)" &&
        equal "$2" "$(jq -r '[.manifests[].artifactType] | sort | join(" ")' "$work/body")" &&
        # Each descriptor is the one that the upstream's list has.
        jq -e --slurpfile all "$work/referrers" '[.manifests[] | [.] | inside($all[0].manifests)] | all' "$work/body"
}

protocol() { # REPOSITORY-URL QUERY
    local base=$1 query=$2 status
    local none=sha256:0000000000000000000000000000000000000000000000000000000000000000
    local last
    last=$(jq -r '.tags | sort[1]' "$work/tags")

    check "checking that it is supported: 200" test 200 = "$(curl -s -o /dev/null -w '%{http_code}' "http://$gateway/v2/")"

    check "pulling manifests: a tag that is not there" refuses 404 MANIFEST_UNKNOWN GET /manifests/not-there
    check "pulling manifests: HEAD of a tag that is not there" refuses 404 '' HEAD /manifests/not-there
    check "pulling manifests: a digest that is not there" refuses 404 MANIFEST_UNKNOWN GET "/manifests/$none"
    check "pulling manifests: what can be no tag" refuses 404 MANIFEST_UNKNOWN GET /manifests/.no-tag
    check "pulling manifests: HEAD of what can be no tag" refuses 404 '' HEAD /manifests/.no-tag
    check "pulling manifests: no digest" refuses 400 DIGEST_INVALID GET /manifests/sha256:totallywrong

    check "pulling blobs: whole" answers 200 GET "/blobs/$blob"
    check "pulling blobs: a part" a_part 500-1499 "bytes 500-1499/$size" 500 1000
    check "pulling blobs: from a place on" a_part 500- "bytes 500-$((size - 1))/$size" 500 $((size - 500))
    check "pulling blobs: the end" a_part -500 "bytes $((size - 500))-$((size - 1))/$size" $((size - 500)) 500
    check "pulling blobs: beyond the end" a_part "$((size - 10))-$((size + 10))" \
        "bytes $((size - 10))-$((size - 1))/$size" $((size - 10)) 10
    check "pulling blobs: after the end" answers 416 GET "/blobs/$blob" -H "Range: bytes=$size-"
    check "pulling blobs: a blob that is not there" refuses 404 BLOB_UNKNOWN GET "/blobs/$none"
    check "pulling blobs: HEAD of a blob that is not there" refuses 404 '' HEAD "/blobs/$none"

    check "listing tags: all of them, in order" equal "$(jq -r '.tags | sort[]' "$work/tags")" "$(tags '')"
    check "listing tags: the first two" equal "$(jq -r '.tags | sort[:2][]' "$work/tags")" "$(tags '?n=2')"
    check "listing tags: none" equal '' "$(tags '?n=0')"
    check "listing tags: after a tag" equal "$(jq -r '.tags | sort[2:][]' "$work/tags")" "$(tags "?last=$last")"
    check "listing tags: two after a tag" equal "$(jq -r '.tags | sort[2:4][]' "$work/tags")" "$(tags "?n=2&last=$last")"
    check "listing tags: page after page" follow_the_links 3

    check "listing referrers: all of them" referrers_are '' 'application/spdx+json application/vnd.in-toto+json'
    check "listing referrers: of a type" referrers_are '?artifactType=application/spdx%2Bjson' application/spdx+json
    check "listing referrers: the filter was applied" equal artifactType "$(header oci-filters-applied)"
    check "listing referrers: of what nobody refers to" answers 200 GET "/referrers/$none"
    check "listing referrers: that is an empty list" jq -e '.manifests == []' "$work/body"

    check "pushing is not served" test 405 = "$(curl -s -o /dev/null -w '%{http_code}' -X POST "$base/blobs/uploads/")"
}

protocol_story() {
    section "the protocol, request by request"
    rm -rf "$work/data"
    start_roadstead "$work/data"
    curl -fsS "http://$registry/v2/library/tiny/tags/list" >"$work/tags"
    curl -fsS -H "Accept: $oci.image.index.v1+json" \
        "http://$registry/v2/library/tiny/manifests/sha256-${subject#sha256:}" >"$work/referrers"
    local blob size
    # The largest layer.
    read -r blob size < <(curl -fsS -H "Accept: $oci.image.manifest.v1+json" \
        "http://$registry/v2/library/tiny/manifests/1" | jq -r '.layers | max_by(.size) | "\(.digest) \(.size)"')
    curl -fsS -o "$work/whole" "http://$registry/v2/library/tiny/blobs/$blob"

    echo "   by the prefix"
    protocol "http://$gateway/v2/virtual_registries/container/1/library/tiny" ''
    echo "   by a name of the mirror"
    protocol "http://$gateway/v2/library/tiny" ''
    echo "   by a name with its registry"
    protocol "http://$gateway/v2/library/tiny" ns=docker.io

    local base=http://$gateway/v2/library/tiny query=ns=registry.example status
    check "a registry that is no upstream is refused" refuses 404 NAME_UNKNOWN GET /manifests/1
    query=ns=$registry
    check "an upstream's own address is its name too" answers 200 GET /manifests/1
    query=ns=docker.io
    check "one that is an upstream is served" answers 200 GET /manifests/1
    check "the answer says whose name it took it for" equal docker.io "$(header oci-namespace)"
    check "roadstead ends in good order" stop roadstead
}
