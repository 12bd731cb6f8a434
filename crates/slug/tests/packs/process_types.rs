//! `bin/release` of packs: default process types of what was built.

use std::process::Command;

use crate::{Source, packs};

fn released(pack: &str, files: &[(&str, &str)]) -> String {
    let source = Source::new(files);
    let release = Command::new(packs().join(pack).join("bin/release"))
        .arg(source.dir.path().join("source"))
        .output()
        .expect("it starts");
    assert!(release.status.success(), "{release:?}");
    String::from_utf8_lossy(&release.stdout).into_owned()
}

#[test]
fn each_program_is_a_process_type_and_one_is_web() {
    for (pack, language) in [("10-go", "go"), ("60-rust", "rust")] {
        let said = released(
            pack,
            &[
                (&format!(".deis/{language}-web"), "api_server\n"),
                (&format!(".deis/{language}-programs"), "api_server\nmail_worker\nweb\nodd~name\n"),
            ],
        );

        assert_eq!(
            said, "---\ndefault_process_types:\n  web: bin/api_server\n  mail-worker: bin/mail_worker\n",
            "{pack}"
        );
    }
}

#[test]
fn a_command_of_java_survives_yaml() {
    let command = "java $JAVA_OPTS -Dserver.port=$PORT -jar target/x: y #1.jar";

    let said = released("40-java", &[(".deis/java-web", command)]);

    assert_eq!(said, format!("---\ndefault_process_types:\n  web: \"{command}\"\n"));
    assert_eq!(released("40-java", &[]), "---\n");
}

#[test]
fn php_serves_the_folder_with_the_first_page() {
    for (file, command) in [
        ("public/index.php", "heroku-php-apache2 public/"),
        ("web/index.php", "heroku-php-apache2 web/"),
        ("index.php", "heroku-php-apache2"),
    ] {
        let said = released("50-php", &[(file, "")]);

        assert_eq!(said, format!("---\ndefault_process_types:\n  web: {command}\n"));
    }
}
