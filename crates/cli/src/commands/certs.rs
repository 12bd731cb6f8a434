//! Certificates of a user, attached to domains.

mod auto;
mod table;

use std::fs;

use api::certs::{Cert, NewCert};
use clap::Arg;

use crate::command::{Command, Matches, app, flag, limit, one, optional, output};
use crate::context::Context;
use crate::failure::{CommandResult, Failure};
use crate::listing;
use crate::progress::Spinner;
use crate::terminal::{say, sayln};

fn name() -> Arg {
    one("name", "the name of the certificate: a-z, 0-9 and hyphens")
}

fn domain() -> Arg {
    one("domain", "a domain of one of your apps")
}

pub fn commands() -> Vec<Command> {
    vec![
        Command::new("certs:list", "[options]", "Lists SSL certificates.", list)
            .args([limit(), output()])
            .examples(&["deis certs"]),
        Command::new("certs:add", "<name> <cert> <key> [options]", "Adds an SSL certificate.", add)
            .args([
                name(),
                one(
                    "cert",
                    "the file with the certificate in PEM and those that signed it",
                ),
                one("key", "the file with the private key in PEM"),
                flag(Some('f'), "force", "add it even where it has expired"),
            ])
            .examples(&["deis certs:add example-com server.crt server.key"]),
        Command::new("certs:remove", "<name> [options]", "Removes an SSL certificate.", remove)
            .args([name()])
            .examples(&["deis certs:remove example-com"]),
        Command::new("certs:info", "<name> [options]", "Prints info about an SSL certificate.", info)
            .args([name(), output()])
            .examples(&["deis certs:info example-com"]),
        Command::new(
            "certs:attach",
            "<name> <domain> [options]",
            "Attaches an SSL certificate to a domain.",
            attach,
        )
        .args([name(), domain()])
        .examples(&["deis certs:attach example-com www.example.com"]),
        Command::new(
            "certs:detach",
            "<name> <domain> [options]",
            "Detaches an SSL certificate from a domain.",
            detach,
        )
        .args([name(), domain()])
        .examples(&["deis certs:detach example-com www.example.com"]),
        Command::new(
            "certs:auto",
            "[on|off] [options]",
            "Gets SSL certificates for the domains of an app automatically.",
            auto::auto,
        )
        .about(
            "Each custom domain of the app that leads here gets a certificate of its own, which is renewed before \
             it ends. Without `on` or `off` it shows how each domain stands; `on` again tries failed ones soon. \
             Certificates that are there stay after `off`. Wildcard domains would need a challenge in DNS, which \
             is not offered: bring their certificates with certs:add.",
        )
        .args([optional("switch", "on or off"), app(), output()])
        .examples(&["deis certs:auto on -a blog", "deis certs:auto -a blog"]),
    ]
}

fn list(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.session()?;
    let certs = session.client.certs(session.limit(matches)?)?.results;
    if matches.wants_json() {
        return listing::json(&certs);
    }
    if certs.is_empty() {
        sayln!("No certs");
    } else {
        say!("{}", table::table(&certs, jiff::Timestamp::now()));
    }
    Ok(())
}

fn add(context: &Context, matches: &Matches) -> CommandResult {
    let (name, certificate, key) = (matches.word(0), matches.word(1), matches.word(2));
    let cert = NewCert {
        certificate: read(certificate)?,
        key: read(key)?,
        name: name.to_owned(),
        force: matches.has("force"),
    };
    if holds_only(&cert.certificate, KEY_END) && holds_only(&cert.key, CERTIFICATE_END) {
        return Err(Failure::new(format!(
            "{certificate} is a private key and {key} a certificate, they are swapped: \
             deis certs:add {name} {key} {certificate}"
        )));
    }
    let session = context.session()?;
    let progress = Spinner::start(format_args!("Adding SSL endpoint... "));
    session.client.add_cert(&cert)?;
    progress.done(format_args!("done"));
    Ok(())
}

/// End of the PEM labels of keys and certificates.
const KEY_END: &str = "PRIVATE KEY-----";
const CERTIFICATE_END: &str = "CERTIFICATE-----";

fn holds_only(text: &str, end: &str) -> bool {
    let other = if end == KEY_END { CERTIFICATE_END } else { KEY_END };
    text.contains(end) && !text.contains(other)
}

fn read(path: &str) -> CommandResult<String> {
    fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::new(format!("open {path}: no such file or directory")),
        std::io::ErrorKind::InvalidData => Failure::new(format!(
            "{path} is no text but binary (DER or PKCS #12, perhaps), expected PEM: `openssl x509 -inform der -in \
             {path}` or `openssl pkcs12 -nodes -in {path}` writes it"
        )),
        _ => Failure::new(format!("open {path}: {error}")),
    })
}

fn info(context: &Context, matches: &Matches) -> CommandResult {
    let cert = context.session()?.client.cert(matches.word(0))?;
    if matches.wants_json() {
        return listing::json(&cert);
    }
    let or = |list: &[String], none: &str| if list.is_empty() { none.to_owned() } else { list.join(",") };
    let Cert { name, common_name, fingerprint, issuer, subject, owner, .. } = &cert;
    sayln!("=== {name} Certificate");
    sayln!("Common Name(s):     {}", common_name.as_deref().unwrap_or(""));
    sayln!("Expires At:         {}", table::day(cert.expires.as_deref()));
    sayln!("Starts At:          {}", table::day(cert.starts.as_deref()));
    sayln!("Fingerprint:        {fingerprint}");
    sayln!("Subject Alt Name:   {}", or(&cert.san, "N/A"));
    sayln!("Issuer:             {issuer}");
    sayln!("Subject:            {subject}");
    sayln!();
    sayln!("Connected Domains:  {}", or(&cert.domains, "No connected domains"));
    sayln!("Owner:              {owner}");
    sayln!("Created:            {}", table::day(Some(&cert.created)));
    sayln!("Updated:            {}", table::day(Some(&cert.updated)));
    Ok(())
}

fn remove(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.session()?;
    let name = matches.word(0);
    let progress = Spinner::start(format_args!("Removing {name}... "));
    session.client.remove_cert(name)?;
    progress.done(format_args!("done"));
    Ok(())
}

fn attach(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.session()?;
    let (name, domain) = (matches.word(0), matches.word(1));
    let progress = Spinner::start(format_args!("Attaching certificate {name} to domain {domain}... "));
    session.client.attach_cert(name, domain)?;
    progress.done(format_args!("done"));
    Ok(())
}

fn detach(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.session()?;
    let (name, domain) = (matches.word(0), matches.word(1));
    let progress = Spinner::start(format_args!("Detaching certificate {name} from domain {domain}... "));
    session.client.detach_cert(name, domain)?;
    progress.done(format_args!("done"));
    Ok(())
}
