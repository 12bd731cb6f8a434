"""What the files of a Python project say: the version that they ask for, and the app to serve.

project.py asked              prints `version 3.12 runtime.txt` or `range >=3.11 requires-python of pyproject.toml`
project.py choose RANGE       reads lines `3.11.2 /usr/bin/python3`, prints the first program that RANGE allows
project.py request RANGE      prints the first alternative of the range as specifiers of PEP 440
project.py web FOLDER         prints the command of the default `web`, with the servers whose programs FOLDER has
"""

import ast
import json
import os
import re
import sys

BYTES_MAX = 16 << 20
EXACT = re.compile(r"\d+(\.\d+){0,2}((a|b|rc)\d+)?t?")


def fail(message):
    sys.exit(f"error: {message}")


def read(path):
    """The text of a file of the project; None where there is none."""
    try:
        with open(path, "rb") as file:
            data = file.read(BYTES_MAX)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        fail(f"{path} is UTF-16: save it as plain text in UTF-8")
    try:
        return data.removeprefix(b"\xef\xbb\xbf").decode().replace("\r\n", "\n")
    except UnicodeDecodeError:
        fail(f"{path} is not UTF-8: save it as plain text in UTF-8")


def toml(path):
    try:
        import tomllib
    except ImportError:
        from pip._vendor import tomli as tomllib
    text = read(path)
    if text is None:
        return {}
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        fail(f"{path} cannot be read: {error}")


def lock_of_pipenv():
    text = read("Pipfile.lock")
    if text is None:
        return {}
    try:
        return json.loads(text)
    except ValueError as error:
        fail(f"Pipfile.lock cannot be read: {error}")


def first_line(text):
    for line in text.splitlines():
        line = re.sub(r"#.*", "", line).strip()
        if line:
            return line
    return ""


def version_of_file(name, line):
    """The request of runtime.txt or .python-version, such as `python-3.12.4`, `3.12`, `3.12.x` or `>=3.11`."""
    line = re.sub(r"\s+", "", line)
    if line in ("", "system", "python", "python3"):
        return None
    if line[0] in "<>=~^!":
        return f"range {line} {name}"
    version = re.sub(r"(\.(x|\*)|-dev)$", "", re.sub(r"^(c?python)?[-@]?v?", "", line))
    if not EXACT.fullmatch(version):
        fail(f"{name} asks for `{line}`: write a version of CPython, such as 3.12")
    return f"version {version} {name}"


def asked():
    for name in ("runtime.txt", ".python-version"):
        text = read(name)
        if text is not None:
            return version_of_file(name, first_line(text))
    requires = lock_of_pipenv().get("_meta", {}).get("requires", {})
    for field in ("python_full_version", "python_version"):
        if requires.get(field):
            return version_of_file("Pipfile.lock", str(requires[field]))
    for line in (read(".tool-versions") or "").splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "python":
            return version_of_file(".tool-versions", words[1])
    project = toml("pyproject.toml")
    allowed = project.get("project", {}).get("requires-python")
    if allowed:
        return f"range {''.join(str(allowed).split())} requires-python of pyproject.toml"
    allowed = project.get("tool", {}).get("poetry", {}).get("dependencies", {}).get("python")
    if allowed:
        return f"range {','.join(str(allowed).replace(',', ' ').split())} python of pyproject.toml"
    return None


def specifiers(text):
    """The alternatives of a range: PEP 440, and Poetry's `^3.11`, `~3.11`, `3.11.*` and `||`."""
    from pip._vendor.packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        return [SpecifierSet(alternative) for alternative in texts_of(text)]
    except InvalidSpecifier:
        fail(f"the range of Python versions is `{text}`: write it like `>=3.11`")


def texts_of(text):
    return [",".join(pep440(word) for word in part.split(",") if word not in ("", "*")) for part in re.split(r"\|\|?", text)]


def pep440(word):
    word = re.sub(r"^,+|,+$", "", word)
    match = re.fullmatch(r"(\^|~(?!=))(\d+)(?:\.(\d+))?(\.\d+)*", word)
    if match:
        least = word[1:]
        if match[1] == "~" and match[3] is not None:
            return f">={least},<{match[2]}.{int(match[3]) + 1}"
        return f">={least},<{int(match[2]) + 1}"
    return f"=={word}" if word[:1].isdigit() else word


