//! SSH keys.

use crate::world::World;

const KEY: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ== bob@host\n";

#[test]
fn keys_are_listed_shortened() {
    let world = World::logged_in();
    let key = r#"{"uuid":"k","owner":"bob","created":"","updated":"","id":"bob@host","public":"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ bob@host\n","fingerprint":""}"#;
    let body = format!(r#"{{"count":2,"next":null,"previous":null,"results":[{key}]}}"#);
    world.answer("GET /v2/keys/?limit=100", 200, &body);
    world.deis("keys").says("=== bob Keys (1 of 2)\nbob@host ssh-rsa AAAAB3Nz...Q bob@host\n");
}

#[test]
fn a_file_is_uploaded_under_its_comment_or_a_name() {
    let world = World::logged_in();
    world.write("Blog/id.pub", KEY);
    world.answer("POST /v2/keys/", 201, "{}");
    world.deis("keys:add id.pub").says("Uploading id.pub to deis... done\n");
    world.deis("keys:add laptop id.pub").says("Uploading id.pub to deis... done\n");
    let public = KEY.replace('\n', "\\n");
    assert_eq!(
        world.requests(),
        [
            format!(r#"POST /v2/keys/ {{"id":"bob@host","public":"{public}"}}"#),
            format!(r#"POST /v2/keys/ {{"id":"laptop","public":"{public}"}}"#),
        ]
    );
}

#[test]
fn a_key_is_chosen_from_those_at_home() {
    let world = World::logged_in();
    world.write(".ssh/id.pub", KEY);
    world.write(".ssh/junk.pub", "junk");
    world.answer("POST /v2/keys/", 201, "{}");
    let run = world.deis_with(&["keys:add", "laptop"], "1\n");
    assert_eq!(
        run.out,
        format!(
            "{} is not a valid ssh key\nFound the following SSH public keys:\n1) id.pub bob@host\n\
             0) Enter path to pubfile (or use keys:add <key_path>)\n\
             Which would you like to use with Deis? Uploading id.pub to deis... done\n",
            world.path(".ssh/junk.pub").display()
        )
    );
    assert!(world.requests()[0].contains(r#""id":"laptop""#));

    let path = world.path(".ssh/id.pub").display().to_string();
    let run = world.deis_with(&["keys:add"], &format!("0\n{path}\n"));
    assert!(run.out.ends_with("Enter the path to the pubkey file: Uploading id.pub to deis... done\n"));
}

#[test]
fn a_bad_choice_is_refused() {
    let world = World::logged_in();
    for (answer, err) in
        [("a", "Error: a is not a valid integer\n"), ("3", "Error: 3 is not a valid option\n")]
    {
        world.deis_with(&["keys:add"], &format!("{answer}\n")).fails_with(err);
    }
}

#[test]
fn what_is_no_public_key_is_refused() {
    let world = World::logged_in();
    world.write("Blog/id", "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n");
    world.deis("keys:add id").fails_with("Error: id is not a valid ssh key\n");
    world
        .deis("keys:add laptop nowhere.pub")
        .fails_with("Error: open nowhere.pub: no such file or directory\n");
    assert!(world.requests().is_empty());
}

#[test]
fn a_key_is_removed() {
    let world = World::logged_in();
    world.answer("DELETE /v2/keys/bob@host/x", 204, "");
    world.deis("keys:remove bob@host/x").says("Removing bob@host/x SSH Key... done\n");
}
