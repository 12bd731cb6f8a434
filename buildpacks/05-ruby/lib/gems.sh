# Gems by Bundler, as the lock file has them.
# shellcheck shell=bash

install_gems() {
    export BUNDLE_GEMFILE="$BUILD_DIR/Gemfile" BUNDLE_PATH=vendor/bundle BUNDLE_DEPLOYMENT=1 BUNDLE_WITHOUT=${BUNDLE_WITHOUT-development:test}
    export BUNDLE_USER_HOME="$SCRATCH/bundle" BUNDLE_USER_CACHE="$CACHE_DIR/ruby/downloads" BUNDLE_GLOBAL_GEM_CACHE=true
    export BUNDLE_JOBS=${BUNDLE_JOBS:-4} BUNDLE_RETRY=${BUNDLE_RETRY:-2} BUNDLE_IGNORE_MESSAGES=true BUNDLE_SILENCE_ROOT_WARNING=true
    forget_settings
    say "using Bundler $BUNDLER$(sed -nE '/^BUNDLED WITH$/ { n; s/^ +(.*)/ (Gemfile.lock was written by \1)/p }' Gemfile.lock)"
    restore_gems
    run_tee "$SCRATCH/log" bundle install || explain_failure
    bundle clean --force >/dev/null 2>&1 || true
    remove_leftovers
    keep_gems
}

# Settings that a developer's machine has written and that would win over those of the build.
forget_settings() {
    [[ -f .bundle/config ]] || return 0
    sed -i -E '/^BUNDLE_(PATH|WITHOUT|WITH|FROZEN|DEPLOYMENT|DISABLE_SHARED_GEMS|JOBS|GLOBAL_GEM_CACHE)[_:]/d' .bundle/config
}

# What gems with native parts are made of: the stack, Ruby, the config, which their scripts may read, and the other gems.
gems_key() {
    { ruby --version; echo "$BUNDLER $BUNDLE_WITHOUT $APP_DIR"; config_digest; cat /var/lib/dpkg/status 2>/dev/null || true; } | digest
}

# Gems of the last build. Where the lock file has changed, those with native parts are compiled again.
restore_gems() {
    local kept="$CACHE_DIR/ruby/gems" locked
    [[ "$(cat "$kept/.key" 2>/dev/null)" == "$(gems_key)" ]] || return 0
    mkdir -p vendor
    rm -rf vendor/bundle
    copy "$kept" vendor/bundle
    locked=$(cat Gemfile.lock Gemfile | digest)
    if [[ "$(cat "$kept/.locked")" == "$locked" ]]; then
        say "Gemfile.lock is unchanged, using the gems of the last build"
    else
        forget_native_gems
    fi
    rm -f vendor/bundle/.key vendor/bundle/.locked
}

forget_native_gems() {
    local folder gem home="vendor/bundle/ruby/$ABI"
    for folder in "$home"/extensions/*/*/*/; do
        [[ -d "$folder" ]] || continue
        gem=$(basename "$folder")
        rm -rf "$folder" "$home/gems/$gem" "$home/specifications/$gem.gemspec" "$home/bundler/gems/$gem"
    done
}

keep_gems() {
    rm -rf "$CACHE_DIR/ruby/gems" "$BUNDLE_USER_CACHE"/extensions "$BUNDLE_USER_CACHE"/compact_index
    [[ -d vendor/bundle ]] || return 0
    keep vendor/bundle "$CACHE_DIR/ruby/gems"
    cat Gemfile.lock Gemfile | digest >"$CACHE_DIR/ruby/gems/.locked"
    gems_key >"$CACHE_DIR/ruby/gems/.key"
}

# What compilers have left, and names of temporary folders in it.
remove_leftovers() {
    [[ -d vendor/bundle ]] || return 0
    rm -rf "vendor/bundle/ruby/$ABI/cache"
    find vendor/bundle \( -name gem_make.out -o -name mkmf.log \) -type f -delete
    find vendor/bundle -path '*/ext/*' \( -name '*.o' -o -name Makefile \) -type f -delete
    find vendor/bundle -path '*/bundler/gems/*' -name .git -prune -exec rm -rf {} +
}

# explain_failure: what the usual failures mean.
explain_failure() {
    local log="$SCRATCH/log" library
    if grep -qE 'frozen|deployment mode|gemspecs? for .* changed|lockfile (is|was|does)' "$log" && grep -qE 'Gemfile\.lock|lockfile' "$log"; then
        fail "Gemfile.lock does not agree with the Gemfile (see above): run \`bundle install\` and commit Gemfile.lock"
    fi
    if grep -q 'only supports platforms' "$log"; then
        fail "Gemfile.lock was written for other machines: run \`bundle lock --add-platform x86_64-linux\` and commit it"
    fi
    if grep -qE 'Could not (fetch specs|reach host)|Network error while fetching|Could not find .* in (any of the sources|locally installed gems)' "$log"; then
        fail "gems cannot be fetched (see above): vendor them with \`bundle cache --all\`, or set BUNDLE_MIRROR__ALL to a mirror of the gem index"
    fi
    library=$(sed -nE 's/.*(You need to install|Please install|missing header:|cannot find -l)[[:space:]]*([A-Za-z0-9_./+-]+).*/\2/p' "$log" | head -n 1)
    if [[ -n "$library" ]]; then fail "a gem needs \`$library\`, which the stack does not have (see above)"; fi
    fail "bundle install failed, see above"
}
