//! Packs as no git would write them.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use sha1::{Digest as _, Sha1};

use crate::client::Client;

/// The id of nothing.
pub const NO_ID: &str = "0000000000000000000000000000000000000000";

const COMMIT: u8 = 1;
const TREE: u8 = 2;
const BLOB: u8 = 3;
/// A delta against the object with the id that follows.
const REF_DELTA: u8 = 7;
/// Bytes that one copy instruction of a delta copies here.
pub const COPY_BYTES: u64 = 1 << 20;

/// A pack under construction (git's `gitformat-pack`).
#[derive(Default)]
pub struct Pack {
    objects: Vec<u8>,
    count: u32,
}

impl Pack {
    pub fn blob(&mut self, content: &[u8]) -> String {
        self.object(BLOB, "blob", content)
    }

    pub fn commit(&mut self, tree: &str, message: &str) -> String {
        let who = "A <a@example.com> 1700000000 +0000";
        self.commit_text(&format!("tree {tree}\nauthor {who}\ncommitter {who}\n\n{message}\n"))
    }

    pub fn child(&mut self, tree: &str, parent: &str) -> String {
        let who = "A <a@example.com> 1700000000 +0000";
        self.commit_text(&format!("tree {tree}\nparent {parent}\nauthor {who}\ncommitter {who}\n\nnext\n"))
    }

    pub fn commit_text(&mut self, text: &str) -> String {
        self.object(COMMIT, "commit", text.as_bytes())
    }

    /// A tree of entries: mode, name, id. They must be sorted as git sorts them.
    pub fn tree(&mut self, entries: &[(&str, String, &str)]) -> String {
        let mut content = Vec::new();
        for (mode, name, id) in entries {
            content.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            content.extend(bytes_of(id));
        }
        self.object(TREE, "tree", &content)
    }

    /// An object that is `times` copies of another of [`COPY_BYTES`].
    pub fn copies(&mut self, base: &str, times: u64) {
        let mut delta = number(COPY_BYTES);
        delta.extend(number(times * COPY_BYTES));
        for _ in 0..times {
            // Copy from offset 0; of the size only the third byte is not zero.
            delta.extend([0b1100_0000, 0x10]);
        }
        self.header(REF_DELTA, delta.len());
        self.objects.extend(bytes_of(base));
        self.objects.extend(deflated(&delta));
    }

    fn object(&mut self, kind: u8, name: &str, content: &[u8]) -> String {
        self.header(kind, content.len());
        self.objects.extend(deflated(content));
        let whole = [format!("{name} {}\0", content.len()).as_bytes(), content].concat();
        Sha1::digest(whole).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn header(&mut self, kind: u8, size: usize) {
        self.count += 1;
        let mut rest = size >> 4;
        let mut byte = (kind << 4) | (size & 15) as u8;
        while rest > 0 {
            self.objects.push(byte | 0x80);
            byte = (rest & 0x7f) as u8;
            rest >>= 7;
        }
        self.objects.push(byte);
    }

    pub fn bytes(&self) -> Vec<u8> {
        let head = [&b"PACK"[..], &2_u32.to_be_bytes(), &self.count.to_be_bytes()].concat();
        let mut pack = [head, self.objects.clone()].concat();
        pack.extend_from_slice(&Sha1::digest(&pack));
        pack
    }
}

/// The pack that git itself makes of these revisions.
pub async fn of_git(client: &Client, revisions: &str) -> Vec<u8> {
    let make = format!("for r in {revisions}; do echo $r; done | git pack-objects --revs --stdout -q > pack");
    client.done(&make).await;
    std::fs::read(client.folder.join("pack")).unwrap()
}

/// Seven bits a byte, the lowest first.
fn number(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn deflated(content: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn bytes_of(id: &str) -> Vec<u8> {
    (0..20).map(|place| u8::from_str_radix(&id[2 * place..2 * place + 2], 16).unwrap()).collect()
}
