# Django's static files.
# shellcheck shell=bash

# collect_static: `manage.py collectstatic` where Django is installed, unless DISABLE_COLLECTSTATIC says otherwise.
collect_static() {
    local manage root
    compgen -G "$VENV/lib/python*/site-packages/django/__init__.py" >/dev/null || return 0
    manage=$(find . -maxdepth 3 -name manage.py -type f -not -path './.deis/*' -printf '%d %P\n' | sort -n | head -n 1 | cut -d ' ' -f 2-)
    [[ -n "$manage" ]] || return 0
    if [[ "${DISABLE_COLLECTSTATIC:-0}" != 0 ]]; then
        say "collectstatic is left out: DISABLE_COLLECTSTATIC is set"
        return
    fi
    title "Collecting static files of Django"
    root=$(manage "$manage" diffsettings --all) ||
        fail "Django's settings cannot be loaded, see above: set what they need with \`deis config:set\`, or DISABLE_COLLECTSTATIC=1"
    if ! grep -qE "^STATIC_ROOT = (Posix)?(Path\\()?'.+'" <<<"$root" && ! grep -qE "^STATIC_ROOT = PosixPath\\('.+'\\)" <<<"$root"; then
        say "nothing to do: STATIC_ROOT of the settings is not set"
        return
    fi
    manage "$manage" help collectstatic >/dev/null 2>&1 || { say "nothing to do: django.contrib.staticfiles is not installed"; return 0; }
    manage "$manage" collectstatic --noinput ||
        fail "collectstatic has failed, see above: correct it, or run \`deis config:set DISABLE_COLLECTSTATIC=1\`"
}

# manage FILE WORDS: compiled files of the app would say when they were made.
manage() {
    PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="${PYTHONPATH:-$BUILD_DIR}" "$VENV/bin/python" "$@"
}
