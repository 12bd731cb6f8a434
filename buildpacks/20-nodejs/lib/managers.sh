# Which package manager the app uses: npm, Yarn, pnpm or Bun, by lock file and `packageManager`, each from the npm registry.
# shellcheck shell=bash

# Versions for apps that name none, beside those of lib/javascript.sh. A lock file of an older format is for the last line that writes it.
BERRY_VERSION=4.18.1
BERRY_3_VERSION=3.8.7
PNPM_8_VERSION=8.15.9
PNPM_7_VERSION=7.33.7
BUN_VERSION=1.4.5

# Lines `<manager> <file>` for each lock file.
lock_files() {
    local line
    for line in 'npm package-lock.json' 'npm npm-shrinkwrap.json' 'yarn yarn.lock' 'pnpm pnpm-lock.yaml' 'bun bun.lock' 'bun bun.lockb'; do
        [[ ! -f "${line#* }" ]] || echo "$line"
    done
}

# choose_manager: sets MANAGER, LOCK, and ASKED, the version of packageManager.
choose_manager() {
    local found named managers
    found=$(lock_files)
    managers=$(awk '!seen[$1]++' <<<"$found")
    if (($(wc -l <<<"$managers") > 1)); then
        fail "$(awk '{ print $2 }' <<<"$managers" | head -n 2 | paste -sd ' ' | sed 's/ / and /') are both there, each of another package manager:" \
            "remove the one that is not used from git"
    fi
    read -r MANAGER LOCK <<<"$found" || true
    named=$(of_package .packageManager)
    [[ -n "$named" ]] || named=$(of_package '[.devEngines.packageManager // empty] | flatten | .[0] | select(.version) | "\(.name)@\(.version)"')
    ASKED=
    if [[ -n "$named" ]]; then
        [[ "$named" =~ ^(npm|yarn|pnpm|bun)@([^+]+)(\+.*)?$ ]] ||
            fail "packageManager of package.json is \`$named\`: write a name and a version, such as pnpm@$PNPM_VERSION"
        ASKED=${BASH_REMATCH[2]}
        [[ -z "$MANAGER" || "$MANAGER" == "${BASH_REMATCH[1]}" ]] ||
            fail "packageManager of package.json is \`$named\`, but $LOCK is of $MANAGER: run \`${BASH_REMATCH[1]} install\` and commit its lock file instead"
        MANAGER=${BASH_REMATCH[1]}
    fi
    MANAGER=${MANAGER:-npm}
    [[ -n "$LOCK" ]] || say "no lock file: commit that of $MANAGER to get the same packages with each build"
}

# Yarn 2 and later has another lock file, other settings and other words.
is_berry() {
    if [[ -n "$ASKED" ]]; then
        [[ ! "$ASKED" =~ ^[\^~]?[01]\. ]]
    else
        [[ -f .yarnrc.yml ]] || grep -qs '^__metadata:' yarn.lock
    fi
}

# default_version: of the manager, for the format of the lock file.
default_version() {
    case $MANAGER in
        bun) echo "$BUN_VERSION" ;;
        pnpm)
            case $(sed -nE "s/^lockfileVersion: *['\"]?([0-9]+).*/\1/p" pnpm-lock.yaml 2>/dev/null) in
                5) echo "$PNPM_7_VERSION" ;;
                6) echo "$PNPM_8_VERSION" ;;
                *) echo "$PNPM_VERSION" ;;
            esac ;;
        yarn)
            if ! is_berry; then
                echo "$YARN_VERSION"
            elif [[ $(sed -nE '/^__metadata:/,/^$/ s/^ +version: *([0-9]+).*/\1/p' yarn.lock 2>/dev/null) == [4-6] ]]; then
                echo "$BERRY_3_VERSION"
            else
                echo "$BERRY_VERSION"
            fi ;;
    esac
}

# The package of the npm registry that has the manager.
manager_package() {
    case $MANAGER in
        yarn) if is_berry; then echo @yarnpkg/cli-dist; else echo yarn; fi ;;
        bun) case $(uname -m) in aarch64) echo @oven/bun-linux-aarch64 ;; *) echo @oven/bun-linux-x64 ;; esac ;;
        *) echo "$MANAGER" ;;
    esac
}

install_manager() {
    local range version package
    package=$(manager_package)
    range=${ASKED:-$(of_package ".engines.$MANAGER")}
    if [[ "$MANAGER" == npm ]]; then
        version=$(jq -r .version "$RUNTIME/lib/node_modules/npm/package.json")
        [[ -z "$range" ]] || version=$(choose_version npm "$version" "$range" "npm of package.json") || exit 1
        [[ "$version" == "$(jq -r .version "$RUNTIME/lib/node_modules/npm/package.json")" ]] || lay_out_npm "$(manager_folder npm "$version")"
    else
        local yarn_path
        version=$(default_version)
        yarn_path=$(sed -nE 's/^yarnPath: *"?([^"]+)"?.*/\1/p' .yarnrc.yml 2>/dev/null || true)
        if [[ "$MANAGER" == yarn && -n "$yarn_path" ]]; then
            [[ -f "$yarn_path" ]] || fail ".yarnrc.yml: there is no $yarn_path (yarnPath), commit it or remove the line"
            version=$yarn_path
            printf '#!/usr/bin/env bash\nexec node "%s/%s" "$@"\n' '$(cd "$(dirname "$(readlink -f "$0")")/../../.." && pwd)' "$yarn_path" >"$RUNTIME/bin/yarn"
            chmod +x "$RUNTIME/bin/yarn"
        else
            [[ -z "$range" || "$range" == "$version" ]] || version=$(choose_version "$package" "$version" "$range" "$MANAGER of package.json") || exit 1
            lay_out_manager "$(manager_folder "$package" "$version")"
        fi
    fi
    say "using $MANAGER $version"
}

# manager_folder PACKAGE VERSION: the package, kept by its version.
manager_folder() {
    local home="$CACHE_DIR/node/manager/${1//\//_}-$2"
    if [[ ! -d "$home" ]]; then
        say "getting $MANAGER $2" >&2
        rm -rf "$CACHE_DIR/node/manager"
        mkdir -p "$home.new"
        first_npm install --silent --prefix "$home.new" --no-save --no-package-lock --install-strategy=hoisted "$1@$2" >&2 ||
            fail "$MANAGER $2 cannot be installed: is there such a version?"
        mv "$home.new" "$home"
    fi
    echo "$home/node_modules/$1"
}

lay_out_manager() {
    local to="$RUNTIME/lib/node_modules/$MANAGER" name program
    copy "$1" "$to"
    if [[ "$MANAGER" == bun ]]; then
        ln -s ../lib/node_modules/bun/bin/bun "$RUNTIME/bin/bun"
        ln -s bun "$RUNTIME/bin/bunx"
        return
    fi
    while read -r name program; do
        chmod +x "$to/$program"
        ln -s "../lib/node_modules/$MANAGER/$program" "$RUNTIME/bin/$name"
    done < <(jq -r '.bin | if type == "object" then to_entries[] | "\(.key) \(.value)" else empty end' "$to/package.json")
}
