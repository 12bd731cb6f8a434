//! Certificates of a user, attached to domains.

mod auto;
mod table;

use std::fs;

use api::certs::{Cert, NewCert};

use crate::command::{APP, Argument, Command, Group, LIMIT, OUTPUT, one, optional};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::grammar::Matches;
use crate::listing;
use crate::progress::Progress;
use crate::terminal::{say, sayln};

const NAME: Argument = one("name", "the name of the certificate: a-z, 0-9 and hyphens");
const DOMAIN: Argument = one("domain", "a domain of one of your apps");

pub const GROUP: Group = Group {
    name: "certs",
    default: Some("certs:list"),
    commands: &[
        Command::new("certs:list", "[options]", "Lists SSL certificates.", list)
            .options(&[LIMIT, OUTPUT])
            .examples(&["deis certs"]),
        Command::new("certs:add", "<name> <cert> <key> [options]", "Adds an SSL certificate.", add)
            .arguments(&[
                NAME,
                one(
                    "cert",
                    "the file with the certificate in PEM, its own first and then those that signed it",
                ),
                one("key", "the file with the private key in PEM"),
            ])
            .examples(&["deis certs:add example-com server.crt server.key"]),
        Command::new("certs:remove", "<name> [options]", "Removes an SSL certificate.", remove)
            .arguments(&[NAME])
            .examples(&["deis certs:remove example-com"]),
        Command::new("certs:info", "<name> [options]", "Prints info about an SSL certificate.", info)
            .arguments(&[NAME])
            .options(&[OUTPUT])
            .examples(&["deis certs:info example-com"]),
        Command::new(
            "certs:attach",
            "<name> <domain> [options]",
            "Attaches an SSL certificate to a domain.",
            attach,
        )
        .arguments(&[NAME, DOMAIN])
        .examples(&["deis certs:attach example-com www.example.com"]),
        Command::new(
            "certs:detach",
            "<name> <domain> [options]",
            "Detaches an SSL certificate from a domain.",
            detach,
        )
        .arguments(&[NAME, DOMAIN])
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
        .arguments(&[optional("switch", "on or off")])
        .options(&[APP, OUTPUT])
        .examples(&["deis certs:auto on -a blog", "deis certs:auto -a blog"]),
    ],
};

fn list(context: &Context, matches: &Matches) -> Outcome {
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

fn add(context: &Context, matches: &Matches) -> Outcome {
    let cert = NewCert {
        certificate: read(matches.word(1))?,
        key: read(matches.word(2))?,
        name: matches.word(0).to_owned(),
    };
    let session = context.session()?;
    let progress = Progress::start(format_args!("Adding SSL endpoint... "));
    session.client.add_cert(&cert)?;
    progress.done(format_args!("done"));
    Ok(())
}

fn read(path: &str) -> Outcome<String> {
    fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::new(format!("open {path}: no such file or directory")),
        _ => Failure::new(format!("open {path}: {error}")),
    })
}

fn info(context: &Context, matches: &Matches) -> Outcome {
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

fn remove(context: &Context, matches: &Matches) -> Outcome {
    let session = context.session()?;
    let name = matches.word(0);
    let progress = Progress::start(format_args!("Removing {name}... "));
    session.client.remove_cert(name)?;
    progress.done(format_args!("done"));
    Ok(())
}

fn attach(context: &Context, matches: &Matches) -> Outcome {
    let session = context.session()?;
    let (name, domain) = (matches.word(0), matches.word(1));
    let progress = Progress::start(format_args!("Attaching certificate {name} to domain {domain}... "));
    session.client.attach_cert(name, domain)?;
    progress.done(format_args!("done"));
    Ok(())
}

fn detach(context: &Context, matches: &Matches) -> Outcome {
    let session = context.session()?;
    let (name, domain) = (matches.word(0), matches.word(1));
    let progress = Progress::start(format_args!("Detaching certificate {name} from domain {domain}... "));
    session.client.detach_cert(name, domain)?;
    progress.done(format_args!("done"));
    Ok(())
}
