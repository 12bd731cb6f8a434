//! How a shell text of the user's is run inside a replica: the same on every engine.

/// bash where the image has it, as the texts may expect, else sh.
pub fn shell(text: &str) -> Vec<String> {
    let choose = "if command -v bash >/dev/null 2>&1; then exec bash -c \"$0\"; else exec sh -c \"$0\"; fi";
    ["/bin/sh", "-c", choose, text].map(str::to_owned).to_vec()
}
