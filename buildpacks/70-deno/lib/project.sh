# What the files of a Deno project say: its version, its tasks, and the module to start.
# shellcheck shell=bash

# find_config: sets DENO_JSON to deno.json or deno.jsonc; empty where there is none.
find_config() {
    DENO_JSON=
    local file
    for file in deno.json deno.jsonc; do
        [[ ! -f "$file" ]] || { DENO_JSON=$file; break; }
    done
    TASKS='{}'
    [[ -n "$DENO_JSON" ]] || return 0
    TASKS=$(without_comments "$DENO_JSON" | jq -c '.tasks // {} | map_values(if type == "object" then .command // "" else . end)' 2>/dev/null) ||
        fail "$DENO_JSON is not a JSON object: check its commas and quotes"
}

# without_comments FILE: JSON of JSON with comments and commas at the end of lists.
without_comments() {
    text "$1" | python3 -c '
import re, sys
text = sys.stdin.read()
token = r"\"(?:\\.|[^\"\\])*\"|//[^\n]*|/\*.*?\*/"
text = re.sub(token, lambda match: match[0] if match[0][0] == "\"" else " ", text, flags=re.S)
print(re.sub(r"(\"(?:\\.|[^\"\\])*\")|,(\s*[}\]])", lambda match: match[1] or match[2], text))'
}

# task NAME: whether there is the task.
task() { jq -e --arg name "$1" '.[$name] // "" | length > 0' <<<"$TASKS" >/dev/null; }

# asked_version: `<where> <version>` of the first place that names one.
asked_version() {
    local file version
    if [[ -n "${DENO_VERSION:-}" ]]; then
        echo "DENO_VERSION $DENO_VERSION"
        return
    fi
    for file in .deno-version .dvmrc; do
        [[ -f "$file" ]] || continue
        echo "$file $(text "$file" | sed -E 's/#.*//; s/[[:space:]]//g; /^$/d' | head -n 1)"
        return
    done
    version=$(tool_version deno)
    [[ -z "$version" ]] || echo ".tool-versions $version"
}

# whole_version WHERE VERSION: three numbers; a shorter one is the default, if that begins with it.
whole_version() {
    local version=${2#v}
    version=${version%.x}
    case "$version" in
        '' | latest | stable) echo "$DENO_VERSION_DEFAULT" ;;
        *)
            if [[ "$version" =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]]; then
                echo "$version"
            elif [[ "$version" =~ ^[0-9]+(\.[0-9]+)?$ && "$DENO_VERSION_DEFAULT" == "$version".* ]]; then
                echo "$DENO_VERSION_DEFAULT"
            else
                fail "$1 asks for Deno $2: write a whole version, such as $DENO_VERSION_DEFAULT"
            fi ;;
    esac
}

# find_entry: the module that the task `start` names, else the first of the usual names.
find_entry() {
    local word name
    for word in $(jq -r '.start // ""' <<<"$TASKS" | grep -oE '[A-Za-z0-9_./-]+\.[cm]?[jt]sx?' || true); do
        [[ ! -f "$word" ]] || { echo "$word"; return; }
    done
    for name in main server mod index app src/main src/server src/index; do
        for word in "$name".{ts,tsx,js,mjs}; do
            [[ ! -f "$word" ]] || { echo "$word"; return; }
        done
    done
}

# choose_web ENTRY: the command of the default `web`.
choose_web() {
    if task start; then
        echo 'deno task start'
    elif [[ -n "$1" ]] && grep -qE '^export default' "$1"; then
        echo "deno serve --allow-all --port \$PORT $1"
    elif [[ -n "$1" ]]; then
        echo "deno run --allow-all $1"
    fi
}
