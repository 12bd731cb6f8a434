# The packages of the app: installed by its lock file, those for development removed when the build is done.
# shellcheck shell=bash

# script NAME: whether package.json has the script.
script() { jq -e --arg name "$1" '.scripts[$name] // "" | length > 0' package.json >/dev/null; }

# has_install_scripts: whether scripts of the app run when packages are installed.
has_install_scripts() {
    jq -e '.scripts // {} | has("preinstall") or has("install") or has("postinstall") or has("prepare")' \
        package.json >/dev/null
}

is_workspace() { grep -qs '^packages:' pnpm-workspace.yaml || jq -e '.workspaces // empty | length > 0' package.json >/dev/null; }

# keeps_dev: whether packages for development stay in the slug, by the variables that Heroku has for it.
keeps_dev() {
    [[ "$NODE_ENV" != production || "${NPM_CONFIG_PRODUCTION:-}" == false || "${YARN_PRODUCTION:-}" == false || "${PNPM_SKIP_PRUNING:-}" == true ]]
}

# needs_dev: whether scripts may need packages for development.
needs_dev() {
    ! keeps_dev || return 0
    [[ "${NPM_CONFIG_PRODUCTION:-}" != true && "${YARN_PRODUCTION:-}" != true ]] || return 1
    script build || script heroku-prebuild || script heroku-postbuild || has_install_scripts || is_workspace
}

# What decides about node_modules; nothing where scripts have a say in it, the app's or those of a package, which may read any
# file and variable, or where a package is a folder of the source or comes without a digest, as from git.
modules_key() {
    [[ "$LOCK" == package-lock.json ]] || return 0
    ! has_install_scripts || return 0
    jq -e '[.packages // {} | to_entries[] | select(.key != "") | .value
            | select(.hasInstallScript or .link or ((.resolved // "") | startswith("file:")) or (.inBundle or .integrity | not))]
            | length == 0' \
        package-lock.json >/dev/null || return 0
    {
        node --version; npm --version; uname -m; echo "${omit[*]}"; config_digest
        cat package.json package-lock.json; cat .npmrc 2>/dev/null || true
    } | digest
}

install_packages() {
    # It may write what the package manager obeys, such as .npmrc.
    run_script heroku-prebuild
    "install_with_$MANAGER"
}

# obeying WORDS: runs the package manager; explains what its message about a lock file means.
obeying() {
    local status=0
    "$@" 2>&1 | tee "$PACK_DIR/install.log" || status=$?
    ((status == 0)) && return
    if grep -qE 'can only install packages when your package\.json|lockfile needs to be updated|YN0028|OUTDATED_LOCKFILE|lockfile had changes' "$PACK_DIR/install.log"; then
        fail "$LOCK does not agree with package.json: run \`$MANAGER install\` and commit $LOCK"
    fi
    fail "$MANAGER cannot install the packages, see above"
}

install_with_npm() {
    local key kept="$CACHE_DIR/node/modules" omit=()
    if needs_dev; then omit=("$(npm_word dev)"); else omit=("$(npm_word no-dev)"); fi
    key=$(modules_key)
    if [[ -n "$key" && -d "$kept/$key" ]]; then
        say "package-lock.json is unchanged, using the packages of the last build"
        copy "$kept/$key/node_modules" node_modules
        return
    fi
    if [[ -n "$LOCK" ]]; then
        obeying npm ci --loglevel=error "${omit[@]}"
    else
        # What npm remembers of versions is asked for again: a build without a cache would see the newest.
        obeying npm install --loglevel=error --no-package-lock "${omit[@]}"
    fi
    rm -rf "$kept"
    if [[ -n "$key" ]]; then
        mkdir -p node_modules
        keep node_modules "$kept/$key/node_modules"
    fi
}

prune_with_npm() { npm prune "$(npm_word no-dev)" --loglevel=error --ignore-scripts; }

# npm_word dev|no-dev: the option for packages for development; npm 6 and earlier have others.
npm_word() {
    case "$1 $(npm --version)" in
        "dev "[0-6].*) echo --production=false ;;
        "no-dev "[0-6].*) echo --production ;;
        "dev "*) echo --include=dev ;;
        *) echo --omit=dev ;;
    esac
}

install_with_yarn() {
    if is_berry; then
        install_with_berry
        return
    fi
    export YARN_CACHE_FOLDER="$CACHE_DIR/yarn"
    local dev=--production
    ! needs_dev || dev=--production=false
    obeying yarn install "$(yarn_lock_word)" --non-interactive --ignore-engines --no-progress "$dev"
}

yarn_lock_word() { if [[ -n "$LOCK" ]]; then echo --frozen-lockfile; else echo --no-lockfile; fi; }

prune_with_yarn() {
    if is_berry; then
        prune_with_berry
    else
        yarn install "$(yarn_lock_word)" --non-interactive --ignore-engines --no-progress --production --ignore-scripts --prefer-offline --silent
    fi
}

