//! Makes requests of HTTP/2: most by the rules, some broken in one place or several.

use super::generator::{Chance, METHODS, ODD_METHODS, TARGETS};

/// A request of HTTP/2: fields, frames of DATA, and fields behind them.
pub struct MadeFields {
    pub fields: Vec<(String, String)>,
    pub data: Vec<String>,
    pub trailers: Vec<(String, String)>,
    pub is_clean: Option<String>,
}

const ODD_FIELDS: [(&str, &str); 24] = [
    (":path", "/smuggled"),
    (":method", "POST"),
    (":status", "200"),
    (":protocol", "websocket"),
    ("host", "evil.test"),
    ("host", "echo.test"),
    ("connection", "close"),
    ("connection", "content-length"),
    ("transfer-encoding", "chunked"),
    ("te", "trailers"),
    ("te", "gzip"),
    ("upgrade", "h2c"),
    ("keep-alive", "1"),
    ("content-length", "3"),
    ("content-length", "+5"),
    ("content-length", "5, 5"),
    ("x_forwarded_for", "6.6.6.6"),
    ("x-a", "b\r\ntransfer-encoding: chunked"),
    ("x-a", "b\n\nGET /smuggled HTTP/1.1\nHost: echo.test\n\n"),
    ("x-a\r\nx-b", "c"),
    ("x-a: b\r\nx-b", "c"),
    ("X-A", "b"),
    ("", ""),
    ("expect", "100-continue"),
];
const ODD_PATHS: [&str; 8] =
    ["*", "", "a", "http://evil.test/", "/ HTTP/1.1\r\nHost: evil.test\r\n\r\n", "/a b", "?a", "/a\0b"];
const ODD_AUTHORITIES: [&str; 5] = ["evil.test", "a@echo.test", "echo.test:80:80", "", "echo.test\r\nx: y"];

/// One request of HTTP/2.
pub fn make_fields(chance: &mut Chance) -> MadeFields {
    let is_odd = chance.one_in(2);
    let odd = |chance: &mut Chance, times| is_odd && chance.one_in(times);
    let method = if odd(chance, 8) { chance.pick(&ODD_METHODS) } else { chance.pick(&METHODS) };
    let path = if odd(chance, 4) { chance.pick(&ODD_PATHS) } else { chance.pick(&TARGETS) };
    let authority = if odd(chance, 8) { chance.pick(&ODD_AUTHORITIES) } else { "echo.test" };
    let mut fields =
        vec![(":method", method), (":scheme", "https"), (":authority", authority), (":path", path)];
    if odd(chance, 8) {
        fields.remove(chance.below(4));
    }
    for _ in 0..chance.below(4) {
        let plain = [("accept", "*/*"), ("cookie", "a=1"), ("x-a", "b"), ("x-forwarded-for", "6.6.6.6")];
        let field = if odd(chance, 2) { chance.pick(&ODD_FIELDS) } else { chance.pick(&plain) };
        fields.push(field);
    }
    let data: Vec<_> =
        (0..chance.below(3)).map(|_| chance.pick(&["hello", "GET /x HTTP/1.1\r\n\r\n", ""])).collect();
    let length =
        (data.iter().map(|part| part.len()).sum::<usize>() + usize::from(odd(chance, 6))).to_string();
    if !data.is_empty() && chance.one_in(2) {
        fields.push(("content-length", &length));
    }
    let trailers = if odd(chance, 6) { vec![chance.pick(&ODD_FIELDS)] } else { Vec::new() };
    let owned = |fields: Vec<(&str, &str)>| {
        fields.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    MadeFields {
        is_clean: (!is_odd).then(|| format!("{method} {path}")),
        data: data.into_iter().map(str::to_owned).collect(),
        trailers: owned(trailers),
        fields: owned(fields),
    }
}
