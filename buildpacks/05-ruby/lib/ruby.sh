# The Ruby of a build: the stack's, or the one that the source asks for.
# shellcheck shell=bash

# The version that Gemfile.lock, the Gemfile or a version file asks for, and the file.
asked_ruby() {
    local version
    version=$(sed -nE '/^RUBY VERSION$/,/^$/ s/^ +ruby ([0-9]+\.[0-9]+\.[0-9]+).*/\1/p' Gemfile.lock)
    if [[ -n "$version" ]]; then
        echo "$version Gemfile.lock"
    elif [[ -f .ruby-version ]]; then
        echo "$(text .ruby-version | sed -E 's/^ruby-//; s/[[:space:]]//g; /^$/d; q') .ruby-version"
    else
        version=$(tool_version ruby)
        [[ -z "$version" ]] || echo "$version .tool-versions"
    fi
}

# What the Gemfile itself demands, such as `~> 3.3`. Bundler holds to this whatever the lock file says.
required_ruby() {
    local file
    file=$(text Gemfile | sed -nE "s/^[[:space:]]*ruby[[:space:](]+file:[[:space:]]*[\"']([^\"']+)[\"'].*/\1/p" | head -n 1)
    if [[ -n "$file" && -f "$file" ]]; then
        text "$file" | sed -E 's/^ruby[- ]//; s/[[:space:]]//g; /^$/d; q'
        return
    fi
    text Gemfile | sed -nE "s/^[[:space:]]*ruby[[:space:](]+([\"'][^#]*[\"']).*/\1/p" | head -n 1 | tr -d "\"'"
}

# allows REQUIREMENT VERSION
allows() {
    ruby --disable-gems -rrubygems -e 'exit Gem::Requirement.new(ARGV[0].split(",").map(&:strip)).satisfied_by?(Gem::Version.new(ARGV[1]))' \
        "$1" "$2" 2>/dev/null
}

install_ruby() {
    local stack asked file required
    command -v ruby >/dev/null || fail "the stack has no Ruby: its tool chain \`ruby\` is missing"
    stack=$(ruby -e 'print RUBY_VERSION')
    read -r asked file < <(asked_ruby) || true
    required=$(required_ruby)
    if [[ -n "$required" ]] && ! allows "$required" "$stack"; then
        [[ -n "$asked" && "$file" == Gemfile.lock ]] || asked=$required file=Gemfile
    elif [[ -z "$asked" || "${asked%.*}" == "${stack%.*}" || "$asked" == "${stack%.*}" ]]; then
        # Releases of one series differ in corrections only.
        say "using Ruby $stack${asked:+ ($file asks for $asked)}"
        asked=
    fi
    OWN_RUBY=
    if [[ -n "$asked" ]]; then build_ruby "$asked" "$file" "$stack"; fi
    ABI=$(ruby -e 'print RbConfig::CONFIG["ruby_version"]')
    BUNDLER=$(bundle --version 2>/dev/null | sed -E 's/.* //')
}

# build_ruby VERSION FILE STACK: compiles the release of Ruby's own archive. The app takes it along, so the slug holds it.
build_ruby() {
    local version=$1 file=$2 stack=$3 place index line sha256 kept source key
    place=${RUBY_MIRROR:-https://cache.ruby-lang.org/pub/ruby}
    place=${place%/}
    index="$SCRATCH/index.txt"
    line=$(get "$place/index.txt" "$index") || cannot_have "$@" "$(without_secret "$place")/index.txt" "$line"
    version=$(newest_release "$index" "$version")
    [[ -n "$version" ]] || cannot_have "$@" "$(without_secret "$place")/index.txt" "it has no such release"
    sha256=$(awk -v name="ruby-$version" '$1 == name && $2 ~ /\.tar\.gz$/ { print $4; exit }' "$index")
    key=$({ echo "$sha256 $APP_DIR"; cat /var/lib/dpkg/status 2>/dev/null || true; } | digest)
    kept="$CACHE_DIR/ruby/program"
    if [[ "$(cat "$kept/.key" 2>/dev/null)" != "$key" ]]; then
        rm -rf "$kept"
        source="$SCRATCH/ruby-source"
        unpack_archive "$place/${version%.*}/ruby-$version.tar.gz" "$sha256" "$source"
        say "compiling Ruby $version, which takes some minutes"
        if ! (
            cd "$source"
            ./configure --prefix="$APP_DIR/.deis/ruby" --enable-load-relative --disable-install-doc --disable-install-rdoc
            make --jobs="$(nproc)"
            make install DESTDIR="$SCRATCH/root"
        ) >"$SCRATCH/log" 2>&1; then
            tail -n 20 "$SCRATCH/log"
            fail "Ruby $version cannot be compiled on this stack: ask for a newer one ($file), or for the stack's $stack"
        fi
        keep "$SCRATCH/root$APP_DIR/.deis/ruby" "$kept"
        echo "$key" >"$kept/.key"
        rm -rf "$SCRATCH/root" "$source"
    fi
    copy "$kept" .deis/ruby
    rm -f .deis/ruby/.key .deis/ruby/lib/*.a
    OWN_RUBY="$BUILD_DIR/.deis/ruby"
    export PATH="$OWN_RUBY/bin:$PATH"
    say "using Ruby $version ($file asks for $1)"
}

# newest_release INDEX ASKED: `3.4.9` for `3.4.9`, the newest of a series for `3.4` or `~> 3.4.0`.
newest_release() {
    local names
    names=$(sed -nE 's/^ruby-([0-9]+\.[0-9]+\.[0-9]+)[[:space:]].*\.tar\.gz.*/\1/p' "$1" | sort -uV)
    if [[ "$2" =~ ^[0-9]+\.[0-9]+$ ]]; then
        grep -E "^${2//./\\.}\." <<<"$names" | tail -n 1
    else
        local name found=
        while read -r name; do
            if allows "$2" "$name"; then found=$name; fi
        done <<<"$names"
        echo "$found"
    fi
}

# cannot_have VERSION FILE STACK PLACE REASON
cannot_have() {
    fail "Ruby $1 cannot be had ($2 asks for it): $4: ${5##*curl: }. The stack has Ruby $3: allow it by \`ruby \"~> ${3%.*}\"\` in the Gemfile" \
        "and run \`bundle lock\`, or set RUBY_MIRROR to a copy of Ruby's archive"
}
