# Maven: its own wrapper or the stack's program, settings, local repository.
# shellcheck shell=bash

REPOSITORY="$CACHE_DIR/maven/repository"

build_with_maven() {
    title "Installing Maven"
    export MAVEN_USER_HOME="$CACHE_DIR/maven/wrapper"
    # Maven runs for seconds: the first compiler of the JVM is enough for it.
    export MAVEN_OPTS="-Xmx1024m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Duser.home=$SCRATCH ${MAVEN_JAVA_OPTS:-${MAVEN_OPTS:-}}"
    choose_maven
    choose_settings
    title "Running Maven"
    local options=(--batch-mode --update-snapshots "-Dmaven.repo.local=$REPOSITORY") goals
    [[ "$(printf '3.6.1\n%s\n' "$MAVEN_VERSION" | sort -V | head -n 1)" != 3.6.1 ]] || options+=(--no-transfer-progress)
    [[ -z "$SETTINGS" ]] || options+=(--settings "$SETTINGS")
    # Archives hold the times of their files: with one time for all, the same source gives the same slug.
    grep -q 'project\.build\.outputTimestamp' pom.xml || options+=(-Dproject.build.outputTimestamp=2010-01-01T00:00:00Z)
    goals="${MAVEN_CUSTOM_OPTS:--DskipTests} ${MAVEN_CUSTOM_GOALS:-clean install}"
    say "\$ ${MAVEN##*/} $goals"
    # shellcheck disable=SC2086 # options and goals are words of a command line
    run_tee "$SCRATCH/log" "$MAVEN" "${options[@]}" $goals || explain_failure Maven
    forget_installed
    # What Maven notes about its own work, and what only tests need.
    find . -path '*/target/*' -prune \( -name test-classes -o -name maven-status -o -name surefire-reports -o -name '*.jar.original' \) \
        -exec rm -rf {} +
}

# The wrapper of the source unless system.properties asks for a version; where its Maven cannot be had, the stack's.
choose_maven() {
    local asked url stack
    asked=$(property system.properties maven.version)
    if [[ -n "$asked" ]]; then
        fetch_maven "$asked"
    elif [[ -f mvnw && -f .mvn/wrapper/maven-wrapper.properties ]]; then
        use_wrapper && return
        command -v mvn >/dev/null || fail "the Maven of mvnw cannot be downloaded, and the stack has none"
        url=$(property .mvn/wrapper/maven-wrapper.properties distributionUrl)
        MAVEN=mvn MAVEN_VERSION=$(version_of_maven mvn)
        say "mvnw cannot get its Maven (${url:-no distributionUrl}): $(grep -vE '^[[:space:]]+at |^Picked up ' "$SCRATCH/wrapper" | tail -n 1 || true)"
        say "using Maven $MAVEN_VERSION of the stack instead; MAVEN_MIRROR names another place for it"
        return
    else
        command -v mvn >/dev/null || fail "the stack has no Maven: commit its wrapper (\`mvn wrapper:wrapper\`)"
        MAVEN=mvn
    fi
    MAVEN_VERSION=$(version_of_maven "$MAVEN") || fail "Maven does not start: $(cat "$SCRATCH/maven-reason")"
    say "using Maven $MAVEN_VERSION"
}

version_of_maven() {
    "$1" --version 2>"$SCRATCH/maven-reason" | sed -nE 's/\x1b\[[0-9;]*m//g; s/^Apache Maven ([^ ]+).*/\1/p' | grep .
}

use_wrapper() {
    chmod +x mvnw
    MAVEN=./mvnw
    [[ -z "${MAVEN_MIRROR:-}" ]] || export MVNW_REPOURL=${MAVEN_MIRROR%/}
    MAVEN_VERSION=$(timeout 300 ./mvnw --version 2>"$SCRATCH/wrapper" | sed -nE 's/\x1b\[[0-9;]*m//g; s/^Apache Maven ([^ ]+).*/\1/p') ||
        return 1
    [[ -n "$MAVEN_VERSION" ]] || return 1
    say "using Maven $MAVEN_VERSION of mvnw"
}

