//! Every example app can be pushed and responds, and its image is the same with a cache and without.

use std::path::Path;

use e2e::samples::Sample;
use e2e::{GitServer, Platform};

/// Pushes an example; checks the output of the build and the response of the app.
fn pushes_and_answers(example: &str) {
    let sample = Sample::named(example);
    let platform = Platform::start();
    let admin = platform.admin();
    let app = sample.app(&platform, &admin);

    let pushed = app.push().ok().stderr;

    assert!(pushed.contains(sample.said), "{:?} is missing in:\n{pushed}", sample.said);
    platform.wait_for_answer(example, sample.answer);
    is_built_alike_with_what_was_kept(&admin, &app.folder);
}

/// Builds the same source again. The digest of an image stands for the names, modes and contents of all files in it.
fn is_built_alike_with_what_was_kept(user: &e2e::User<'_>, folder: &Path) {
    user.commit(folder, "the same files");
    user.push(folder).ok();

    let listed = user.deis_in(folder, &["builds:list", "--output=json"]).ok().stdout;
    let builds: Vec<serde_json::Value> = serde_json::from_str(&listed).expect("a list of builds");
    let images: Vec<_> = builds.iter().map(|build| build["image"].as_str().expect("an image")).collect();
    let [warm, cold] = images[..] else { panic!("two builds: {listed}") };
    assert!(cold.contains("sha256:"), "{cold}");
    assert_eq!(warm, cold, "what was kept has changed the result");
}

#[test]
fn python() {
    pushes_and_answers("python");
}

#[test]
fn nodejs() {
    pushes_and_answers("nodejs");
}

#[test]
fn deno() {
    pushes_and_answers("deno-hono");
}

#[test]
fn go() {
    pushes_and_answers("go");
}

#[test]
fn java_without_a_framework() {
    pushes_and_answers("java-jdk");
}

#[test]
fn php_behind_nginx() {
    pushes_and_answers("php-nginx");
}

#[test]
fn ruby_without_gems() {
    pushes_and_answers("ruby-socket");
}

#[test]
fn rust_with_axum() {
    pushes_and_answers("rust-axum");
}

#[test]
fn static_files() {
    pushes_and_answers("static");
}

#[test]
fn procfile_alone() {
    pushes_and_answers("procfile");
}

#[test]
fn a_dockerfile() {
    pushes_and_answers("dockerfile");
}

#[test]
fn a_dockerfile_with_build_arguments_and_a_procfile() {
    let platform = Platform::start();
    let admin = platform.admin();
    let dockerfile = format!(
        "FROM {}\nARG TONE\nUSER root\nRUN mkdir /srv/site && echo \"built with $TONE\" > /srv/site/index.html\n\
         EXPOSE 5000\nENTRYPOINT []\nCMD [\"sleep\", \"100000\"]\n",
        platform.stack_image()
    );
    let procfile = "web: cd /srv/site && exec python3 -m http.server $PORT\n";
    let folder = admin.app_from_files("site", &[("Dockerfile", &dockerfile), ("Procfile", procfile)]);
    admin.deis_in(&folder, &["config:set", "DEIS_DOCKER_BUILD_ARGS_ENABLED=1", "TONE=joy"]).ok();

    admin.push(&folder).ok();

    platform.wait_for_answer("site", "built with joy");
    let pods = admin.deis_in(&folder, &["ps"]).ok().stdout;
    assert!(pods.contains("--- web:") && !pods.contains("--- cmd:"), "{pods}");
}

#[test]
fn a_pack_from_a_git_url_written_as_third_parties_write_them() {
    let platform = Platform::start();
    let admin = platform.admin();
    let folder = admin.app_from_files("custom", &[("hello.txt", "hello from a custom pack\n")]);
    let pack = admin.repository("pack");
    admin.change(
        &pack,
        &[
            ("bin/detect", "#!/usr/bin/env bash\ntest -f \"$1/hello.txt\" && echo Hello\n"),
            (
                "bin/compile",
                "#!/usr/bin/env bash\nset -e\necho \"-----> Greeting with $(cat \"$3/TONE\")\"\n\
                 mkdir -p \"$1/public\" && cp \"$1/hello.txt\" \"$1/public/index.html\"\n",
            ),
            (
                "bin/release",
                "#!/usr/bin/env bash\nprintf -- '---\\ndefault_process_types:\\n  web: \
                 cd public && exec python3 -m http.server $PORT\\n'\n",
            ),
        ],
    );
    let served = GitServer::start(&admin, &pack);
    let url = format!("BUILDPACK_URL={}#master", served.url);
    admin.deis_in(&folder, &["config:set", &url, "TONE=joy"]).ok();

    let pushed = admin.push(&folder).ok().stderr;

    for text in ["-----> Fetching custom buildpack", "Greeting with joy"] {
        assert!(pushed.contains(text), "{text:?} is missing in:\n{pushed}");
    }
    platform.wait_for_answer("custom", "hello from a custom pack");
}

