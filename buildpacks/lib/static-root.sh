# Which folder a static site is served from. Source it, then call static_root.
# shellcheck shell=bash

# static_root BUILD_DIR: `root: <folder>` of the Staticfile, else public/ if it has a first page, else the root.
static_root() {
    local root=
    if [[ -f "$1/Staticfile" ]]; then
        root=$(sed -nE 's/^root:[[:space:]]*"?([^"]*[^"[:space:]])"?[[:space:]]*$/\1/p' "$1/Staticfile" | head -n 1)
    fi
    if [[ -z "$root" && -f "$1/public/index.html" ]]; then root=public; fi
    echo "${root:-.}"
}
