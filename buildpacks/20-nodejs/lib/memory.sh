# Sourced before a process starts: the memory that it may use, told to V8, and the number of processes that fit into it.
# It begins with lib/memory-limit.sh of all packs.
# shellcheck shell=bash

deis_node_memory() {
    local limit
    limit=$(memory_limit_bytes)
    # Without a limit V8 goes by the machine.
    if [[ -z "$limit" ]]; then
        export MEMORY_AVAILABLE="${MEMORY_AVAILABLE:-512}"
    else
        export MEMORY_AVAILABLE="${MEMORY_AVAILABLE:-$((limit / 1048576))}"
    fi
    local process=$MEMORY_AVAILABLE
    if [[ "${WEB_MEMORY:-}" =~ ^[1-9][0-9]*$ ]]; then
        ((WEB_MEMORY >= process)) || process=$WEB_MEMORY
        limit=$process
    fi
    export WEB_MEMORY="${WEB_MEMORY:-512}"
    if [[ -z "${WEB_CONCURRENCY:-}" && "$MEMORY_AVAILABLE$WEB_MEMORY" =~ ^[1-9][0-9]*$ ]]; then
        WEB_CONCURRENCY=$((MEMORY_AVAILABLE / WEB_MEMORY))
        ((WEB_CONCURRENCY >= 1 && WEB_CONCURRENCY <= 200)) || WEB_CONCURRENCY=1
        export WEB_CONCURRENCY
    fi
    # A quarter is left for what is no JavaScript.
    if [[ -n "$limit" && ! "${NODE_OPTIONS:-}" =~ max.old.space.size ]]; then
        export NODE_OPTIONS="${NODE_OPTIONS:+$NODE_OPTIONS }--max-old-space-size=$((process * 3 / 4))"
    fi
}
deis_node_memory
unset -f deis_node_memory memory_limit_bytes
