# The users' documentation is part of the story: what it says is what is run here, with our own addresses in it.
# shellcheck shell=bash

documentation=$here/../docs/users/clients.md

# Puts this story's addresses, image and folders in the place of those of the documentation.
with_our_names() {
    sed -e "s#roadstead\.example:8080#$gateway#g" -e "s#alpine:3\.20#tiny:1#g" -e "s#/etc/containerd/certs\.d#$work/certs.d#g"
}

# The content of a file, from a chapter: the block that follows the first line which is the file's name and a colon.
documented_file() { # NAME HEADING
    awk -v name="\`$1\`:" -v heading="## $2" '
        /^## / { here = ($0 == heading) }
        here && $0 == name { found = 1 }
        found && /^```/ { if (inside) exit; inside = 1; next }
        inside { print }
    ' "$documentation" | with_our_names | grep .
}

# The commands of a chapter, a line each: what follows `$ ` in its blocks.
documented_commands() { # HEADING
    awk -v heading="## $1" '
        /^## / { here = ($0 == heading); next }
        here && /^\$ / { print substr($0, 3) }
    ' "$documentation" | with_our_names | grep .
}

# Runs every command of a chapter, as it stands there.
check_documented_commands() { # HEADING
    local commands command
    rm -rf "$work/documented"
    mkdir "$work/documented"
    cp "$work/pull.py" "$work/documented"
    if [[ -e $work/token ]]; then cp "$work/token" "$work/documented"; fi
    mapfile -t commands < <(documented_commands "$1")
    check "the documentation has commands for $1" test "${#commands[@]}" -gt 0
    for command in "${commands[@]}"; do
        check "\$ $command" env "PATH=$work/venv/bin:$PATH" bash -c "cd '$work/documented' && $command"
    done
}
