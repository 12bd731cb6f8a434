"""Serves this machine's Python as an archive of python-build-standalone, and the list that names it.

mirror.py ADDRESS FOLDER: writes the port into FOLDER/port once it listens.
"""

import glob
import http.server
import json
import os
import shutil
import sys
import sysconfig
import tarfile

ADDRESS, FOLDER = sys.argv[1:]
RELEASE = "20261110"
VERSION = (3, 14, 10)
NAME = f"cpython-3.14.10+{RELEASE}-{os.uname().machine}-unknown-linux-gnu-install_only_stripped.tar.gz"


def leave_out(folder, names):
    return [name for name in names if name in ("__pycache__", "test", "dist-packages", "site-packages") or name.endswith(".a")]


def make_archive():
    root = os.path.join(FOLDER, "python")
    library = os.path.join(root, "lib", f"python{sysconfig.get_python_version()}")
    shutil.copytree(sysconfig.get_path("stdlib"), library, ignore=leave_out)
    named = os.path.join(root, "lib", "python3.14")
    os.makedirs(named)
    # uv looks into the library by the version that the list names.
    for file in glob.glob(os.path.join(library, "_sysconfigdata_*.py")):
        shutil.copy(file, named)
    os.makedirs(os.path.join(root, "bin"))
    shutil.copy(os.path.realpath(sys.executable), os.path.join(root, "bin", "python3.14"))
    os.makedirs(os.path.join(FOLDER, RELEASE))
    with tarfile.open(os.path.join(FOLDER, RELEASE, NAME), "w:gz", compresslevel=1) as archive:
        archive.add(root, "python")


def write_list():
    major, minor, patch = VERSION
    entry = {
        "name": "cpython", "arch": {"family": os.uname().machine, "variant": None}, "os": "linux", "libc": "gnu",
        "major": major, "minor": minor, "patch": patch, "prerelease": "", "variant": None, "build": RELEASE, "sha256": None,
        "url": f"https://github.com/astral-sh/python-build-standalone/releases/download/{RELEASE}/{NAME.replace('+', '%2B')}",
    }
    with open(os.path.join(FOLDER, "downloads.json"), "w") as file:
        json.dump({f"cpython-3.14.10-linux-{os.uname().machine}-gnu": entry}, file)


class Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *arguments):
        super().__init__(*arguments, directory=FOLDER)

    def log_message(self, *arguments):
        pass


make_archive()
write_list()
server = http.server.ThreadingHTTPServer((ADDRESS, 0), Handler)
with open(os.path.join(FOLDER, "port.new"), "w") as file:
    file.write(str(server.server_address[1]))
os.rename(os.path.join(FOLDER, "port.new"), os.path.join(FOLDER, "port"))
server.serve_forever()
