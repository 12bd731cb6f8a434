//! The build's output as its reader knows it: titles with an arrow, all else indented by seven blanks.

use std::io::{Write, stdout};

/// Prints a title.
pub fn title(text: &str) {
    print(format_args!("-----> {text}\n"));
}

/// Prints an ordinary line.
pub fn line(text: &str) {
    print(format_args!("       {text}\n"));
}

/// Prints a warning; the build continues.
pub fn warning(text: &str) {
    print(format_args!(" !     {text}\n"));
}

/// Passes on a line of a pack: its own titles stay, everything else is indented.
pub fn pass_on(line: &[u8]) {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let indent: &[u8] = if line.starts_with(b"--") { b"" } else { b"       " };
    write(&[indent, line, b"\n"].concat());
}

/// A number of bytes as people read it: `912B`, `1.7M`, `34M`.
pub fn human(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "K", "M", "G", "T"];
    let mut unit = 0;
    let mut scaled = bytes as f64;
    while scaled >= 999.5 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    if unit > 0 && scaled < 9.95 {
        format!("{scaled:.1}{}", UNITS[unit])
    } else {
        format!("{scaled:.0}{}", UNITS[unit])
    }
}

fn print(text: std::fmt::Arguments<'_>) {
    write(text.to_string().as_bytes());
}

/// A closed output must not fail the build: the parent process decides about that.
fn write(bytes: &[u8]) {
    let mut out = stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_two_digits_at_least_and_three_at_most() {
        for (bytes, text) in [
            (0, "0B"),
            (912, "912B"),
            (1500, "1.5K"),
            (1_782_579, "1.7M"),
            (35_651_584, "34M"),
            (1 << 30, "1.0G"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }
}