def choose(text):
    alternatives = specifiers(text)
    for line in sys.stdin:
        version, program = line.split()
        if any(alternative.contains(version, prereleases=True) for alternative in alternatives):
            return program
    return None


# Files in which an app is looked for, and names of folders that hold packages.
MODULES = ("app", "main", "wsgi", "asgi", "application", "server", "api", "run", "web", "index")
IGNORED = {"test", "tests", "docs", "node_modules", "migrations", "static", "templates"}


def calls_of(tree):
    """Names that a module assigns the result of a call to, and its functions without an argument that they need."""
    for node in tree.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, ast.Call):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            called = node.value.func
            called = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            for target in targets:
                if isinstance(target, ast.Name):
                    yield "value", target.id, called
        elif isinstance(node, ast.FunctionDef):
            free = len(node.args.args) + len(node.args.posonlyargs) - len(node.args.defaults)
            if free == 0:
                yield "factory", node.name, None


def packages():
    names = sorted(entry.name for entry in os.scandir(".") if entry.is_dir() and not entry.name.startswith("."))
    return [name for name in names if name not in IGNORED and name.isidentifier()]


def candidates():
    """Modules that may have the app: those of the root, then those of its packages."""
    for name in MODULES:
        yield f"{name}.py", name
    for package in packages():
        for name in ("__init__", *MODULES):
            yield f"{package}/{name}.py", package if name == "__init__" else f"{package}.{name}"


def find_app():
    """The framework, module and name of the first app, and whether it is a function that makes one."""
    for path, module in candidates():
        text = read(path)
        try:
            tree = text and ast.parse(text)
        except (SyntaxError, ValueError):
            continue
        if not tree:
            continue
        found = list(calls_of(tree))
        for kind, name, called in found:
            if kind == "value" and called in ("Flask", "FastAPI", "Starlette", "Quart"):
                return called, module, name, False
        for kind, name, called in found:
            if kind == "value" and called == "create_app" and name in ("app", "application"):
                return framework_named(text), module, name, False
        for kind, name, _ in found:
            if kind == "factory" and name in ("create_app", "make_app"):
                return framework_named(text), module, name, True
    return None


def framework_named(text):
    return next((name for name in ("FastAPI", "Starlette", "Quart") if re.search(rf"\b{name}\b", text)), "Flask")


def django_module(kind):
    """`mysite.wsgi` of the project whose settings manage.py names."""
    found = re.search(r"DJANGO_SETTINGS_MODULE['\"]\s*,\s*['\"]([\w.]+)['\"]", read("manage.py") or "")
    package = found[1].split(".")[0] if found else None
    for name in [package] if package else packages():
        if os.path.isfile(f"{name}/{kind}.py"):
            return f"{name}.{kind}"
    return None


def command(servers, module, name, is_asgi, is_factory=False):
    if is_asgi:
        if "uvicorn" in servers:
            return f"uvicorn {module}:{name} --host 0.0.0.0 --port $PORT" + (" --factory" if is_factory else "")
        if "hypercorn" in servers and not is_factory:
            return f"hypercorn {module}:{name} --bind 0.0.0.0:$PORT"
        return None
    if "gunicorn" in servers:
        target = f"'{module}:{name}()'" if is_factory else f"{module}:{name}"
        return f"gunicorn {target} --bind 0.0.0.0:$PORT"
    if "waitress-serve" in servers:
        return f"waitress-serve --listen=0.0.0.0:$PORT {'--call ' if is_factory else ''}{module}:{name}"
    return None


def web(programs):
    known = ("gunicorn", "uvicorn", "hypercorn", "waitress-serve")
    servers = [name for name in known if os.path.exists(os.path.join(programs, name))]
    if os.path.isfile("manage.py"):
        for kind, is_asgi in (("wsgi", False), ("asgi", True)):
            module = django_module(kind)
            chosen = module and command(servers, module, "application", is_asgi)
            if chosen:
                return chosen
    app = find_app()
    if app is None:
        return None
    framework, module, name, is_factory = app
    return command(servers, module, name, framework != "Flask", is_factory)


def main(words):
    match words:
        case ["asked"]:
            answer = asked()
        case ["choose", text]:
            answer = choose(text)
        case ["request", text]:
            answer = texts_of(text)[0]
        case ["web", programs]:
            answer = web(programs)
        case _:
            fail("usage: project.py asked | choose RANGE | request RANGE | web FOLDER")
    if answer:
        print(answer)


main(sys.argv[1:])
