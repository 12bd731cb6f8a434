//! Arguments as one command line, which a shell on the platform parses again.

/// The command line of these words. A single word is one already, as in `deis run 'ls | wc -l'`. Several are a program and
/// its arguments: quoted, so that each arrives as it was given. What a command line begins with, assignments such as
/// `DEBUG=1`, stays one.
pub fn of(words: &[String]) -> String {
    if let [line] = words {
        return line.clone();
    }
    let mut line = String::new();
    let mut begins = true;
    for word in words {
        if !line.is_empty() {
            line.push(' ');
        }
        match word.split_once('=').filter(|(name, _)| begins && is_variable(name)) {
            Some((name, value)) => {
                line.push_str(name);
                line.push('=');
                if !value.is_empty() {
                    push_quoted(&mut line, value);
                }
            }
            None => {
                begins = false;
                push_quoted(&mut line, word);
            }
        }
    }
    line
}

fn is_variable(name: &str) -> bool {
    let is_good = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    !name.is_empty() && name.chars().all(is_good) && !name.starts_with(|first: char| first.is_ascii_digit())
}

/// Quotes a word for any POSIX shell where it needs that.
fn push_quoted(line: &mut String, word: &str) {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:=@%+,".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        line.push_str(word);
        return;
    }
    line.push('\'');
    line.push_str(&word.replace('\'', r"'\''"));
    line.push('\'');
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn line(words: &[&str]) -> String {
        of(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_single_word_is_a_command_line_and_several_are_a_program_and_its_arguments() {
        assert_eq!(line(&["echo a   b; exit 7"]), "echo a   b; exit 7");
        assert_eq!(line(&["ls", "-alh", "/app"]), "ls -alh /app");
        assert_eq!(line(&["bash", "-c", "exit 53"]), "bash -c 'exit 53'");
    }

    #[test]
    fn a_shell_gives_the_program_each_argument_as_it_was_typed() {
        let arguments = [
            "a b",
            "",
            "  ",
            "it's",
            "''",
            "\"q\"",
            "$HOME",
            "`id`",
            "$(id)",
            "\\",
            "\\n",
            "*",
            "?",
            "[a]",
            "~",
            "~root",
            "#",
            "!",
            "!!",
            "&&",
            ";",
            "|",
            ">x",
            "<",
            "(a)",
            "{a,b}",
            "a=b",
            "-n",
            "--",
            "one\ntwo\n",
            "\t",
            "ü",
            "日本",
            "%s",
        ];
        let words = ["sh", "-c", r#"for word; do printf '%s\0' "$word"; done"#, "name"];
        let line = line(&[&words[..], &arguments].concat());

        for shell in ["sh", "bash"] {
            let output = Command::new(shell).args(["-c", &line]).output().expect("a shell");
            let seen = String::from_utf8(output.stdout).expect("text");
            assert_eq!(seen.trim_end_matches('\0').split('\0').collect::<Vec<_>>(), arguments, "{line}");
        }
    }

    #[test]
    fn assignments_before_the_program_stay_assignments() {
        assert_eq!(line(&["A=1", "rake", "B=2"]), "A=1 rake B=2");
        let line = line(&["A=one two", "B=", "sh", "-c", r#"printf '%s|%s' "$A" "$B""#]);
        let output = Command::new("sh").args(["-c", &line]).output().expect("a shell");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "one two|");
    }
}
