//! Commands of SSH clients. Everything else is refused before anything is touched.

use domain::AppName;

/// Longest command that is looked at.
const COMMAND_LENGTH_MAX: usize = 256;

/// A command that is served.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SshCommand {
    Ping,
    /// `git push`.
    ReceivePack(AppName),
    /// `git clone`, `git fetch`.
    UploadPack(AppName),
}

/// A refused command; the text is shown to the client.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("only `git push`, `git fetch` and `git clone` are served here")]
    Unknown,
    /// The client is git, which shows the text best in its own format.
    #[error(
        "`{0}` is not the name of an app: a name starts with a letter and has a-z, 0-9 and hyphens only; \
         correct the remote with `deis git:remote -a <app>`"
    )]
    Repository(String),
}

impl SshCommand {
    /// Parses the text of an `exec` request. Nothing in it ever reaches a shell.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, CommandError> {
        let text = std::str::from_utf8(text).map_err(|_| CommandError::Unknown)?;
        if text.len() > COMMAND_LENGTH_MAX {
            return Err(CommandError::Unknown);
        }
        match text.split_once(' ') {
            None if text == "ping" => Ok(Self::Ping),
            Some(("git-receive-pack", repository)) => app_of(repository).map(Self::ReceivePack),
            Some(("git-upload-pack", repository)) => app_of(repository).map(Self::UploadPack),
            _ => Err(CommandError::Unknown),
        }
    }
}

/// `'/app.git'`, `app.git`, `app`: one pair of quotes, one leading slash, one suffix.
fn app_of(repository: &str) -> Result<AppName, CommandError> {
    let bare = repository.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or(repository);
    let name = bare.strip_prefix('/').unwrap_or(bare);
    let name = name.strip_suffix(".git").unwrap_or(name);
    AppName::parse(name).map_err(|_| CommandError::Repository(printable(bare)))
}

/// Form of a client's text that is safe to show on a terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|letter| letter.is_ascii_graphic() || *letter == ' ').take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_and_ping_are_understood_in_the_forms_that_clients_send() {
        let app = || AppName::parse("blog").unwrap();
        for text in ["'/blog.git'", "/blog.git", "blog.git", "blog", "'blog'"] {
            let push = format!("git-receive-pack {text}");
            assert_eq!(SshCommand::parse(push.as_bytes()), Ok(SshCommand::ReceivePack(app())), "{text}");
        }
        assert_eq!(SshCommand::parse(b"git-upload-pack '/blog.git'"), Ok(SshCommand::UploadPack(app())));
        assert_eq!(SshCommand::parse(b"ping"), Ok(SshCommand::Ping));
    }

    #[test]
    fn a_repository_that_is_no_app_name_is_refused() {
        let hostile = [
            "",
            "''",
            "'..'",
            "'/../x.git'",
            "'blog.git' --help",
            "--exec=x",
            "'$(id)'",
            "'`id`'",
            "'Blog'",
            "'//blog'",
            "'blog/.git'",
            "'blog\n'",
            "\"blog\"",
            "'a b'",
            "'blog.git.git'",
            "~root",
        ];
        for repository in hostile {
            let text = format!("git-receive-pack {repository}");
            let refused = SshCommand::parse(text.as_bytes());
            assert!(matches!(refused, Err(CommandError::Repository(_))), "{repository:?}: {refused:?}");
        }
    }

    #[test]
    fn other_commands_are_refused() {
        let long = format!("git-receive-pack {}", "a".repeat(300));
        let commands =
            ["", "sh", "git-upload-archive 'blog'", "git-receive-pack", "ping ", "git-shell -c x", &long];
        for text in commands {
            assert_eq!(SshCommand::parse(text.as_bytes()), Err(CommandError::Unknown), "{text:?}");
        }
        assert_eq!(SshCommand::parse(b"git-receive-pack \xff"), Err(CommandError::Unknown));
    }
}