#[test]
fn cloud_native_buildpacks() {
    let sample = Sample::named("cnb-app");
    let platform = Platform::start();
    let admin = platform.admin();
    let app = sample.app(&platform, &admin);
    let folder = &app.folder;

    let first = app.push().ok().stderr;

    for text in ["as `deis builder:set` has chosen a builder", "lib is made"] {
        assert!(first.contains(text), "{text:?} is missing in:\n{first}");
    }
    platform.wait_for_answer("cnb-app", sample.answer);
    let ran = admin.deis_in(folder, &["run", "echo \"the key is $LIB_KEY\""]).ok().stdout;
    assert!(ran.contains("the key is lib 1"), "{ran}");
    is_built_alike_with_what_was_kept(&admin, folder);
    admin.change(folder, &[("Procfile", "web: bash serve.sh\nclock: sleep 600\n")]);
    let changed = app.push().ok().stderr;
    assert!(changed.contains("lib is used again"), "{changed}");
    platform.wait_for_answer("cnb-app", sample.answer);
}

#[test]
fn images_of_a_heroku_yml_are_one_release_and_steps_read_secrets_of_the_config() {
    let platform = Platform::start();
    let admin = platform.admin();
    let stack = platform.stack_image();
    let web = format!(
        "FROM {stack}\nUSER root\nWORKDIR /srv\nCOPY index.html .\n\
         RUN --mount=type=secret,id=TOKEN test \"$(cat /run/secrets/TOKEN)\" = opensesame && echo read >secret.html\n\
         EXPOSE 5000\nENTRYPOINT []\nCMD [\"python3\", \"-m\", \"http.server\", \"5000\"]\n"
    );
    let worker = format!(
        "FROM {stack} AS runtime\nARG LEVEL\nRUN echo \"worker at level $LEVEL\" >/tmp/greeting\nENTRYPOINT []\n\
         FROM scratch\n"
    );
    let manifest = "build:\n  docker:\n    web: web/Dockerfile\n    worker:\n      dockerfile: worker/Dockerfile\n      target: runtime\n\
                    \x20 config:\n    LEVEL: 3\nrun:\n  worker: cat /tmp/greeting; exec sleep 1000\n";
    let folder = admin.app_from_files(
        "several",
        &[
            ("heroku.yml", manifest),
            ("web/Dockerfile", &web),
            ("web/index.html", "from an image of its own\n"),
            ("worker/Dockerfile", &worker),
            ("requirements.txt", "flask\n"),
        ],
    );
    admin.deis_in(&folder, &["config:set", "TOKEN=opensesame"]).ok();

    let detected = admin.deis_in(&folder, &["builds:detect"]).ok().stdout;
    assert!(detected.contains("It is built as dockerfile: there is a heroku.yml."), "{detected}");
    let pushed = admin.push(&folder).ok().all();
    admin.deis_in(&folder, &["scale", "worker=1"]).ok();

    assert!(pushed.contains("Building 2 Dockerfiles, as there is a heroku.yml"), "{pushed}");
    platform.wait_for_answer("several", "from an image of its own");
    assert_eq!(platform.get("several", "/secret.html").expect("an answer").body.trim(), "read");
    e2e::wait_until_blocking("the worker's line", std::time::Duration::from_secs(60), || {
        let logs = admin.deis_in(&folder, &["logs"]).ok().stdout;
        if logs.contains("worker at level 3") { Ok(()) } else { Err(logs) }
    });

    admin.deis_in(&folder, &["config:set", "PROJECT_PATH=web"]).ok();
    let detected = admin.deis_in(&folder, &["builds:detect", "--output=json"]).ok().stdout;
    assert!(detected.contains("there is a Dockerfile in web"), "{detected}");
    admin.deis_in(&folder, &["builds:kind", "buildpack"]).ok();
    let detected = admin.deis_in(&folder, &["builds:detect"]).ok().stdout;
    assert!(detected.contains("The pack static (Static) builds it: index.html is there."), "{detected}");
}
