#!/usr/bin/env bash
# heroku-php-apache2 and heroku-php-nginx: PHP-FPM behind a web server, with the options that Heroku's launchers have.
set -euo pipefail

NAME=${0##*/}
ROOT=$PWD
HERE=$(dirname "$(readlink -f "$0")")
# shellcheck source=../../lib/memory-limit.sh
source "$HERE/memory-limit.sh"
# Both servers' configurations name these.
export PORT=${PORT:-5000} HEROKU_APP_DIR=$ROOT DOCUMENT_ROOT=$ROOT

usage() {
    cat <<USAGE
usage: $NAME [options] [<document root>]
  -C <file>  configuration to include in the server's virtual host
  -c <file>  configuration of the virtual host in place of the whole
  -F <file>  configuration to add to the pool of PHP-FPM
  -f <file>  configuration of PHP-FPM in place of the whole
  -i <file>  php.ini
  -l <file>  log to pass on, may be given several times
  -p <port>  port, else PORT
  -t         test the configuration and stop
  -v         say what is started
Files are below the app's folder; one that ends in .php is run by PHP, and its output taken.
USAGE
}

fail() {
    printf '%s: %s\n' "$NAME" "$*" >&2
    exit 2
}

# file_of OPTION PATH: the path of a file of the app, or of what PHP makes of it.
file_of() {
    [[ -f "$2" ]] || fail "$1: there is no file $2"
    if [[ "$2" != *.php ]]; then
        readlink -f "$2"
        return
    fi
    local made
    made="$RUN/$(basename "$2" .php).$1"
    php "$2" >"$made" || fail "$1: $2 failed"
    echo "$made"
}

parse_options() {
    local option
    while getopts ':C:c:F:f:i:l:p:tvh-:' option; do
        case $option in
            C) SITE_INCLUDE=$(file_of C "$OPTARG") ;;
            c) SITE=$(file_of c "$OPTARG") ;;
            F) POOL_INCLUDE=$(file_of F "$OPTARG") ;;
            f) POOL=$(file_of f "$OPTARG") ;;
            i) INI=$(file_of i "$OPTARG") ;;
            l) LOGS+=("$OPTARG") ;;
            p) PORT=$OPTARG ;;
            t) TEST=1 ;;
            v) VERBOSE=1 ;;
            h) usage; exit ;;
            -)
                case $OPTARG in
                    test) TEST=1 ;;
                    verbose) VERBOSE=1 ;;
                    help) usage; exit ;;
                    *) fail "unknown option --$OPTARG, see $NAME -h" ;;
                esac
                ;;
            :) fail "option -$OPTARG needs a value" ;;
            *) fail "unknown option -$OPTARG, see $NAME -h" ;;
        esac
    done
    shift $((OPTIND - 1))
    [[ $# -le 1 ]] || fail "several document roots ($*): options stand before the one"
    if [[ $# == 1 ]]; then
        [[ -d "$1" ]] || fail "document root: there is no folder $1"
        DOCUMENT_ROOT=$(cd "$1" && pwd)
    fi
    [[ "$PORT" =~ ^[0-9]+$ ]] || fail "the port is \`$PORT\`, not a number"
    # Paths are written into configurations.
    [[ "$DOCUMENT_ROOT" != *[\"\'\;{}$]* ]] || fail "document root: the folder's name may have none of \" ' ; { } \$"
}

# Children so that all of them fit into the memory limit at PHP's limit for each.
workers() {
    local limit each
    if [[ "${WEB_CONCURRENCY:-}" =~ ^[1-9][0-9]*$ ]]; then
        echo "$WEB_CONCURRENCY"
        return
    fi
    limit=$(memory_limit_bytes)
    each=$(cd "$DOCUMENT_ROOT" && php ${INI:+-c "$INI"} -r '
        $own = is_file(".user.ini") ? @parse_ini_file(".user.ini") : [];
        echo ini_parse_quantity($own["memory_limit"] ?? get_cfg_var("memory_limit") ?: "128M");' 2>/dev/null || true)
    # The command line has no limit of its own.
    if [[ ! "$each" =~ ^[1-9][0-9]*$ ]]; then each=134217728; fi
    limit=$((${limit:-1073741824} / each))
    echo $((limit < 1 ? 1 : limit > 64 ? 64 : limit))
}

write_pool() {
    local count
    count=$(workers)
    export WEB_CONCURRENCY=$count
    {
        echo '[global]'
        echo "pid = $RUN/php-fpm.pid"
        echo 'error_log = /proc/self/fd/2'
        echo 'log_level = warning'
        echo 'daemonize = no'
        echo 'process_control_timeout = 20s'
        echo '[www]'
        echo "listen = $SOCKET"
        echo 'pm = static'
        echo "pm.max_children = $count"
        echo 'clear_env = no'
        echo 'catch_workers_output = yes'
        echo 'decorate_workers_output = no'
        # The edge logs requests; what the app logs goes to its log.
        echo 'php_value[error_log] = /proc/self/fd/2'
        echo 'php_flag[log_errors] = on'
        [[ -z "${POOL_INCLUDE:-}" ]] || echo "include = $POOL_INCLUDE"
    } >"$RUN/php-fpm.conf"
}

fpm_program() {
    local program
    program=$(compgen -c php-fpm | sort -V | tail -n 1)
    [[ -n "$program" ]] || program=$(find /usr/sbin /usr/local/sbin -maxdepth 1 -name 'php-fpm*' 2>/dev/null | sort -V | tail -n 1)
    [[ -n "$program" ]] || fail "the stack has no PHP-FPM"
    echo "$program"
}

wait_for_socket() {
    local tries
    for ((tries = 0; tries < 300; tries++)); do
        [[ ! -S "$SOCKET" ]] || return 0
        kill -0 "$1" 2>/dev/null || return 1
        sleep 0.1
    done
    return 1
}

# A signal ends the server after the requests under way, then PHP.
stop_all() {
    trap '' TERM INT
    kill -"$SERVER_SIGNAL" "$SERVER_PID" 2>/dev/null || true
    wait "$SERVER_PID" 2>/dev/null || true
    kill -QUIT "$FPM_PID" 2>/dev/null || true
    wait "$FPM_PID" 2>/dev/null || true
    [[ ${#TAILS[@]} == 0 ]] || kill "${TAILS[@]}" 2>/dev/null || true
    rm -rf "$RUN"
}

main() {
    LOGS=() TAILS=() TEST='' VERBOSE=''
    RUN=$(mktemp -d /tmp/php.XXXXXX)
    SOCKET="$RUN/php-fpm.sock"
    case $NAME in
        *apache2) source "$HERE/apache.sh" ;;
        *nginx) source "$HERE/nginx.sh" ;;
        *) fail "start it as heroku-php-apache2 or heroku-php-nginx" ;;
    esac
    parse_options "$@"
    write_pool
    write_server
    local fpm=("$(fpm_program)" --nodaemonize --fpm-config "${POOL:-$RUN/php-fpm.conf}")
    # Variables of the config are in $_ENV, as on Heroku.
    if [[ -n "${INI:-}" ]]; then fpm+=(-c "$INI"); else fpm+=(-d variables_order=EGPCS -d expose_php=0); fi
    if [[ -n "$TEST" ]]; then
        "${fpm[@]}" --test && "${SERVER[@]}" -t
        exit
    fi
    [[ -z "$VERBOSE" ]] || echo "$NAME: $WEB_CONCURRENCY workers, $DOCUMENT_ROOT on port $PORT" >&2
    local log
    for log in "${LOGS[@]}"; do
        mkdir -p "$(dirname "$log")" && touch "$log"
        tail --quiet --follow=name --retry --lines=0 "$log" >&2 &
        TAILS+=($!)
    done
    "${fpm[@]}" &
    FPM_PID=$!
    wait_for_socket "$FPM_PID" || fail "PHP-FPM has not started, see above"
    "${SERVER[@]}" &
    SERVER_PID=$!
    trap 'stop_all; exit 143' TERM
    trap 'stop_all; exit 130' INT
    # One without the other is of no use.
    wait -n "$FPM_PID" "$SERVER_PID" || true
    echo "$NAME: $(kill -0 "$FPM_PID" 2>/dev/null && echo the server || echo PHP-FPM) has ended" >&2
    stop_all
    exit 70
}

main "$@"
