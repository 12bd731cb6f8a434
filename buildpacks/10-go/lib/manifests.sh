# Files that say what a Go program is called, needs and builds: go.mod, and those of the tools before it.
# shellcheck shell=bash

# heroku_comment NAME: the value of a line `// +heroku NAME value` of go.mod, or what other manifests have in its place.
heroku_comment() {
    if [[ -f go.mod ]]; then
        text go.mod | sed -nE "s#^//[[:space:]]*\+heroku[[:space:]]+$1[[:space:]]+(.*[^[:space:]])[[:space:]]*\$#\1#p" | head -n 1
        return
    fi
    [[ "$1" == install ]] || return 0
    if [[ -f Gopkg.toml ]]; then
        heroku_table install | tr -d '[],"'
    elif [[ -f Godeps/Godeps.json ]]; then
        jq -r '.Packages // [] | join(" ")' Godeps/Godeps.json
    elif [[ -f vendor/vendor.json ]]; then
        jq -r '.heroku.install // [] | join(" ")' vendor/vendor.json
    fi
}

# asked_series: `1.26` for what the app asks for, or else for the lines `go` and `toolchain` of go.work or go.mod.
asked_series() {
    local asked file=go.mod
    [[ ! -f go.work ]] || file=go.work
    asked=$(config GOVERSION || heroku_comment goVersion)
    if [[ -z "$asked" && -f "$file" ]]; then
        asked=$(text "$file" | sed -nE 's/^(go|toolchain)[[:space:]]+(go)?([0-9][^[:space:]]*).*/\3/p' | sort -V | tail -n 1)
    fi
    sed -nE 's/^(go)?([0-9]+\.[0-9]+).*/\2/p' <<<"$asked"
}

# heroku_table NAME: a value of [metadata.heroku] of dep's manifest.
heroku_table() {
    text Gopkg.toml | awk -v name="$1" '/^\[/ { inside = $0 ~ /^\[metadata\.heroku\]/ }
        inside && $1 == name { sub(/^[^=]*=[[:space:]]*/, ""); print; exit }'
}

# The import path of a source without go.mod.
import_path() {
    local path=
    if [[ -f Gopkg.toml ]]; then path=$(heroku_table root-package | tr -d '"'); fi
    if [[ -z "$path" && -f Godeps/Godeps.json ]]; then path=$(jq -r '.ImportPath // ""' Godeps/Godeps.json); fi
    if [[ -z "$path" && -f vendor/vendor.json ]]; then path=$(jq -r '.rootPath // ""' vendor/vendor.json); fi
    if [[ -z "$path" && -f glide.yaml ]]; then path=$(text glide.yaml | sed -nE 's/^package:[[:space:]]*"?([^"[:space:]]+).*/\1/p' | head -n 1); fi
    if [[ -z "$path" && -f .godir ]]; then path=$(text .godir | grep . | head -n 1 | tr -d '[:space:]'); fi
    echo "$path"
}

manifest_without_module() {
    local file
    for file in Gopkg.lock Godeps/Godeps.json vendor/vendor.json glide.yaml .godir; do
        if [[ -f "$file" ]]; then
            echo "$file"
            return
        fi
    done
    echo "the source"
}

# Go finds packages of a source without go.mod below a GOPATH. Those of others have to be in the source: the services and tools
# that fetched them are gone.
enter_gopath() {
    local path home="$PACK_DIR/gopath" manifest
    manifest=$(manifest_without_module)
    path=$(import_path)
    [[ -n "$path" ]] || fail "$manifest does not say the import path of the app: write it into a file .godir, such as" \
        "github.com/me/app, or run \`go mod init\` and commit go.mod"
    [[ "$path" =~ ^[A-Za-z0-9._~/-]+$ && "/$path/" != */../* && "$path" != /* ]] || fail "$manifest: \`$path\` is no import path"
    say "$manifest has no go.mod beside it: building $path below a GOPATH"
    copy . "$home/src/$path"
    cd "$home/src/$path"
    GOPATH="$home"
    if [[ -d Godeps/_workspace ]]; then GOPATH+=":$PWD/Godeps/_workspace"; fi
    export GOPATH GO111MODULE=off
    check_vendored "$manifest"
}

# check_vendored MANIFEST: names the first package that is missing.
check_vendored() {
    local missing
    missing=$(go list -e -deps -f '{{if .Error}}{{if not .Standard}}{{.ImportPath}}{{end}}{{end}}' ./... 2>/dev/null | grep -m 1 -F . || true)
    [[ -z "$missing" ]] ||
        fail "package $missing is not in the source: packages of $1 have to be vendored and committed." \
            "Or move to modules: \`go mod init $(import_path) && go mod tidy\`, and commit go.mod and go.sum"
}

# The package at the root of the source: that of the module, of the workspace's only module at the root, or of the GOPATH.
root_package() {
    if [[ -f go.mod ]]; then go list -m | head -n 1; else import_path; fi
}
