//! The app of a command, its git remote, and its URL.

use api::client::Address;

use crate::git;

/// Port of git over SSH.
const GIT_PORT: u16 = 2222;

/// Target of an app's pushes.
#[derive(Debug, PartialEq, Eq)]
pub struct BuilderRemote {
    host: String,
    /// Part of a remote's URL that identifies the builder.
    sign: String,
}

impl BuilderRemote {
    /// The builder beside a controller.
    ///
    /// Its host has `-builder` behind the first label. On one machine, where the platform domain is `localhost`, it
    /// is `localhost` itself: not every resolver knows the names under it, and git asks the system's.
    pub fn beside(controller: &Address) -> Self {
        let (first, domain) = controller.host().split_once('.').unwrap_or((controller.host(), ""));
        match domain {
            "localhost" => Self { host: domain.to_owned(), sign: format!("localhost:{GIT_PORT}/") },
            "" => Self::on(format!("{first}-builder")),
            _ => Self::on(format!("{first}-builder.{domain}")),
        }
    }

    fn on(host: String) -> Self {
        Self { sign: host.clone(), host }
    }

    /// The remote that pushes to `app`.
    pub fn remote_url(&self, app: &str) -> String {
        format!("ssh://git@{}:{GIT_PORT}/{app}.git", self.host)
    }

    /// The app that the first fitting remote leads to.
    fn app_of(&self, remotes: &[git::Remote]) -> Option<String> {
        let remote = remotes.iter().find(|remote| remote.url.contains(&self.sign))?;
        let last = remote.url.rsplit('/').next()?;
        Some(last.split('.').next()?.to_owned())
    }
}

/// The app of the current folder: by its git remote, else by the folder's name.
pub fn detect(controller: &Address) -> String {
    let remotes = git::remotes().unwrap_or_default();
    BuilderRemote::beside(controller).app_of(&remotes).unwrap_or_else(folder_name)
}

fn folder_name() -> String {
    let folder = std::env::current_dir().unwrap_or_default();
    folder.file_name().unwrap_or_default().to_string_lossy().to_lowercase()
}

/// Host of an app: a name without a dot replaces the first label of the controller's host.
pub fn host(controller: &Address, domain: &str) -> String {
    let authority = controller.authority();
    match authority.split_once('.') {
        Some((_, platform)) if !domain.contains('.') => format!("{domain}.{platform}"),
        _ => domain.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Address {
        Address::parse(url).unwrap()
    }

    fn remotes(urls: &[&str]) -> Vec<git::Remote> {
        urls.iter().map(|url| git::Remote { name: "x".to_owned(), url: (*url).to_owned() }).collect()
    }

    #[test]
    fn the_remote_leads_to_the_builder_beside_the_controller() {
        let builder = BuilderRemote::beside(&address("http://deis.example.com:80"));
        assert_eq!(builder.remote_url("foo"), "ssh://git@deis-builder.example.com:2222/foo.git");
    }

    #[test]
    fn on_one_machine_the_remote_leads_to_localhost() {
        let builder = BuilderRemote::beside(&address("http://deis.localhost:8000"));
        assert_eq!(builder.remote_url("foo"), "ssh://git@localhost:2222/foo.git");
        let found =
            builder.app_of(&remotes(&["ssh://git@localhost:22/no.git", "ssh://git@localhost:2222/foo.git"]));
        assert_eq!(found.as_deref(), Some("foo"));
    }

    #[test]
    fn a_domain_that_only_ends_like_localhost_is_no_machine_of_its_own() {
        let builder = BuilderRemote::beside(&address("http://deis.my.localhost:8000"));
        assert_eq!(builder.remote_url("foo"), "ssh://git@deis-builder.my.localhost:2222/foo.git");
    }

    #[test]
    fn the_first_remote_whose_url_holds_the_builder_names_the_app() {
        let builder = BuilderRemote::beside(&address("http://deis.example.com"));
        let urls = [
            "git@github.com:a/b.git",
            "ssh://git@deis-builder.example.com:2222/first.git",
            "ssh://git@deis-builder.example.com:2222/second.git",
        ];
        assert_eq!(builder.app_of(&remotes(&urls)).as_deref(), Some("first"));
        assert_eq!(builder.app_of(&remotes(&urls[..1])), None);
    }

    #[test]
    fn an_app_answers_beside_the_controller_or_under_its_own_domain() {
        assert_eq!(host(&address("http://deis.example.com:8080"), "foo"), "foo.example.com:8080");
        assert_eq!(host(&address("http://deis.localhost:8000"), "foo"), "foo.localhost:8000");
        assert_eq!(host(&address("http://deis.example.com"), "www.foo.com"), "www.foo.com");
    }
}
