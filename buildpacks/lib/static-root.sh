# Which folder a static site is served from, and by which rules. Source it, then call static_root and static_words.
# shellcheck shell=bash

# shellcheck source=pack.sh
source "${BASH_SOURCE[0]%/*}/pack.sh"

# static_root BUILD_DIR: `root` of static.json, `root: <folder>` of the Staticfile, else public/ if it has a first page, else the
# root.
static_root() {
    local root=
    if [[ -f "$1/static.json" ]]; then
        root=$(text "$1/static.json" | jq -r '.root // "public_html"' 2>/dev/null) || root=public_html
        root=${root#/}
        while [[ "$root" == */ ]]; do root=${root%/}; done
    elif [[ -f "$1/Staticfile" ]]; then
        root=$(text "$1/Staticfile" | sed -nE 's/^root:[[:space:]]*"?([^"]*[^"[:space:]])"?[[:space:]]*$/\1/p' | head -n 1)
    fi
    if [[ -z "$root" && -f "$1/public/index.html" ]]; then root=public; fi
    echo "${root:-.}"
}

# static_words BUILD_DIR: the options of `slug static` for the site's rules.
static_words() {
    if [[ -f "$1/static.json" ]]; then
        echo '--config static.json '
    elif has_fallback "$1"; then
        echo '--fallback index.html '
    fi
}

# has_fallback BUILD_DIR: whether `pushstate: enabled` stands in the Staticfile: an app of one page, which does its own routing.
has_fallback() {
    [[ -f "$1/Staticfile" ]] && text "$1/Staticfile" | grep -qE '^pushstate:[[:space:]]*"?(enabled|true)"?[[:space:]]*$'
}
