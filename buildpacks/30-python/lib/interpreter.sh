# Which Python runs the app: one of the stack, else one that uv fetches into the slug.
# shellcheck shell=bash

project() { PYTHONPATH=$(bundled_pip) PYTHONDONTWRITEBYTECODE=1 python3 -P "$PACK_DIR/lib/project.py" "$@"; }

# Lines `3.11.2 /usr/bin/python3.11` for each Python of the stack, the default one first.
stack_pythons() {
    local program
    { type -aP python3; compgen -c python3. | grep -E '^python3\.[0-9]+$' | sort -uV | xargs -r -n 1 which -a; } |
        while read -r program; do
            printf '%s %s\n' "$("$program" -c 'import platform; print(platform.python_version())')" "$program"
        done | awk '!seen[$1]++'
}

# choose_python: sets PYTHON and PYTHON_VERSION.
choose_python() {
    local asked kind wanted where pythons
    asked=$(project asked) || exit 1
    read -r kind wanted where <<<"$asked"
    pythons=$(stack_pythons)
    case $kind in
        version) PYTHON=$(awk -v asked="$wanted" '$1 == asked || index($1, asked ".") == 1 { print $2; exit }' <<<"$pythons") ;;
        range) PYTHON=$(project choose "$wanted" <<<"$pythons") || exit 1 ;;
        *) PYTHON=$(awk '{ print $2; exit }' <<<"$pythons") ;;
    esac
    [[ -n "$PYTHON" ]] || fetch_python "$kind" "$wanted" "$where" "$(awk '{ print $1 }' <<<"$pythons" | paste -sd ' ')"
    PYTHON_VERSION=$("$PYTHON" -c 'import platform; print(platform.python_version())')
    say "using Python $PYTHON_VERSION${where:+ ($where)}"
}

# fetch_python KIND WANTED WHERE STACK: an interpreter of python-build-standalone, at the place where the slug will have it.
fetch_python() {
    local kind=$1 wanted=$2 where=$3 stack=$4 request=$2 home="$APP_DIR/.deis/interpreter" kept name value
    [[ "$kind" != range ]] || request=$(project request "$wanted") || exit 1
    for name in UV_PYTHON_INSTALL_MIRROR UV_PYTHON_DOWNLOADS_JSON_URL; do
        if value=$(config "$name"); then export "$name=$value"; fi
    done
    [[ -n "$UV" ]] || cannot_be_had "$wanted" "$where" "$stack"
    kept="$CACHE_DIR/python/interpreter/$({ echo "1 $UV_VERSION $request $home"; config_digest; } | digest)"
    if [[ -d "$kept" ]]; then
        copy "$kept" .deis/interpreter
    else
        say "getting Python $wanted"
        rm -rf "$CACHE_DIR/python/interpreter"
        if ! UV_PYTHON_DOWNLOADS=manual UV_HTTP_RETRIES=1 UV_PYTHON_INSTALL_DIR=$home \
            "$UV" python install --no-bin --force "$request" 2>"$PACK_DIR/reason"; then
            sed -nE 's/^[[:space:]]*(error|cause|Caused by):/  /p' "$PACK_DIR/reason" | sed -n '1p;$p' | uniq >&2
            cannot_be_had "$wanted" "$where" "$stack"
        fi
        slim_python .deis/interpreter
        keep .deis/interpreter "$kept"
    fi
    PYTHON=$(find "$home/" -mindepth 3 -maxdepth 3 -path '*/bin/python3.*' -name 'python3.[0-9]*' -not -name '*-config' -print -quit)
    [[ -x "$PYTHON" ]] || fail "the archive of Python $wanted has no bin/python3: is UV_PYTHON_INSTALL_MIRROR a mirror of python-build-standalone?"
}

# The tests of the library, and what uv notes for later installs.
slim_python() {
    rm -rf "$1"/.lock "$1"/.temp "$1"/.gitignore "$1"/*/lib/python3*/{test,idlelib,lib2to3/tests}
}

cannot_be_had() {
    fail "Python $1 cannot be had ($2), the stack has $3: ask for one of these, or set UV_PYTHON_INSTALL_MIRROR to" \
        "a mirror of python-build-standalone's releases that builds reach"
}
