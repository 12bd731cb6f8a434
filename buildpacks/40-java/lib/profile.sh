# Java of a running app: its program, its heap, and addresses of databases in Java's spelling.
# It begins with lib/memory-limit.sh of all packs.
# shellcheck shell=bash

if [ -d "$HOME/.deis/jdk" ]; then
    export JAVA_HOME="$HOME/.deis/jdk" PATH="$HOME/.deis/jdk/bin:$PATH"
fi

# Java takes a quarter of the memory limit for its heap. A container has it to itself: half to four fifths, the less the smaller
# it is, since classes, threads and compiled code take their part. -Xmx in JAVA_OPTS or JAVA_TOOL_OPTIONS wins.
deis_heap_percent() {
    local limit
    limit=$(memory_limit_bytes)
    [ -n "$limit" ] || return 0
    limit=$((limit / 1048576))
    if [ "$limit" -le 256 ]; then echo 45
    elif [ "$limit" -le 512 ]; then echo 58
    elif [ "$limit" -le 1024 ]; then echo 65
    else echo 75
    fi
}

# Passwords and names of an address may be written with %40 and the like.
deis_jdbc() {
    local rest host query user='' password=''
    case $1 in
        postgres://* | postgresql://*) set -- "$1" postgresql ;;
        mysql://* | mysql2://*) set -- "$1" mysql ;;
        *) return ;;
    esac
    rest=${1#*://}
    case $rest in
        *\?*) query=${rest#*\?} rest=${rest%%\?*} ;;
        *) query='' ;;
    esac
    host=$rest
    case $rest in
        *@*)
            host=${rest##*@} user=${rest%@*}
            case $user in
                *:*) password=${user#*:} user=${user%%:*} ;;
            esac
            ;;
    esac
    export JDBC_DATABASE_URL="jdbc:$2://$host?user=$user&password=$password${query:+&$query}"
    printf -v JDBC_DATABASE_USERNAME '%b' "${user//%/\\x}"
    printf -v JDBC_DATABASE_PASSWORD '%b' "${password//%/\\x}"
    export JDBC_DATABASE_USERNAME JDBC_DATABASE_PASSWORD
    if [ "${DISABLE_SPRING_DATASOURCE_URL:-}" != true ]; then
        export SPRING_DATASOURCE_URL="${SPRING_DATASOURCE_URL:-jdbc:$2://$host${query:+?$query}}"
        export SPRING_DATASOURCE_USERNAME="${SPRING_DATASOURCE_USERNAME:-$JDBC_DATABASE_USERNAME}"
        export SPRING_DATASOURCE_PASSWORD="${SPRING_DATASOURCE_PASSWORD:-$JDBC_DATABASE_PASSWORD}"
    fi
}

deis_percent=$(deis_heap_percent)
if [ -n "$deis_percent" ]; then
    export JAVA_TOOL_OPTIONS="-XX:MaxRAMPercentage=$deis_percent${JAVA_TOOL_OPTIONS:+ $JAVA_TOOL_OPTIONS}"
fi
if [ -z "${JDBC_DATABASE_URL:-}" ]; then deis_jdbc "${DATABASE_URL:-}"; fi
unset -f deis_heap_percent deis_jdbc memory_limit_bytes
unset deis_percent
