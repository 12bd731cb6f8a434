# The Rust of a build: the stack's, or the one that the source asks for by rustup.
# shellcheck shell=bash

# The channel that rust-toolchain.toml, rust-toolchain or RustConfig asks for.
asked_channel() {
    if [[ -f rust-toolchain ]]; then
        TOOLCHAIN_FILE=rust-toolchain
        if grep -q '^\[toolchain\]' rust-toolchain; then channel_of_table rust-toolchain; else text rust-toolchain | grep . | head -n 1 | tr -d '[:space:]'; fi
    elif [[ -f rust-toolchain.toml ]]; then
        TOOLCHAIN_FILE=rust-toolchain.toml
        channel_of_table rust-toolchain.toml
    elif [[ -f RustConfig ]]; then
        TOOLCHAIN_FILE=RustConfig
        text RustConfig | sed -nE 's/^VERSION=["'"'"']?([A-Za-z0-9.-]+).*/\1/p' | head -n 1
    fi
}

channel_of_table() { text "$1" | sed -nE "s/^[[:space:]]*channel[[:space:]]*=[[:space:]]*[\"']([^\"']+)[\"'].*/\1/p" | head -n 1; }

# The least version that Cargo.toml says it needs, where nothing asks for a channel.
least_version() { text Cargo.toml | sed -nE 's/^rust-version[[:space:]]*=[[:space:]]*"([0-9.]+)".*/\1/p' | head -n 1; }

# `stable` is the stack's, so that an app builds in the same way until its stack changes.
choose_toolchain() {
    local channel stack least file=rust-toolchain.toml
    [[ ! -f rust-toolchain ]] || file=rust-toolchain
    [[ -f "$file" || ! -f RustConfig ]] || file=RustConfig
    channel=$(asked_channel)
    stack=$(rustc --version 2>/dev/null | cut -d ' ' -f 2 || true)
    if [[ -z "$channel" ]]; then
        least=$(least_version)
        if [[ -n "$least" && -n "$stack" && "$(printf '%s\n%s\n' "$least" "$stack" | sort -V | tail -n 1)" != "$stack" ]]; then
            channel=$least file=Cargo.toml
        fi
    fi
    if [[ -n "$stack" && ( -z "$channel" || "$channel" == stable || "$channel" == "$stack" || "$channel" == "${stack%.*}" ) ]]; then
        say "using Rust $stack${channel:+ ($file asks for $channel)}"
        # A file for rustup means nothing to the stack's programs.
        return
    fi
    [[ "${channel:=stable}" =~ ^[A-Za-z0-9.-]+$ ]] || fail "$file: the channel is \`$channel\`, write it like \`stable\`, \`1.90\` or \`nightly-2026-01-31\`"
    use_rustup "$channel" "$file" "${stack:-none}"
}

# use_rustup CHANNEL FILE STACK: components and targets of the file are rustup's own matter.
use_rustup() {
    local place program="$CACHE_DIR/rust/rustup-init" triple sha256 reason
    export RUSTUP_HOME="$CACHE_DIR/rust/rustup" CARGO_HOME="$CACHE_DIR/rust/cargo" RUSTUP_INIT_SKIP_PATH_CHECK=yes
    triple="$(uname -m)-unknown-linux-gnu"
    place="${RUSTUP_UPDATE_ROOT:-${RUSTUP_DIST_SERVER:-https://static.rust-lang.org}/rustup}"
    place="${place%/}/dist/$triple/rustup-init"
    if [[ ! -x "$CARGO_HOME/bin/rustup" ]]; then
        mkdir -p "$CARGO_HOME"
        sha256=$(get "$place.sha256" - | cut -d ' ' -f 1) && reason=$(get "$place" "$program") ||
            cannot_have "$@" "$(without_secret "$place")" "${reason:-$sha256}"
        [[ "$(sha256sum "$program" | cut -d ' ' -f 1)" == "$sha256" ]] || fail "$(without_secret "$place") does not have its checksum: nothing of it is used"
        chmod +x "$program"
        reason=$("$program" -y --quiet --no-modify-path --profile minimal --default-toolchain none 2>&1) || fail "rustup cannot be installed: $reason"
        rm "$program"
    fi
    export PATH="$CARGO_HOME/bin:$PATH"
    if ! reason=$(rustup toolchain install "$1" --profile minimal --no-self-update 2>&1); then
        cannot_have "$@" "$(without_secret "${RUSTUP_DIST_SERVER:-https://static.rust-lang.org}")" "$(grep -m 1 '^error' <<<"$reason")"
    fi
    export RUSTUP_TOOLCHAIN=$1
    # What the file asks for beside the channel.
    [[ "$2" == Cargo.toml || "$2" == RustConfig ]] || unset RUSTUP_TOOLCHAIN
    say "using Rust $(rustc --version | cut -d ' ' -f 2) ($2 asks for $1)"
}

# cannot_have CHANNEL FILE STACK PLACE REASON
cannot_have() {
    fail "Rust $1 cannot be had ($2 asks for it): $4: ${5##*curl: }. The stack has Rust $3: ask for that or for \`stable\`, or set" \
        "RUSTUP_DIST_SERVER to a mirror"
}
