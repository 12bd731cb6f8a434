//! Rules of packs that need no stack: what the files of a Python project ask for, and what is served by default.

use std::process::Command;

use crate::support::{Done, World};

/// Runs `project.py` of the Python pack in the source.
fn project(world: &World, words: &[&str]) -> Done {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../buildpacks/30-python/lib/project.py");
    let mut python = Command::new("python3");
    python.arg("-B").arg(program).args(words).current_dir(world.path("workspace/source"));
    Done::from(python.output().expect("python3 starts"))
}

#[test]
fn the_version_of_python_is_read_from_every_form() {
    for (files, asked) in [
        (&[("runtime.txt", "python-3.12.4\n")][..], "version 3.12.4 runtime.txt"),
        (
            &[("runtime.txt", "\u{feff}python-3.12\r\n"), (".python-version", "3.13")],
            "version 3.12 runtime.txt",
        ),
        (&[(".python-version", "# The version.\n3.14\n3.13\n")], "version 3.14 .python-version"),
        (&[(".python-version", "cpython@3.13.x")], "version 3.13 .python-version"),
        (&[(".python-version", ">=3.12, <4")], "range >=3.12,<4 .python-version"),
        (&[(".python-version", "system"), ("pyproject.toml", "[project]\nrequires-python = '>=3.9'\n")], ""),
        (
            &[("pyproject.toml", "[project]\nrequires-python = '>= 3.9'\n")],
            "range >=3.9 requires-python of pyproject.toml",
        ),
        (
            &[("pyproject.toml", "[tool.poetry.dependencies]\npython = '^3.11'\n")],
            "range ^3.11 python of pyproject.toml",
        ),
        (
            &[("Pipfile.lock", r#"{"_meta": {"requires": {"python_version": "3.11"}}}"#)],
            "version 3.11 Pipfile.lock",
        ),
        (&[(".tool-versions", "nodejs 24.0.0\npython 3.12.1\n")], "version 3.12.1 .tool-versions"),
        (&[], ""),
    ] {
        let world = World::new();
        for (name, text) in files {
            world.file(&format!("workspace/source/{name}"), text);
        }

        let done = project(&world, &["asked"]).good();

        assert_eq!(done.out.trim_end(), asked, "{files:?}");
    }
}

#[test]
fn a_version_that_is_none_is_refused_with_the_file_that_has_it() {
    for (name, text, told) in [
        (
            "runtime.txt",
            "pypy3.9-7.3.11",
            "error: runtime.txt asks for `pypy3.9-7.3.11`: write a version of CPython, such as 3.12",
        ),
        (".python-version", "three", "error: .python-version asks for `three`"),
        ("pyproject.toml", "[project\n", "error: pyproject.toml cannot be read"),
        ("Pipfile.lock", "{", "error: Pipfile.lock cannot be read"),
    ] {
        let world = World::new();
        world.file(&format!("workspace/source/{name}"), text);

        let done = project(&world, &["asked"]);

        assert!(done.code == 1 && done.err.contains(told), "{done:#?}");
    }
}

#[test]
fn ranges_of_poetry_are_those_of_pep_440() {
    let world = World::new();
    for (poetry, pep440) in [
        ("^3.11", ">=3.11,<4"),
        ("~3.11.2", ">=3.11.2,<3.12"),
        ("~=3.11", "~=3.11"),
        (">=3.9,<3.13", ">=3.9,<3.13"),
        ("3.12.*", "==3.12.*"),
        ("^3.11||^4.0", ">=3.11,<4"),
        ("*", ""),
    ] {
        assert_eq!(project(&world, &["request", poetry]).good().out.trim_end(), pep440, "{poetry}");
    }
}

#[test]
fn the_default_web_is_the_app_that_is_found_with_the_server_that_is_installed() {
    const DJANGO: &str = "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site1.settings.prod')\n";
    const FACTORY: &str =
        "from flask import Flask\ndef create_app(config=None):\n    return Flask(__name__)\n";
    for (server, files, web) in [
        (
            "gunicorn",
            &[("app.py", "import flask\napp = flask.Flask(__name__)\n")][..],
            "gunicorn app:app --bind 0.0.0.0:$PORT",
        ),
        (
            "waitress-serve",
            &[("shop/__init__.py", FACTORY)],
            "waitress-serve --listen=0.0.0.0:$PORT --call shop:create_app",
        ),
        ("gunicorn", &[("shop/__init__.py", FACTORY)], "gunicorn 'shop:create_app()' --bind 0.0.0.0:$PORT"),
        (
            "gunicorn",
            &[
                ("shop/__init__.py", FACTORY),
                ("wsgi.py", "from shop import create_app\napplication = create_app()\n"),
            ],
            "gunicorn wsgi:application --bind 0.0.0.0:$PORT",
        ),
        (
            "uvicorn",
            &[("api/main.py", "api: FastAPI = FastAPI(title='x')\n")],
            "uvicorn api.main:api --host 0.0.0.0 --port $PORT",
        ),
        (
            "gunicorn",
            &[("manage.py", DJANGO), ("site1/wsgi.py", ""), ("site1/asgi.py", "")],
            "gunicorn site1.wsgi:application --bind 0.0.0.0:$PORT",
        ),
        (
            "uvicorn",
            &[("manage.py", DJANGO), ("site1/wsgi.py", ""), ("site1/asgi.py", "")],
            "uvicorn site1.asgi:application --host 0.0.0.0 --port $PORT",
        ),
        // No server, or none for the kind of the app.
        ("flask", &[("app.py", "app = Flask(__name__)\n")], ""),
        ("gunicorn", &[("main.py", "app = FastAPI()\n")], ""),
        ("gunicorn", &[("app.py", "print('no app'\n"), ("tests/app.py", "app = Flask(__name__)\n")], ""),
    ] {
        let world = World::new();
        world.program(&format!("bin/{server}"), "true");
        for (name, text) in files {
            world.file(&format!("workspace/source/{name}"), text);
        }

        let programs = world.path("bin").display().to_string();
        let done = project(&world, &["web", &programs]).good();

        assert_eq!(done.out.trim_end(), web, "{server} {files:?}");
    }
}
