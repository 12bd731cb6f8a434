//! Makes requests: most by the rules, some broken in one place or several.

/// Numbers that look like chance and are the same for the same seed (SplitMix64).
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("it is below a usize")
    }

    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

pub struct Made {
    pub bytes: Vec<u8>,
    /// By the rules from end to end, and for an app that is there: `METHOD PATH` as the app must see it.
    pub is_clean: Option<String>,
}

pub const METHODS: [&str; 6] = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "X-OWN"];
pub const ODD_METHODS: [&str; 5] = ["get", "G@T", "", "CONNECT", "GE\tT"];
pub const TARGETS: [&str; 6] = ["/", "/a?b=c", "//x", "/%0d%0a", "/a/../b", "/?"];
const ODD_TARGETS: [&str; 10] =
    ["*", "", "a", "echo.test", "http://evil.test/", "http://echo.test/x", "/a b", "/\u{e5}", "?", "http://"];
const ODD_VERSIONS: [&str; 6] = ["HTTP/1.0", "HTTP/2.0", "HTTP/1.2", "http/1.1", "HTTP/1.1 ", "HTTP/0.9"];
const HEADERS: [&str; 7] = [
    "Accept: */*",
    "X-A: b",
    "Cookie: a=1; b=2",
    "X-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "X-Empty:",
    "User-Agent: \t x  ",
    "X-Forwarded-For: 6.6.6.6",
];
const ODD_HEADERS: [&str; 32] = [
    "Host: evil.test",
    "Host: echo.test",
    "Host : echo.test",
    "Content-Length: 3",
    "Content-Length: 3, 3",
    "Content-Length: +3",
    "Content-Length: 99999999999999999999",
    "Content-Length:",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding:\u{b}chunked",
    "Transfer-Encoding: chunked, chunked",
    "Connection: close, Host, Content-Length, X-Forwarded-For",
    "Connection: Transfer-Encoding",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Upgrade: h2c",
    "Expect: 100-continue",
    "Expect: x",
    "TE: trailers, chunked",
    "Trailer: Host",
    "X_Forwarded_For: 6.6.6.6",
    "Content_Length: 3",
    " folded: yes",
    "\tfolded",
    "no colon",
    "X A: b",
    ": nothing",
    "X-Bare: a\rTransfer-Encoding: chunked",
    "X-Nul: a\0b",
];
const ODD_ENDS: [&str; 5] = ["\n", "\r", "\r\r\n", "\n\r", " \r\n"];
const ODD_SIZES: [&str; 12] =
    ["0x5", "+5", "5 ", " 5", "5;a=\"b\"", "5;\n", "5\n", "005", "g", "fffffffffffffffff", "5;\r", ""];
const ODD_BYTES: [u8; 14] = [0, b'\t', b'\n', 11, b'\r', b' ', b',', b':', b';', b'/', b'@', b'_', 127, 255];

/// One request.
pub fn make(chance: &mut Chance) -> Made {
    let is_odd = chance.one_in(2);
    let odd = |chance: &mut Chance, times| is_odd && chance.one_in(times);
    let method = if odd(chance, 12) { chance.pick(&ODD_METHODS) } else { chance.pick(&METHODS) };
    let target = if odd(chance, 8) { chance.pick(&ODD_TARGETS) } else { chance.pick(&TARGETS) };
    let version = if odd(chance, 12) { chance.pick(&ODD_VERSIONS) } else { "HTTP/1.1" };
    let mut lines = vec![format!("{method} {target} {version}")];
    if !odd(chance, 20) {
        lines.push("Host: echo.test".to_owned());
    }
    for _ in 0..chance.below(5) {
        let line = if odd(chance, 2) { chance.pick(&ODD_HEADERS) } else { chance.pick(&HEADERS) };
        let place = 1 + chance.below(lines.len());
        lines.insert(place, line.to_owned());
    }
    let (header, body) = body(chance, is_odd);
    lines.extend(header);
    let mut bytes = Vec::new();
    for line in lines {
        bytes.extend(line.as_bytes());
        let end = if odd(chance, 40) { chance.pick(&ODD_ENDS) } else { "\r\n" };
        bytes.extend(end.as_bytes());
    }
    bytes.extend(if odd(chance, 30) { "\n".as_bytes() } else { b"\r\n" });
    bytes.extend(body);
    let is_clean = (!is_odd).then(|| format!("{method} {target}"));
    Made { bytes, is_clean }
}

/// The header that tells the body's length, and the body.
fn body(chance: &mut Chance, is_odd: bool) -> (Option<String>, Vec<u8>) {
    let text = chance.pick(&["", "hello", "GET /inner HTTP/1.1\r\nHost: echo.test\r\n\r\n", "0\r\n\r\n"]);
    match chance.below(3) {
        0 => (None, if is_odd && chance.one_in(8) { text.into() } else { Vec::new() }),
        1 => {
            let off = if is_odd && chance.one_in(6) { chance.below(4) } else { 0 };
            (Some(format!("Content-Length: {}", text.len() + off)), text.into())
        }
        _ => (Some("Transfer-Encoding: chunked".to_owned()), chunks(chance, is_odd, text)),
    }
}

fn chunks(chance: &mut Chance, is_odd: bool, text: &str) -> Vec<u8> {
    let mut body = Vec::new();
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(1 + chance.below(rest.len()));
        rest = after;
        let odd = is_odd && chance.one_in(6);
        let size = if odd { chance.pick(&ODD_SIZES).to_owned() } else { format!("{:x}", chunk.len()) };
        let end = if is_odd && chance.one_in(12) { chance.pick(&ODD_ENDS) } else { "\r\n" };
        body.extend(size.as_bytes());
        body.extend(end.as_bytes());
        body.extend(chunk);
        body.extend(if is_odd && chance.one_in(12) { b"\n".as_slice() } else { b"\r\n" });
    }
    let last = if is_odd && chance.one_in(8) { "0;x\r\nHost: evil.test\r\n\r\n" } else { "0\r\n\r\n" };
    body.extend(last.as_bytes());
    body
}

/// Damages bytes here and there.
pub fn damage(chance: &mut Chance, bytes: &mut Vec<u8>) {
    for _ in 0..=chance.below(3) {
        let place = chance.below(bytes.len());
        match chance.below(4) {
            0 => bytes.insert(place, chance.pick(&ODD_BYTES)),
            1 => bytes[place] = chance.pick(&ODD_BYTES),
            2 => {
                let end = (place + 1 + chance.below(4)).min(bytes.len());
                bytes.drain(place..end);
            }
            _ => {
                let end = (place + 1 + chance.below(40)).min(bytes.len());
                let twice: Vec<_> = bytes[place..end].to_vec();
                bytes.splice(place..place, twice);
            }
        }
        if bytes.is_empty() {
            bytes.push(b'\n');
        }
    }
}
