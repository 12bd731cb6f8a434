//! Cases of small files: those of static sites, those that Windows wrote, and `.env`.

use std::path::Path;

use e2e::{Platform, User};
use serde_json::{Value, json};

use crate::read_case;

#[test]
fn small_files_mean_what_they_say() {
    let platform = Platform::start();
    let admin = platform.admin();

    dotenv_files(&admin);
    let folder = a_redirect_to_a_folder(&platform, &admin);
    byte_order_marks(&platform, &admin, &folder);
}

/// Case 24.
fn dotenv_files(user: &User<'_>) {
    let case = "24-dotenv-files";
    let folder = user.app_from_case("settings", case);
    let other = user.app_from_files("others", &[]);
    std::fs::write(folder.join("windows.env"), "\u{feff}FIRST=1\r\nSECOND=2\r\n").expect("a file");
    let mut expected: Value = serde_json::from_str(&read_case(case, "expected.json")).expect("JSON");

    user.deis_in(&folder, &["config:push", "--path=full.env"]).ok();
    assert_eq!(config(user, &folder), expected);
    user.deis_in(&folder, &["config:push", "--path=windows.env"]).ok();
    user.deis_in(&folder, &["config:set", "NOTE=one\ntwo"]).ok();
    for (key, value) in [("FIRST", "1"), ("SECOND", "2"), ("NOTE", "one\ntwo")] {
        expected[key] = json!(value);
    }
    assert_eq!(config(user, &folder), expected);

    let pulled = user.deis_in(&folder, &["config:pull"]).ok().stdout;
    std::fs::write(other.join(".env"), pulled).expect("a file");
    user.deis_in(&other, &["config:push"]).ok();
    assert_eq!(config(user, &other), expected);
}

fn config(user: &User<'_>, folder: &Path) -> Value {
    let listed = user.deis_in(folder, &["config:list", "--output=json"]).ok().stdout;
    serde_json::from_str(&listed).expect("JSON")
}

/// Case 29.
fn a_redirect_to_a_folder(platform: &Platform, user: &User<'_>) -> std::path::PathBuf {
    let folder = user.app_from_case("site", "29-redirect-to-a-folder");
    user.push(&folder).ok();
    platform.wait_for_answer("site", "the first page");

    let response = platform.get("site", "/docs?page=2&sort=name").expect("a response");

    assert!(response.head.contains("\r\nlocation: /docs/?page=2&sort=name\r\n"), "{}", response.head);
    folder
}

/// Case 30, with an app that exists already; a scenario of Python has the rest of it.
fn byte_order_marks(platform: &Platform, user: &User<'_>, folder: &Path) {
    user.replace_with_case(folder, "30-byte-order-marks");
    let files = [
        ("Staticfile", "\u{feff}root: dist\r\n"),
        (".buildpacks", "\u{feff}static\r\n"),
        (".slugignore", "\u{feff}*.psd\r\n"),
    ];
    user.change(folder, &files);

    let pushed = user.push(folder).ok().all();

    assert!(pushed.contains("Multipack app detected"), "{pushed}");
    platform.wait_for_answer("site", "the built page");
    assert_eq!(platform.get("site", "/drawing.psd").map(|response| response.status), Ok(404));

    let utf16 = "\u{feff}static\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    std::fs::write(folder.join(".buildpacks"), utf16).expect("a file");
    user.commit(folder, "UTF-16");
    user.push(folder).fails(1, ".buildpacks is UTF-16");
}
