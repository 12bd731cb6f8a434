//! The terminal in front of a process.

/// Largest side that is believed.
const SIDE_MAX: u16 = 4096;
/// Kind of terminal where the user's names none.
pub const TERM_DEFAULT: &str = "xterm";
/// Longest name of a kind of terminal.
const TERM_CHARS_MAX: usize = 64;

/// Size in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    pub columns: u16,
    pub rows: u16,
}

impl TerminalSize {
    /// A size that a terminal can have.
    pub fn new(columns: u16, rows: u16) -> Self {
        Self { columns: columns.clamp(1, SIDE_MAX), rows: rows.clamp(1, SIDE_MAX) }
    }
}

/// The kind of terminal, `TERM`; the usual one where the name is none.
pub fn term(name: &str) -> &str {
    let is_name = |name: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte);
        !name.is_empty() && name.len() <= TERM_CHARS_MAX && name.bytes().all(fits)
    };
    if is_name(name) { name } else { TERM_DEFAULT }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_kinds_that_cannot_be_are_replaced() {
        assert_eq!(TerminalSize::new(0, 60_000), TerminalSize { columns: 1, rows: 4096 });
        assert_eq!(
            ["xterm-256color", "", "a b", "$(x)"].map(term),
            ["xterm-256color", "xterm", "xterm", "xterm"]
        );
    }
}
