# The Java of a build, and of the slug where the stack's is not the one asked for.
# shellcheck shell=bash

# property FILE NAME: a value of a file of Java properties; nothing where there is none.
property() {
    [[ -f "$1" ]] || return 0
    text "$1" | sed -nE "s/^[[:space:]]*${2//./\\.}[[:space:]]*[=:[:space:]][[:space:]]*([^[:space:]]+)[[:space:]]*$/\1/p" | tail -n 1
}

# Lines `version file` of what the source asks for, the file with most to say first.
asked_versions() {
    local version
    version=$(property system.properties java.runtime.version)
    [[ -z "$version" ]] || echo "$version system.properties"
    if [[ -f .java-version ]]; then echo "$(text .java-version | head -n 1 | tr -d '[:space:]') .java-version"; fi
    version=$(tool_version java)
    [[ -z "$version" ]] || echo "$version .tool-versions"
    version=$(property .sdkmanrc java)
    [[ -z "$version" ]] || echo "$version .sdkmanrc"
}

# plain_version TEXT: `17.0.9` for `openjdk-17.0.9`, `temurin-17.0.9+9` or `17.0.9-tem`, `8` for `1.8.0_392`.
plain_version() {
    sed -E 's/^[a-z][a-z_]*-(jre-|hotspot-)?//; s/[-+].*//; s/_.*//; s/^1\.([5-8])(\..*)?$/\1/' <<<"$1"
}

install_jdk() {
    local asked file version stack
    command -v javac >/dev/null || fail "the stack has no Java: its tool chain \`java\` is missing"
    JAVA_HOME=$(dirname "$(dirname "$(readlink -f "$(command -v javac)")")")
    stack=$(sed -nE 's/^JAVA_VERSION="([0-9][0-9.]*).*/\1/p' "$JAVA_HOME/release")
    read -r asked file < <(asked_versions) || true
    version=$(plain_version "${asked:-}")
    if [[ -z "$version" || "$version" == "$stack" || "$version" == "${stack%%.*}" ]]; then
        say "using Java $stack${asked:+ ($file asks for $asked)}"
    else
        [[ "$version" =~ ^[0-9]{1,3}(\.[0-9]+)*$ ]] || fail "$file asks for Java \`$asked\`, write it like \`${stack%%.*}\` or \`$stack\`"
        fetch_jdk "$version" "$file" "$stack"
    fi
    export JAVA_HOME PATH="$JAVA_HOME/bin:$PATH"
    trust_authorities
}

# fetch_jdk VERSION FILE STACK: the app takes it along, so the slug holds it.
fetch_jdk() {
    local version=$1 file=$2 stack=$3 url sha256 kept="$CACHE_DIR/java/jdk"
    url=$(config JDK_ARCHIVE_URL || true)
    if [[ -n "$url" ]]; then
        url=${url//\{version\}/$version} url=${url//\{arch\}/$(machine)}
        sha256=$(get "$url.sha256" - | cut -d ' ' -f 1) || cannot_have "$@" "$(without_secret "$url").sha256" "${sha256:-}"
    else
        read -r url sha256 < <(find_release "$@")
        [[ -n "$url" ]] || exit 1
    fi
    unpack_archive "$url" "$sha256" "$kept"
    [[ -x "$kept/bin/javac" ]] || fail "$(without_secret "$url") holds no JDK: there is no bin/javac in its first folder"
    copy "$kept" .deis/jdk
    rm -rf .deis/jdk/{.sha256,src.zip,lib/src.zip,man,demo,sample,jmods}
    JAVA_HOME="$BUILD_DIR/.deis/jdk"
    say "using Java $version ($file asks for it)"
}

# find_release VERSION FILE STACK: address and checksum of the newest release of a version, from the index of Eclipse Temurin.
find_release() {
    local index=https://api.adoptium.net/v3/assets query="architecture=$(machine)&image_type=jdk&os=linux&vendor=eclipse" answer
    if [[ "$1" == *.* ]]; then
        # Its ranges are Maven's: every build of this one version.
        index="$index/version/%5B$1,$1.99%5D?$query&release_type=ga"
    else
        index="$index/latest/$1/hotspot?$query"
    fi
    answer=$(get "$index" -) || cannot_have "$@" "${index%%\?*}" "$answer"
    jq -er '.[0] | (.binary // .binaries[0]).package | "\(.link) \(.checksum)"' <<<"$answer" ||
        cannot_have "$@" "${index%%\?*}" "it has no such release"
}

# cannot_have VERSION FILE STACK URL REASON
cannot_have() {
    fail "Java $1 cannot be had ($2 asks for it): $4: ${5##*curl: }. The stack has Java $3: ask for ${3%%.*}, which builds and" \
        "runs programs for older versions, or set JDK_ARCHIVE_URL to a mirror, such as" \
        "https://mirror.example.com/jdk-{version}-linux-{arch}.tar.gz with its checksum in the same name and .sha256"
}

# Java trusts the authorities of a file of its own. Where the build has a bundle, they are those of the bundle.
trust_authorities() {
    [[ -s "${SSL_CERT_FILE:-}" ]] || return 0
    local store="$SCRATCH/authorities.p12"
    openssl pkcs12 -export -nokeys -in "$SSL_CERT_FILE" -jdktrust anyExtendedKeyUsage -passout pass:changeit -out "$store" \
        2>/dev/null || return 0
    export JAVA_TOOL_OPTIONS="-Djavax.net.ssl.trustStore=$store -Djavax.net.ssl.trustStorePassword=changeit ${JAVA_TOOL_OPTIONS:-}"
}
