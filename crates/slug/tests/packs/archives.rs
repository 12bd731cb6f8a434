//! `lib/archives.sh`: versions that the stack does not have.

use crate::Source;

const SOURCED: &[&str] = &["lib/pack.sh", "lib/archives.sh"];
const MAKE: &str = "mkdir -p made/first && echo content >made/first/file && tar -C made -czf archive.tar.gz first\n\
                    sum=$(sha256sum archive.tar.gz | cut -d ' ' -f 1)\n";

#[test]
fn an_archive_is_unpacked_once_for_each_checksum() {
    let source = Source::new(&[]);
    let unpack = "unpack_archive \"file://$PWD/archive.tar.gz\" \"$sum\" \"$CACHE_DIR/x\"";

    let said =
        source.bash(SOURCED, &format!("{MAKE}{unpack}; rm archive.tar.gz; {unpack}; cat $CACHE_DIR/x/file"));

    let said = said.expect("unpacked");
    assert_eq!(said.matches("getting").count(), 1, "{said}");
    assert!(said.ends_with("\ncontent"), "{said}");
}

#[test]
fn an_archive_with_another_checksum_is_refused() {
    let source = Source::new(&[]);
    let other = "0".repeat(64);

    let said = source.bash(
        SOURCED,
        &format!("{MAKE}unpack_archive \"file://$PWD/archive.tar.gz\" {other} \"$CACHE_DIR/x\""),
    );

    assert!(said.expect_err("refused").contains("nothing of it is used"));
    assert!(!source.dir.path().join("cache/x").exists());
}

#[test]
fn a_missing_archive_is_named_without_the_password_of_its_mirror() {
    let source = Source::new(&[]);
    let sum = "a".repeat(64);

    let said = source.bash(
        SOURCED,
        &format!("unpack_archive http://me:secret@127.0.0.1:1/x.tar.gz {sum} \"$CACHE_DIR/x\""),
    );

    let said = said.expect_err("refused");
    assert!(said.contains("http://127.0.0.1:1/x.tar.gz cannot be downloaded"), "{said}");
    assert!(!said.contains("secret"), "{said}");
}
