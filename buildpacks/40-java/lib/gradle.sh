# Gradle by the wrapper of the source.
# shellcheck shell=bash

WRAPPER=gradle/wrapper/gradle-wrapper.properties

build_with_gradle() {
    title "Installing Gradle"
    export GRADLE_USER_HOME="$CACHE_DIR/gradle"
    mkdir -p "$GRADLE_USER_HOME"
    choose_gradle
    write_init_script
    local task
    task=$(choose_task)
    title "Running Gradle"
    say "\$ ${GRADLE##*/} $task"
    # shellcheck disable=SC2086 # tasks are words of a command line
    run_tee "$SCRATCH/log" "$GRADLE" --no-daemon --no-build-cache --console=plain --init-script "$SCRATCH/init.gradle" \
        "-Duser.home=$SCRATCH" $task || explain_failure Gradle
    rm -rf .gradle "$GRADLE_USER_HOME"/{daemon,notifications,native,workers,.tmp} "$GRADLE_USER_HOME"/caches/build-cache-*
    find . -path '*/build/*' -prune \( -name tmp -o -name test-results -o -name reports \) -exec rm -rf {} +
}

choose_gradle() {
    local url version
    if [[ -f gradlew && -f "$WRAPPER" ]]; then
        chmod +x gradlew
        GRADLE=./gradlew
        if [[ -n "${GRADLE_DISTRIBUTION_URL:-}" ]]; then use_distribution; fi
        url=$(property "$WRAPPER" distributionUrl | sed 's/\\//g')
        version=$(timeout 300 ./gradlew --no-daemon --version 2>&1 | tee "$SCRATCH/wrapper" | sed -nE 's/^Gradle ([^ ]+).*/\1/p' || true)
        if [[ -n "$version" ]]; then
            say "using Gradle $version of gradlew"
            return
        fi
        command -v gradle >/dev/null || fail "gradlew cannot get its Gradle ($(without_secret "${url:-no distributionUrl}")):" \
            "$(grep -v '^[[:space:]]*at ' "$SCRATCH/wrapper" | grep . | tail -n 1). Set GRADLE_DISTRIBUTION_URL to the address of the" \
            "same archive on a mirror; the stack has no Gradle of its own"
        say "gradlew cannot get its Gradle ($(without_secret "$url"))"
    elif ! command -v gradle >/dev/null; then
        fail "there is no gradlew with its $WRAPPER: run \`gradle wrapper\` and commit gradlew and the folder gradle"
    fi
    GRADLE=gradle
    say "using Gradle $(gradle --version 2>/dev/null | sed -nE 's/^Gradle ([^ ]+).*/\1/p') of the stack"
}

# The archive of a mirror in place of the one that the wrapper names; its checksum, if the wrapper has one, is still checked.
use_distribution() {
    local escaped=${GRADLE_DISTRIBUTION_URL//:/\\\\:}
    cp "$WRAPPER" "$SCRATCH/wrapper.properties"
    { grep -v '^distributionUrl' "$SCRATCH/wrapper.properties"; printf 'distributionUrl=%b\n' "$escaped"; } >"$WRAPPER"
}

# Versions that may change are looked up in each build: a build without a cache would see the newest. Archives have the same
# bytes for the same files.
write_init_script() {
    cat >"$SCRATCH/init.gradle" <<'GRADLE'
allprojects {
    configurations.all {
        resolutionStrategy.cacheDynamicVersionsFor 0, 'seconds'
        resolutionStrategy.cacheChangingModulesFor 0, 'seconds'
    }
    tasks.withType(AbstractArchiveTask) {
        preserveFileTimestamps = false
        reproducibleFileOrder = true
    }
}
GRADLE
    if [[ -n "${MAVEN_MIRROR:-}" ]]; then
        MIRROR=$MAVEN_MIRROR jq -nr '"allprojects { repositories { maven { url = \(env.MIRROR | tojson | gsub("\\$"; "\\$")) } } }"' \
            >>"$SCRATCH/init.gradle"
    fi
}

build_files() { find . -maxdepth 3 \( -name build.gradle -o -name build.gradle.kts \) -not -path '*/build/*' -print0; }

mentions() { build_files | xargs -0 --no-run-if-empty grep -lqE "$1"; }

# What to run: what the config says, the task `stage` of apps for Heroku, or what the plugins of the build offer.
choose_task() {
    if [[ -n "${GRADLE_TASK:-}" ]]; then
        echo "$GRADLE_TASK"
    elif mentions '(task[ (]+|register *\( *|create *\( *|\btasks\.)["'"'"']?stage\b'; then
        echo stage
    elif mentions 'org\.springframework\.boot|io\.quarkus|io\.micronaut'; then
        echo "build -x check"
    elif mentions '(^|[^a-z.])application([^a-zA-Z]|$)|io\.ktor'; then
        echo "installDist"
    else
        echo "build -x check"
    fi
}
