# The release of a pack that builds programs into bin/.
# shellcheck shell=bash

# release_programs WEB NAMES: each program is a process type of its name; WEB, if it has a value, is `web`.
release_programs() {
    local name type
    printf -- '---\ndefault_process_types:\n'
    [[ -z "$1" ]] || printf '  web: bin/%s\n' "$1"
    while read -r name; do
        # Names of process types have letters, digits and hyphens.
        type=${name,,}
        type=${type//[_.]/-}
        if [[ "$name" != "$1" && ( "$type" != web || -z "$1" ) && "$type" =~ ^[a-z0-9]+(-[a-z0-9]+)*$ ]]; then
            printf '  %s: bin/%s\n' "$type" "$name"
        fi
    done <<<"$2"
}
