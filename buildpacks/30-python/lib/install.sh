# The packages of each form of project: requirements.txt, the lock files of uv, Poetry and Pipenv, pyproject.toml, setup.py.
# shellcheck shell=bash

POETRY_VERSION=2.5.1
PIPENV_VERSION=2026.10.3

# choose_form: sets FORM to the file that decides about the packages.
choose_form() {
    local locks=() file
    for file in uv.lock poetry.lock Pipfile.lock; do
        [[ ! -f "$file" ]] || locks+=("$file")
    done
    if [[ -f requirements.txt ]]; then
        FORM=requirements.txt
        [[ ${#locks[@]} == 0 ]] || say "requirements.txt decides about the packages, ${locks[*]} is not read"
        return
    fi
    ((${#locks[@]} < 2)) || fail "${locks[0]} and ${locks[1]} are both there: remove the one that is not used from git"
    if ((${#locks[@]} == 1)); then
        FORM=${locks[0]}
        [[ "$FORM" == Pipfile.lock || -f pyproject.toml ]] || fail "$FORM is there without its pyproject.toml: commit both"
        [[ "$FORM" != Pipfile.lock || -f Pipfile ]] || fail "Pipfile.lock is there without its Pipfile: commit both"
        return
    fi
    [[ ! -f Pipfile ]] || fail "Pipfile is there without a lock file: run \`pipenv lock\` and commit Pipfile.lock"
    FORM=setup.py
    [[ ! -f pyproject.toml ]] || FORM=pyproject.toml
    if [[ "$FORM" == pyproject.toml && ! -f setup.py ]] && ! text pyproject.toml | grep -q '^\[project\][[:space:]]*$' &&
        text pyproject.toml | grep -q '^\[tool\.poetry\]'; then
        fail "pyproject.toml is Poetry's and has no lock file: run \`poetry lock\` and commit poetry.lock"
    fi
}

install_packages() {
    if [[ -z "$UV" ]]; then
        say "using pip instead"
        [[ "$FORM" == requirements.txt ]] || fail "there is no uv for $(uname -m): add a requirements.txt, which pip can read"
        install_with_pip
    elif [[ "$FORM" == requirements.txt ]] && needs_pip requirements.txt; then
        install_with_pip
    else
        "$UV" venv --quiet --python "$PYTHON" "$VENV"
        install_with_uv
    fi
}

install_with_uv() {
    case $FORM in
        requirements.txt) "$UV" pip install --python "$VENV/bin/python" --requirement requirements.txt ;;
        uv.lock)
            UV_PROJECT_ENVIRONMENT="$VENV" "$UV" sync --locked --no-default-groups --no-editable --python "$PYTHON" ||
                fail "the packages of uv.lock cannot be installed: if it does not agree with pyproject.toml, run \`uv lock\` and commit it" ;;
        poetry.lock) install_with_poetry ;;
        Pipfile.lock) install_with_pipenv ;;
        pyproject.toml) "$UV" pip install --python "$VENV/bin/python" --requirement pyproject.toml ;;
        setup.py) "$UV" pip install --python "$VENV/bin/python" --editable . ;;
    esac
}

# needs_pip FILE: whether a file of requirements, or one that it includes, has what uv does not take.
needs_pip() {
    local seen=" $1 " files=("$1") file included
    while ((${#files[@]} > 0 && ${#seen} < 10000)); do
        file=${files[0]}
        files=("${files[@]:1}")
        [[ -f "$file" ]] || continue
        if text "$file" | grep -qE '^[[:space:]]*((-e|--editable)[[:space:]=]*(git|hg|svn|bzr)\+|--(use-feature|use-pep517|no-use-pep517|prefer-binary|pre|process-dependency-links|trusted-host|global-option|install-option|config-settings?|always-unzip)\b)|[[:space:]]--(global-option|install-option|config-settings?)\b|(hg|svn|bzr)\+'; then
            return 0
        fi
        while read -r included; do
            [[ "$included" == /* ]] || included="$(dirname "$file")/$included"
            [[ "$seen" == *" $included "* ]] || { files+=("$included") seen+="$included "; }
        done < <(text "$file" | sed -nE 's/^[[:space:]]*(-r|--requirement)[[:space:]=]*([^[:space:]#]+).*/\2/p')
    done
    return 1
}

install_with_pip() {
    "$PYTHON" -m venv --without-pip "$VENV"
    PYTHONPATH=$(bundled_pip "$PYTHON") "$VENV/bin/python" -m pip install --disable-pip-version-check --no-input --quiet --no-compile \
        --src "$VENV/src" --requirement requirements.txt
    compile_packages
}

# Compiled files say nothing about times, so they hold in the slug, where times are made anew.
compile_packages() {
    "$VENV/bin/python" -m compileall -q --invalidation-mode unchecked-hash "$VENV/lib" >/dev/null || true
}

# tool NAME VERSION: a program for the build only, in an environment of its own, kept by its version; prints its path.
tool() {
    local folder="$CACHE_DIR/python/tools/$1-$2"
    local python
    python=$(type -P python3)
    if [[ ! -x "$folder/bin/$1" || ! "$folder/bin/python" -ef "$python" ]]; then
        say "getting $1 $2" >&2
        rm -rf "$CACHE_DIR/python/tools"
        { "$UV" venv --quiet --python "$python" "$folder" && "$UV" pip install --quiet --python "$folder/bin/python" "$1==$2"; } >&2 ||
            fail "$1 $2 cannot be installed"
    fi
    echo "$folder/bin/$1"
}

install_with_poetry() {
    local poetry only=(--only main)
    poetry=$(tool poetry "$POETRY_VERSION") || exit 1
    export POETRY_VIRTUALENVS_CREATE=false POETRY_CACHE_DIR="$CACHE_DIR/python/poetry" POETRY_NO_INTERACTION=1
    "$poetry" check --lock --quiet 2>/dev/null ||
        fail "poetry.lock does not agree with pyproject.toml: run \`poetry lock\` and commit it"
    VIRTUAL_ENV="$VENV" "$poetry" sync "${only[@]}" --no-ansi
    # What was built from source is built anew each time.
    rm -rf "$POETRY_CACHE_DIR/artifacts"
    compile_packages
}

install_with_pipenv() {
    local pipenv wanted="$PACK_DIR/requirements.txt"
    pipenv=$(tool pipenv "$PIPENV_VERSION") || exit 1
    export PIPENV_IGNORE_VIRTUALENVS=1 PIPENV_VIRTUALENV="$VENV" PIPENV_YES=1
    "$pipenv" verify >/dev/null 2>&1 || fail "Pipfile.lock does not agree with Pipfile: run \`pipenv lock\` and commit it"
    "$pipenv" requirements --hash >"$wanted"
    "$UV" pip install --python "$VENV/bin/python" --requirement "$wanted"
}