# fetch_maven VERSION: a Maven from a repository of Maven itself.
fetch_maven() {
    local place sha512 reason file="$SCRATCH/maven.tar.gz" home="$CACHE_DIR/maven/program/$1"
    [[ "$1" =~ ^[0-9][0-9A-Za-z.-]*$ ]] || fail "system.properties: maven.version is \`$1\`, write it like \`3.9.9\`"
    if [[ "$(version_of_maven mvn || true)" == "$1" ]]; then
        MAVEN=mvn
        return
    fi
    place="${MAVEN_MIRROR:-https://repo.maven.apache.org/maven2}"
    place="${place%/}/org/apache/maven/apache-maven/$1/apache-maven-$1-bin.tar.gz"
    if [[ ! -d "$home" ]]; then
        say "getting $(without_secret "$place")"
        rm -rf "$CACHE_DIR/maven/program"
        reason=$(get "$place" "$file") && sha512=$(get "$place.sha512" - | cut -d ' ' -f 1) ||
            fail "Maven $1 cannot be had (system.properties asks for it): ${reason##*curl: }. The stack has Maven $(version_of_maven mvn || echo none):" \
                "remove maven.version, or set MAVEN_MIRROR"
        [[ "$(sha512sum "$file" | cut -d ' ' -f 1)" == "$sha512" ]] || fail "$(without_secret "$place") does not have its checksum: nothing of it is used"
        mkdir -p "$home.new"
        tar --extract --file "$file" --directory "$home.new" --strip-components 1 --no-same-owner
        mv "$home.new" "$home"
    fi
    MAVEN="$home/bin/mvn"
}

# The settings that the source, its config or a mirror ask for.
choose_settings() {
    local reason
    SETTINGS=
    if [[ -f .m2/settings.xml ]]; then
        SETTINGS=.m2/settings.xml
    elif [[ -n "${MAVEN_SETTINGS_PATH:-}" ]]; then
        SETTINGS=$MAVEN_SETTINGS_PATH
        [[ -f "$SETTINGS" ]] || fail "MAVEN_SETTINGS_PATH names $SETTINGS, which is not in the source"
    elif [[ -n "${MAVEN_SETTINGS_URL:-}" ]]; then
        SETTINGS="$SCRATCH/settings.xml"
        reason=$(get "$MAVEN_SETTINGS_URL" "$SETTINGS") || fail "MAVEN_SETTINGS_URL cannot be downloaded: ${reason##*curl: }"
        say "using the settings of MAVEN_SETTINGS_URL"
        return
    elif [[ -f settings.xml ]]; then
        SETTINGS=settings.xml
    elif [[ -n "${MAVEN_MIRROR:-}" ]]; then
        SETTINGS="$SCRATCH/settings.xml"
        printf '<settings><mirrors><mirror><id>mirror</id><mirrorOf>central</mirrorOf><url>%s</url></mirror></mirrors></settings>\n' \
            "$(sed 's/&/\&amp;/g; s/</\&lt;/g' <<<"$MAVEN_MIRROR")" >"$SETTINGS"
        say "using the repository of MAVEN_MIRROR"
        return
    fi
    [[ -z "$SETTINGS" ]] || say "using $SETTINGS"
}

# What the build has installed of itself is no download: the next build makes it anew.
forget_installed() {
    local file
    while IFS= read -r -d '' file; do
        rm -rf "${file%/*}"
    done < <(find "$REPOSITORY" -name maven-metadata-local.xml -print0 2>/dev/null)
}

# explain_failure NAME: what the usual failures mean.
explain_failure() {
    local log="$SCRATCH/log" version
    version=$(sed -nE 's/.*(release version|invalid target release:|invalid source release:|error: release version) ([0-9.]+).*/\2/p' "$log" | head -n 1)
    if [[ -n "$version" ]]; then
        fail "the source is written for Java $version, but is built with $(javac -version 2>&1): set java.runtime.version=$version in system.properties"
    fi
    if grep -qE 'UnknownHostException|Connection refused|PKIX path|Could not transfer artifact' "$log"; then
        fail "$1 cannot reach a repository (see above): MAVEN_MIRROR, settings.xml or the build files name the place of dependencies"
    fi
    fail "$1 failed, see above"
}
