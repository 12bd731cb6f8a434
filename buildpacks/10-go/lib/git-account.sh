#!/usr/bin/env bash
# A credential helper of git: the account of a host from the app's config, GO_GIT_CRED__HTTPS__GITHUB__COM=user:password for
# https://github.com. A value without a colon is a token. The values reach git and nothing else.
set -euo pipefail

env_dir=$1
[[ "${2:-}" == get ]] || exit 0
protocol='' host=''
while IFS='=' read -r key value && [[ -n "$key" ]]; do
    case $key in
        protocol) protocol=$value ;;
        host) host=${value%%:*} ;;
    esac
done
name=${protocol^^}__${host//./__}
name=${name//-/_}
file="$env_dir/GO_GIT_CRED__${name^^}"
if [[ "$name" =~ ^[A-Za-z0-9_]+$ && -f "$file" ]]; then
    account=$(<"$file")
    printf 'username=%s\npassword=%s\n' "${account%%:*}" "${account#*:}"
fi
