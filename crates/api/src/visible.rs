//! Text of apps as a terminal may show it.
//!
//! The output of an app may contain control codes: they move the cursor over earlier text, set the window's title,
//! fill the clipboard, or reverse the reading direction. When text of apps goes to a terminal, such codes are shown in
//! escaped form, not passed on.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Longest colour code that is taken for one.
const SGR_BYTES_MAX: usize = 64;
const RESET: &str = "\u{1b}[0m";

/// Handling of color codes (ECMA-48 section 8.3.117, SGR).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// They are left out.
    Dropped,
    /// They stay; a line with one ends with a reset.
    Kept,
}

/// The text with each control character but line breaks and tabs, and each mark of writing direction, written as an
/// escape such as `\x1b` or `\u{202e}`.
pub fn visible(text: &str, color: Color) -> Cow<'_, str> {
    if !text.chars().any(|char| char == '\r' || is_hidden(char)) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + text.len() / 8);
    let mut rest = text;
    let mut is_colored = false;
    while let Some(char) = rest.chars().next() {
        let length = match sgr_bytes(rest) {
            Some(length) => {
                if color == Color::Kept {
                    shown.push_str(&rest[..length]);
                    is_colored = true;
                }
                length
            }
            None => {
                if char == '\n' && std::mem::take(&mut is_colored) {
                    shown.push_str(RESET);
                }
                // The line break of other systems is one.
                if !rest.starts_with("\r\n") {
                    push(&mut shown, char);
                }
                char.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    if is_colored {
        shown.push_str(RESET);
    }
    Cow::Owned(shown)
}

/// The same for one line: a line break is shown, too.
pub fn visible_line(text: &str, color: Color) -> String {
    visible(text, color).replace('\n', "\\n")
}

/// Bytes of the colour code that the text begins with.
fn sgr_bytes(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\u{1b}[")?.as_bytes();
    let is_parameter = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b';' | b':');
    let length = parameters.iter().take(SGR_BYTES_MAX).take_while(|byte| is_parameter(byte)).count();
    (parameters.get(length) == Some(&b'm')).then_some(length + 3)
}

/// Returns true for a character that a terminal obeys, or that changes the order of what follows.
fn is_hidden(char: char) -> bool {
    let is_layout = matches!(char, '\n' | '\t');
    // C0, DEL and C1; then line separators, and the control characters of Unicode's bidirectional algorithm (UAX
    // #9 section 2).
    (char.is_control() && !is_layout)
        || matches!(char, '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}')
        || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn push(shown: &mut String, char: char) {
    match char {
        '\r' => shown.push_str("\\r"),
        char if is_hidden(char) && char.is_ascii() => {
            write!(shown, "\\x{:02x}", u32::from(char)).expect("a String takes any text");
        }
        char if is_hidden(char) => {
            write!(shown, "\\u{{{:x}}}", u32::from(char)).expect("a String takes any text");
        }
        char => shown.push(char),
    }
}

/// The same for text that comes in pieces, which may end within a character.
#[derive(Debug, Default)]
pub struct VisiblePieces {
    /// The beginning of a character: at most three bytes.
    unfinished: Vec<u8>,
}

impl VisiblePieces {
    /// Visible form of a piece. A color code that is cut in two is shown as an escape.
    pub fn add(&mut self, piece: &[u8], color: Color) -> String {
        let mut bytes = std::mem::take(&mut self.unfinished);
        bytes.extend_from_slice(piece);
        if let Err(error) = std::str::from_utf8(&bytes)
            && error.error_len().is_none()
        {
            self.unfinished = bytes.split_off(error.valid_up_to());
        }
        visible(&String::from_utf8_lossy(&bytes), color).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_that_a_terminal_obeys_is_left() {
        for (text, shown) in [
            ("plain ü 漢\ttab\n", "plain ü 漢\ttab\n"),
            ("\u{1b}[2J\u{1b}[H", "\\x1b[2J\\x1b[H"),
            ("\u{1b}]0;title\u{7}", "\\x1b]0;title\\x07"),
            ("\u{1b}]52;c;cm0gLXJm\u{1b}\\", "\\x1b]52;c;cm0gLXJm\\x1b\\"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("safe\rover", "safe\\rover"),
            ("one\r\ntwo\r\n", "one\ntwo\n"),
            ("a\u{8}b\u{7f}", "a\\x08b\\x7f"),
            ("user\u{202e}gpj.exe", "user\\u{202e}gpj.exe"),
            ("\u{2066}x\u{2069}\u{2028}", "\\u{2066}x\\u{2069}\\u{2028}"),
            ("\u{1b}[8", "\\x1b[8"),
        ] {
            assert_eq!(visible(text, Color::Dropped), shown, "{text:?}");
            assert_eq!(visible(text, Color::Kept), shown, "{text:?}");
        }
        assert_eq!(visible_line("a\nb", Color::Dropped), "a\\nb");
    }

    #[test]
    fn colours_are_left_out_or_kept_and_end_with_their_line() {
        let text = "\u{1b}[1;31mred\nplain \u{1b}[38:5:4mblue\u{1b}[2K";

        assert_eq!(visible(text, Color::Dropped), "red\nplain blue\\x1b[2K");
        assert_eq!(
            visible(text, Color::Kept),
            "\u{1b}[1;31mred\u{1b}[0m\nplain \u{1b}[38:5:4mblue\\x1b[2K\u{1b}[0m"
        );
    }

    #[test]
    fn a_character_that_is_cut_in_two_is_shown_whole() {
        let mut pieces = VisiblePieces::default();
        let bytes = "a漢b\u{202e}".as_bytes();

        let shown: String = bytes.chunks(1).map(|piece| pieces.add(piece, Color::Dropped)).collect();

        assert_eq!(shown, "a漢b\\u{202e}");
        assert_eq!(VisiblePieces::default().add(b"\xff\x1b", Color::Dropped), "\u{fffd}\\x1b");
    }
}
