//! Shell commands of users inside a replica, the same on every engine.

/// bash where the image has it, as the texts may expect, else sh.
pub fn shell(text: &str) -> Vec<String> {
    let choose = "if command -v bash >/dev/null 2>&1; then exec bash -c \"$0\"; else exec sh -c \"$0\"; fi";
    ["/bin/sh", "-c", choose, text].map(str::to_owned).to_vec()
}

/// Loggable form of a command: its program. Arguments and variables may hold secrets, and so may a text whose
/// first word is no plain name.
pub fn program_name(text: &str) -> String {
    let program = text.split_ascii_whitespace().next().unwrap_or("");
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./+-".contains(&byte);
    if program.is_empty() || program.len() > PROGRAM_LENGTH_MAX || !program.bytes().all(is_plain) {
        "a command".to_owned()
    } else {
        format!("'{program}'")
    }
}

/// Longest name of a program in a log.
const PROGRAM_LENGTH_MAX: usize = 64;

/// Names the processes of a session, so that all of them are found when it ends.
const MARK: &str = "DEIS_SESSION";
/// Pause between asking the processes of a session to end and making them.
const GRACE_SECONDS: u32 = 2;

/// A command of a session inside a replica; its processes carry `mark` in their environment.
pub fn marked(mark: &str, term: &str, command: &[String]) -> Vec<String> {
    let set = format!("{MARK}=$1; TERM=$2; export {MARK} TERM; shift 2; exec \"$@\"");
    let words = ["/bin/sh", "-c", &set, "sh", mark, term].map(str::to_owned);
    words.into_iter().chain(command.iter().cloned()).collect()
}

/// The mark of a command that [`marked`] made, by its words.
pub fn mark_of(words: &[String]) -> Option<String> {
    match words {
        [_, _, text, _, mark, ..] if text.starts_with(&format!("{MARK}=$1;")) => Some(mark.clone()),
        _ => None,
    }
}

/// Command that ends all processes of a session, as a terminal does on hang-up. No engine ends a command inside a
/// replica when its client disconnects.
pub fn hang_up(mark: &str) -> Vec<String> {
    let signal = |name: &str| {
        format!(
            "for p in /proc/[0-9]*; do case \"$(tr '\\0' ' ' < $p/environ)\" in \
             *{MARK}=$1*) kill -{name} ${{p#/proc/}};; esac; done 2>/dev/null"
        )
    };
    let text = format!("{}; sleep {GRACE_SECONDS}; {}", signal("HUP"), signal("KILL"));
    ["/bin/sh", "-c", &text, "sh", mark].map(str::to_owned).to_vec()
}

/// First process of a container in which others are started: it waits until it is ended.
pub fn idle() -> Vec<String> {
    ["/bin/sh", "-c", "trap 'exit 0' TERM; read _; sleep 100000 & wait"].map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn command(words: &[String]) -> Command {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }

    #[test]
    fn a_log_tells_the_program_and_never_its_arguments() {
        assert_eq!(program_name("bash"), "'bash'");
        assert_eq!(program_name("  ./manage.py createuser --password s3cret"), "'./manage.py'");
        for text in ["", "PASSWORD=s3cret env", "$(cat s3cret)", "'s3 cret'", "curl|sh", &"s".repeat(100)] {
            assert_eq!(program_name(text), "a command", "{text}");
        }
    }

    #[test]
    fn a_marked_command_gets_its_words_as_they_are() {
        let words = ["printf", "%s|", "a  b", "$TERM"].map(str::to_owned);

        let output = command(&marked("m1", "vt100", &words)).output().expect("a shell");

        assert_eq!(String::from_utf8_lossy(&output.stdout), "a  b|$TERM|");
    }

    #[test]
    fn a_mark_is_found_in_the_words_of_a_command_and_nowhere_else() {
        let words = ["bash", "-l", "a", "b", "c"].map(str::to_owned);

        assert_eq!(mark_of(&marked("m1", "xterm", &words)), Some("m1".to_owned()));
        assert_eq!((mark_of(&hang_up("m1")), mark_of(&idle()), mark_of(&words)), (None, None, None));
    }

    #[test]
    fn hanging_up_ends_the_marked_processes_and_no_other() {
        let mark = format!("test-{}", std::process::id());
        let sleep = ["sleep", "60"].map(str::to_owned);
        let start = |mark: &str| command(&marked(mark, "xterm", &sleep)).stdout(Stdio::null()).spawn();
        let (mut ours, mut other) = (start(&mark).expect("a shell"), start("another").expect("a shell"));

        assert!(command(&hang_up(&mark)).status().expect("a shell").code().is_some());

        assert_eq!(ours.wait().expect("it ended").code(), None);
        assert_eq!(other.try_wait().expect("it is there"), None);
        other.kill().and_then(|()| other.wait()).expect("it ends");
    }
}
