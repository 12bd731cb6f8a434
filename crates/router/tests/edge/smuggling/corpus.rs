//! Reads the corpus, whose form `corpus.txt` tells.

const CORPUS: &str = include_str!("corpus.txt");

/// Allowed outcomes of a case; `&str` is `METHOD PATH`.
#[derive(Debug, Clone, Copy)]
pub enum Verdict {
    Refused,
    One(&'static str),
    Cut,
}

pub struct Case {
    pub name: &'static str,
    pub verdict: Verdict,
    pub bytes: Vec<u8>,
}

pub fn cases() -> Vec<Case> {
    let cases: Vec<_> = CORPUS.split("\n== ").skip(1).map(case).collect();
    assert!(cases.len() > 60, "the corpus is there: {}", cases.len());
    cases
}

fn case(text: &'static str) -> Case {
    let mut lines = text.lines();
    let name = lines.next().expect("a case has a name");
    let verdict = lines.next().and_then(|line| line.strip_prefix("-> "));
    let verdict = match verdict.map(|verdict| verdict.split_once(' ').unwrap_or((verdict, ""))) {
        Some(("refused", "")) => Verdict::Refused,
        Some(("one", request)) => Verdict::One(request),
        Some(("cut", _)) => Verdict::Cut,
        other => panic!("`{name}`: what is {other:?}?"),
    };
    let lines = lines.take_while(|line| !line.starts_with("##"));
    let bytes: Vec<u8> = lines.flat_map(unescaped).collect();
    assert!(!bytes.is_empty(), "`{name}` sends nothing");
    Case { name, verdict, bytes }
}

fn unescaped(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = line.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'0') => 0,
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let digits: String = rest.by_ref().take(2).map(char::from).collect();
                u8::from_str_radix(&digits, 16).unwrap_or_else(|_| panic!("no byte: {line}"))
            }
            _ => panic!("no escape: {line}"),
        });
    }
    bytes
}
