# Archives of versions that the stack does not have. Source it after pack.sh.
# shellcheck shell=bash

# The architecture as archives of Java spell it.
machine() {
    case $(uname -m) in
        x86_64) echo x64 ;;
        *) uname -m ;;
    esac
}

# get URL FILE: downloads; on a failure the message of curl is the output. A server that stalls or never ends is left.
get() {
    curl --fail --location --silent --show-error --retry 2 --connect-timeout 10 --speed-time 30 --speed-limit 1000 \
        --max-time 600 --max-filesize 1500000000 --output "$2" "$1" 2>&1
}

# unpack_archive URL SHA256 FOLDER: the content of an archive, without its first folder, once for each digest.
# The folder is removed when another version takes its place, so a cache holds one.
unpack_archive() {
    local url=$1 sha256=$2 folder=$3 reason actual
    [[ "$sha256" =~ ^[0-9a-f]{64}$ ]] || fail "the checksum of $(without_secret "$url") is not one of SHA-256"
    [[ "$(cat "$folder/.sha256" 2>/dev/null)" != "$sha256" ]] || return 0
    rm -rf "$folder" "$folder.new"
    mkdir -p "$folder.new"
    say "getting $(without_secret "$url")"
    reason=$(get "$url" "$folder.new/archive") || fail "$(without_secret "$url") cannot be downloaded: ${reason##*curl: }"
    actual=$(sha256sum "$folder.new/archive" | cut -d ' ' -f 1)
    [[ "$actual" == "$sha256" ]] || fail "$(without_secret "$url") has the checksum $actual, not $sha256: nothing of it is used"
    tar --extract --file "$folder.new/archive" --directory "$folder.new" --strip-components 1 --no-same-owner
    rm "$folder.new/archive"
    echo "$sha256" >"$folder.new/.sha256"
    mv "$folder.new" "$folder"
}

# without_secret URL: user and password of a mirror stay out of what is printed.
without_secret() { sed -E 's#^([a-z]+://)[^/@]*@#\1#' <<<"$1"; }

# run_tee FILE COMMAND: runs it, and keeps a copy of its output for advice about a failure.
run_tee() {
    local file=$1
    shift
    "$@" 2>&1 | tee "$file"
    return "${PIPESTATUS[0]}"
}
