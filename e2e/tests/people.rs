//! Users and shared apps: docs/spec/journeys.md A5, A19, A21, B3-B5 on one machine and on a cluster.

#[path = "../../crates/controller/tests/api/dnsmasq.rs"]
mod dnsmasq;

use dnsmasq::Dnsmasq;
use e2e::{Platform, User};

fn invited<'a>(platform: &'a Platform, admin: &User<'_>, name: &str) -> User<'a> {
    let (url, user) = (platform.url(), format!("--username={name}"));
    admin.deis(&["register", &url, &user, "--password=correct horse", "--email=", "--login=false"]).ok();
    let invited = platform.newcomer(name);
    invited.login().ok();
    invited
}

#[test]
fn people_administer_share_and_hand_over() {
    let platform = Platform::start();
    let admin = platform.admin();
    let (bob, eve) = (invited(&platform, &admin, "bob"), invited(&platform, &admin, "eve"));
    bob.deis(&["create", "--no-remote", "blog"]).ok();

    // B5: administrators have the owner's rights everywhere.
    eve.deis(&["config:set", "A=1", "--app=blog"]).fails(1, "You do not have permission");
    admin.deis(&["perms:create", "eve", "--admin"]).ok();
    let admins = admin.deis(&["perms:list", "--admin"]).ok().stdout;
    assert!(admins.contains("admin") && admins.contains("eve") && !admins.contains("bob"), "{admins}");
    eve.deis(&["config:set", "A=1", "--app=blog"]).ok();
    let users = eve.deis(&["users"]).ok().stdout;
    assert!(users.contains("bob"), "{users}");
    admin.deis(&["perms:delete", "eve", "--admin"]).ok();
    eve.deis(&["config:set", "A=2", "--app=blog"]).fails(1, "You do not have permission");

    // A19: sharing and transfer.
    bob.deis(&["perms:create", "eve", "--app=blog"]).ok();
    let sharing = bob.deis(&["perms", "--app=blog"]).ok().stdout;
    assert!(sharing.contains("eve"), "{sharing}");
    eve.deis(&["config:set", "A=2", "--app=blog"]).ok();
    bob.deis(&["perms:delete", "eve", "--app=blog"]).ok();
    eve.deis(&["info", "--app=blog"]).fails(1, "You do not have permission");
    bob.deis(&["apps:transfer", "eve", "--app=blog"]).ok();
    bob.deis(&["info", "--app=blog"]).fails(1, "You do not have permission");
    eve.deis(&["info", "--app=blog"]).ok();

    // A21: labels.
    eve.deis(&["labels:set", "team=bi", "--app=blog"]).ok();
    let labels = eve.deis(&["labels", "--app=blog"]).ok().stdout;
    assert!(labels.contains("team:") && labels.contains("bi"), "{labels}");
    eve.deis(&["labels:unset", "team", "--app=blog"]).ok();

    // B3: a new token ends the old one; an account that owns apps stays.
    eve.deis(&["auth:cancel", "--username=eve", "--password=correct horse", "--yes"]).fails(1, "eve");
    admin.deis(&["auth:regenerate", "--username=eve"]).ok();
    eve.deis(&["whoami", "--all"]).fails(1, "Missing or Invalid Token");
    eve.login().ok();
    eve.deis(&["destroy", "--app=blog", "--confirm=blog"]).ok();
    eve.deis(&["auth:cancel", "--username=eve", "--password=correct horse", "--yes"]).ok();
    eve.login().fails(1, "Unable to log in");
    let users = admin.deis(&["users"]).ok().stdout;
    assert!(!users.contains("eve"), "{users}");
}

#[test]
fn a_key_that_is_removed_pushes_no_more() {
    let platform = Platform::start();
    let admin = platform.admin();
    let bob = invited(&platform, &admin, "bob");
    let folder = bob.app_from_example("blog", "static");

    let locked_out = bob.push(&folder);
    assert!(
        locked_out.code != Some(0) && locked_out.all().contains("Permission denied (publickey)"),
        "{}",
        locked_out.all()
    );
    bob.add_key();
    let keys = bob.deis(&["keys:list"]).ok().stdout;
    assert!(keys.contains("bob"), "{keys}");
    bob.push(&folder).ok();
    platform.wait_for_answer("blog", "");

    bob.deis(&["keys:remove", "bob"]).ok();
    bob.change(&folder, &[("more.html", "more\n")]);
    assert_ne!(bob.push(&folder).code, Some(0));
}

#[test]
fn config_is_edited_as_a_file() {
    let platform = Platform::start();
    let admin = platform.admin();
    let folder = admin.app_from_example("blog", "static");
    let deis = |words: &[&str]| admin.deis_in(&folder, words);
    deis(&["config:set", "COLOR=teal", "WORDS=two words"]).ok();

    // Into a pipe, as `deis config:pull > .env` has it.
    let pulled = deis(&["config:pull"]).ok().stdout;
    assert_eq!(pulled, "COLOR=teal\nWORDS=two words\n");
    std::fs::write(folder.join(".env"), pulled.replace("teal", "red")).expect("the file can be written");
    deis(&["config:push"]).ok();

    let listed = deis(&["config:list", "--oneline"]).ok().stdout;
    assert!(listed.contains("COLOR=red") && listed.contains("two words"), "{listed}");
    let releases = deis(&["releases"]).ok().stdout;
    assert!(releases.contains("admin changed COLOR"), "{releases}");
}

#[test]
fn where_the_operator_asks_for_proof_a_domain_is_added_once_its_txt_record_is_set() {
    let dns_server = testkit::free_address();
    let platform = Platform::that_asks_for_proofs(dns_server);
    let admin = platform.admin();
    admin.deis(&["create", "--no-remote", "blog"]).ok();
    let add = || admin.deis(&["domains:add", "www.example.com", "--app=blog"]);

    let dns = Dnsmasq::start(dns_server, &[]);
    let refused = add().fails(1, "there is no TXT record _deis.www.example.com").all();
    let value = refused.split_whitespace().find(|word| word.starts_with("deis-domain-proof="));
    let value = value.unwrap_or_else(|| panic!("no value: {refused}"));
    drop(dns);
    let _dns = Dnsmasq::start(dns_server, &[("_deis.www.example.com", value)]);
    add().ok();

    let domains = admin.deis(&["domains", "--app=blog"]).ok().stdout;
    assert!(domains.contains("www.example.com"), "{domains}");
}