is_plug_and_play() { [[ -f .pnp.cjs ]]; }

install_with_berry() {
    export YARN_ENABLE_TELEMETRY=0 YARN_GLOBAL_FOLDER="$CACHE_DIR/berry" YARN_ENABLE_PROGRESS_BARS=0 YARN_ENABLE_COLORS=0
    # Without node_modules the archives themselves are what runs, so they belong into the slug.
    if grep -qsE '^nodeLinker: *"?(node-modules|pnpm)' .yarnrc.yml; then
        export YARN_ENABLE_GLOBAL_CACHE=true
    else
        export YARN_ENABLE_GLOBAL_CACHE=false
    fi
    obeying yarn install "$([[ -n "$LOCK" ]] && echo --immutable || echo --no-immutable)"
    needs_dev || keeps_dev || prune_with_berry
}

# `yarn run` looks for all that package.json names in the map of Plug'n'Play.
prune_with_berry() {
    if is_plug_and_play; then
        say "packages for development stay in the slug: with \`nodeLinker: node-modules\` in .yarnrc.yml they are removed"
    elif yarn workspaces focus --help >/dev/null 2>&1; then
        yarn workspaces focus --all --production >"$PACK_DIR/prune.log" 2>&1 || { cat "$PACK_DIR/prune.log"; fail "yarn cannot remove the packages for development"; }
    else
        say "this Yarn has no \`workspaces focus\`, packages for development stay: Yarn 4 has it"
    fi
}

# pnpm_do WORDS: results of scripts are not kept with the packages, and what is no longer needed is removed at once.
pnpm_do() {
    pnpm "$@" --config.store-dir="$CACHE_DIR/pnpm" --config.package-import-method=copy --config.confirm-modules-purge=false \
        --config.side-effects-cache=false --config.modules-cache-max-age=0
}

install_with_pnpm() {
    export npm_config_manage_package_manager_versions=false
    local words=(--prod=false)
    needs_dev || words=(--prod)
    [[ -z "$LOCK" ]] || words+=(--frozen-lockfile)
    [[ -n "$LOCK" ]] || words+=(--no-lockfile)
    obeying pnpm_do install --reporter=append-only "${words[@]}"
}

prune_with_pnpm() {
    if is_workspace; then
        pnpm_do install --prod --ignore-scripts "$([[ -n "$LOCK" ]] && echo --frozen-lockfile || echo --no-lockfile)" >"$PACK_DIR/prune.log" 2>&1 || { cat "$PACK_DIR/prune.log"; fail "pnpm cannot remove the packages for development"; }
    else
        pnpm_do prune --prod --ignore-scripts
    fi
}

bun_install() { bun install "$@" --backend=copyfile --no-progress --no-summary; }

install_with_bun() {
    export BUN_INSTALL_CACHE_DIR="$CACHE_DIR/bun" DO_NOT_TRACK=1
    [[ -z "${npm_config_registry:-}" ]] || export BUN_CONFIG_REGISTRY=${BUN_CONFIG_REGISTRY:-$npm_config_registry}
    local words=()
    [[ -z "$LOCK" ]] || words+=(--frozen-lockfile)
    [[ -n "$LOCK" ]] || words+=(--no-save)
    needs_dev || words+=(--production)
    obeying bun_install "${words[@]}"
}

prune_with_bun() {
    find . -name node_modules -type d -prune -not -path './.deis/*' -exec rm -rf {} +
    local words=(--production)
    [[ -z "$LOCK" ]] || words+=(--frozen-lockfile)
    [[ -n "$LOCK" ]] || words+=(--no-save)
    # Those of the app have run, and may need what is gone.
    ! has_install_scripts || words+=(--ignore-scripts)
    bun_install "${words[@]}"
}

run_script() {
    script "$1" || return 0
    title "Running script $1"
    case $MANAGER in
        npm | pnpm) "$MANAGER" run --silent "$1" ;;
        *) "$MANAGER" run "$1" ;;
    esac
}

build() {
    if script heroku-postbuild; then run_script heroku-postbuild; else run_script build; fi
    if needs_dev && ! keeps_dev; then
        title "Removing packages for development"
        "prune_with_$MANAGER"
    fi
    run_script heroku-cleanup
    remove_notes
}

# What package managers note of times and of folders of the build; the slug would be another with each build.
remove_notes() {
    rm -rf .yarn/install-state.gz .yarn/unplugged/.lock node_modules/.yarn-state.yml.lock node_modules/.pnpm-workspace-state*.json
    find . -path '*/node_modules/.modules.yaml' -not -path './.deis/*' -exec \
        sed -i -E 's/("?prunedAt"?: *"?)[^",]*("?,?)$/\1Thu, 01 Jan 1970 00:00:00 GMT\2/; s/("?prunedAt"?: *"?).*GMT/\1Thu, 01 Jan 1970 00:00:00 GMT/' {} +
}
