# The command that starts what was built.
# shellcheck shell=bash

choose_web() {
    local jar start
    if [[ -f target/quarkus-app/quarkus-run.jar || -f build/quarkus-app/quarkus-run.jar ]]; then
        jar=$(ls -d {target,build}/quarkus-app/quarkus-run.jar 2>/dev/null)
        echo "java \$JAVA_OPTS -Dquarkus.http.port=\$PORT -jar $jar"
        return
    fi
    if [[ -f target/dependency/webapp-runner.jar ]] && jar=$(only target/*.war); then
        echo "java \$JAVA_OPTS -jar target/dependency/webapp-runner.jar --port \$PORT $jar"
        return
    fi
    if start=$(start_script); then
        echo "$start"
        return
    fi
    jar=$(executable_jar) || return 0
    echo "java \$JAVA_OPTS $(port_option "$jar")-jar $jar"
}

# The script of Gradle's application plugin reads JAVA_OPTS itself.
start_script() {
    local script
    script=$(only build/install/*/bin/*[!t] || only ./*/build/install/*/bin/*[!t]) || return 1
    echo "$script"
}

# only PATHS: the path, if it is a single one and there.
only() {
    local found=() path
    for path in "$@"; do
        [[ ! -f "$path" || "$path" == *.bat ]] || found+=("${path#./}")
    done
    [[ ${#found[@]} == 1 ]] && echo "${found[0]}"
}

# The one archive that says which class to start, at the root or else in a module.
executable_jar() {
    local folder archive found
    for folder in . './*'; do
        found=()
        # shellcheck disable=SC2231 # a pattern of folders
        for archive in $folder/target/*.[jw]ar $folder/build/libs/*.[jw]ar; do
            [[ -f "$archive" && "$archive" =~ ^[A-Za-z0-9._/+-]+$ ]] || continue
            case ${archive##*/} in
                original-* | *-sources.jar | *-javadoc.jar | *-tests.jar | *-plain.jar) continue ;;
            esac
            manifest "$archive" | grep -q '^Main-Class:' && found+=("${archive#./}")
        done
        [[ ${#found[@]} == 0 ]] || break
    done
    case ${#found[@]} in
        1) echo "${found[0]}" ;;
        0) return 1 ;;
        *)
            say "several archives can be started (${found[*]}): add a Procfile such as \`web: java \$JAVA_OPTS -jar ${found[0]}\`" >&2
            return 1
            ;;
    esac
}

manifest() { unzip -p "$1" META-INF/MANIFEST.MF 2>/dev/null | tr -d '\r'; }

# How a framework is told its port.
port_option() {
    if manifest "$1" | grep -q '^Spring-Boot-Version:'; then
        echo "-Dserver.port=\$PORT "
    elif unzip -Z1 "$1" 2>/dev/null | grep -qE '^(BOOT-INF/lib/|WEB-INF/lib/)?(micronaut-|io/micronaut/)'; then
        echo "-Dmicronaut.server.port=\$PORT "
    fi
}
