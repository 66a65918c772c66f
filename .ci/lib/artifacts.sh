# What is no image: artifacts, signatures, attestations, indexes of indexes, and digests that are not SHA-256. They are
# made here, a manifest at a time, since no client of ours makes all of them.
# shellcheck shell=bash

oci=application/vnd.oci
empty='{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}'

# By the names that the upstream knows. The signature's and the referrers' tags come with the image's digest.
artifacts=()
# What skopeo refuses to copy, whoever serves it: an index in an index, and a layer by its SHA-512.
beyond_skopeo=(library/tiny:nested library/tiny:sha512)

describe() { # FILE MEDIA-TYPE [ALGORITHM]
    jq -cn --arg type "$2" --arg digest "${3:-sha256}:$("${3:-sha256}sum" "$1" | cut -d' ' -f1)" \
        --argjson size "$(stat -c %s "$1")" '{mediaType: $type, digest: $digest, size: $size}'
}

# Uploads text as a blob and prints its descriptor.
push_blob() { # REPOSITORY TEXT MEDIA-TYPE [ALGORITHM]
    local descriptor session
    printf %s "$2" >"$work/blob"
    descriptor=$(describe "$work/blob" "${@:3}")
    session=$(curl -fsS -X POST -o /dev/null -w '%header{location}' "http://$registry/v2/$1/blobs/uploads/")
    curl -fsS -X PUT -H 'Content-Type: application/octet-stream' --data-binary "@$work/blob" \
        "$session&digest=$(jq -r .digest <<<"$descriptor")" >/dev/null
    echo "$descriptor"
}

# Uploads a manifest, under its digest if there is no tag, and prints its descriptor.
push_manifest() { # REPOSITORY TAG-OR-NOTHING JSON
    local descriptor type
    type=$(jq -r .mediaType <<<"$3")
    printf %s "$3" >"$work/manifest"
    descriptor=$(describe "$work/manifest" "$type")
    curl -fsS -X PUT -H "Content-Type: $type" --data-binary "@$work/manifest" \
        "http://$registry/v2/$1/manifests/${2:-$(jq -r .digest <<<"$descriptor")}" >/dev/null
    echo "$descriptor"
}

manifest_of() { # CONFIG-DESCRIPTOR LAYER-DESCRIPTOR [MORE-KEYS]
    jq -cn --arg type "$oci.image.manifest.v1+json" --argjson config "$1" --argjson layer "$2" --argjson more "${3:-{\}}" \
        '{schemaVersion: 2, mediaType: $type} + $more + {config: $config, layers: [$layer]}'
}

index_of() { # DESCRIPTOR...
    jq -cs --arg type "$oci.image.index.v1+json" '{schemaVersion: 2, mediaType: $type, manifests: .}' <<<"$*"
}

image_descriptor() { # IMAGE
    curl -fsS -H "Accept: $oci.image.manifest.v1+json" "http://$registry/v2/${1%:*}/manifests/${1##*:}" >"$work/manifest"
    describe "$work/manifest" "$oci.image.manifest.v1+json"
}

push_artifacts() {
    local tiny tag config layer sbom attestation inner
    tiny=$(image_descriptor library/tiny:1)
    subject=$(jq -r .digest <<<"$tiny")
    tag=sha256-${subject#sha256:}

    # An artifact that refers to the image, and the list of what refers to it, in the tag where a client puts it when
    # the registry keeps no such list.
    push_blob library/tiny '{}' $oci.empty.v1+json >/dev/null
    layer=$(push_blob library/tiny '{"spdxVersion":"SPDX-2.3"}' application/spdx+json)
    sbom=$(push_manifest library/tiny sbom "$(manifest_of "$empty" "$layer" \
        "{\"artifactType\": \"application/spdx+json\", \"subject\": $tiny, \"annotations\": {\"org.example.note\": \"made here\"}}")")
    sbom=$(jq -c '. + {artifactType: "application/spdx+json", annotations: {"org.example.note": "made here"}}' <<<"$sbom")
    layer=$(push_blob library/tiny 'an attestation' application/vnd.in-toto+json)
    attestation=$(push_manifest library/tiny '' "$(manifest_of "$empty" "$layer" \
        "{\"artifactType\": \"application/vnd.in-toto+json\", \"subject\": $tiny}")")
    attestation=$(jq -c '. + {artifactType: "application/vnd.in-toto+json"}' <<<"$attestation")
    push_manifest library/tiny "$tag" "$(index_of "$sbom" "$attestation")" >/dev/null

    # A signature as cosign stores it: an image in a tag with the digest of what is signed.
    layer=$(push_blob library/tiny '{"critical":{}}' application/vnd.dev.cosign.simplesigning.v1+json)
    layer=$(jq -c '. + {annotations: {"dev.cosignproject.cosign/signature": "MEUCIQ=="}}' <<<"$layer")
    config=$(push_blob library/tiny '{"architecture":"","os":"","rootfs":{"type":"layers","diff_ids":[]}}' $oci.image.config.v1+json)
    push_manifest library/tiny "$tag.sig" "$(manifest_of "$config" "$layer")" >/dev/null

    # An index as buildkit writes it: the image, and its attestations as an image of no platform.
    config=$(push_blob library/tiny '{"architecture":"unknown","os":"unknown","rootfs":{"type":"layers","diff_ids":[]}}' \
        $oci.image.config.v1+json)
    attestation=$(push_manifest library/tiny '' "$(manifest_of "$config" \
        "$(push_blob library/tiny '{"_type":"https://in-toto.io/Statement/v0.1"}' application/vnd.in-toto+json)")")
    attestation=$(jq -c --arg of "$subject" '. + {
        annotations: {"vnd.docker.reference.digest": $of, "vnd.docker.reference.type": "attestation-manifest"},
        platform: {architecture: "unknown", os: "unknown"}}' <<<"$attestation")
    tiny=$(jq -c '. + {platform: {architecture: "amd64", os: "linux"}}' <<<"$tiny")
    inner=$(push_manifest library/tiny attested "$(index_of "$tiny" "$attestation")")
    push_manifest library/tiny nested "$(index_of "$inner")" >/dev/null

    # A layer whose digest is a SHA-512.
    layer=$(push_blob library/tiny 'addressed by another algorithm' application/octet-stream sha512)
    push_manifest library/tiny sha512 "$(manifest_of "$empty" "$layer" '{"artifactType": "application/octet-stream"}')" >/dev/null

    # And one from the ORAS client.
    echo 'one file' >"$work/one.txt"
    echo '<another/>' >"$work/another.xml"
    oras_push "$registry/library/artifact:1" "$work/one.txt:text/plain" "$work/another.xml:application/xml"

    artifacts=(library/tiny:sbom "library/tiny:$tag" "library/tiny:$tag.sig" library/tiny:attested library/artifact:1)
    local artifact
    for artifact in "${artifacts[@]}" "${beyond_skopeo[@]}"; do digest[$artifact]=$(digest_of "$artifact"); done
}
