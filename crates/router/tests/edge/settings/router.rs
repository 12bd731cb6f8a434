//! Settings of all routers: annotations of their Deployment, or flags.

use rustls::version::{TLS12, TLS13};

use super::{Setting, Texts, setting};
use crate::app::header;
use crate::settings::ground::Ground;
use crate::visitor::get;

const HSTS: Texts = &[("ssl.hsts.enabled", "true")];

pub(super) const SETTINGS: &[Setting] = &[
    setting("defaultTimeout", "100ms", |ground| ground.get("/late").status == 504),
    setting("bodySize", "3", |ground| {
        ground.ask("POST / HTTP/1.1\r\nHost: echo.test\r\nContent-Length: 4\r\n\r\nabcd").status == 413
    }),
    setting("requestBuffering", "off", Ground::is_answered_early).beside(&[("defaultTimeout", "300ms")]),
    setting("gzip.enabled", "False", |ground| coding(ground, "gzip").is_none()),
    // A byte of gzip's own head says that it was done as well as can be (RFC 1952 section 2.3.1).
    setting("gzip.compLevel", "9", |ground| ground.compressed("gzip").1[8] == 2),
    setting("gzip.minLength", "5k", |ground| coding(ground, "gzip").is_none()),
    setting("gzip.types", "text/css", |ground| coding(ground, "gzip").is_none()),
    setting("gzip.vary", "off", |ground| header(&ground.compressed("gzip").0, "vary").is_none()),
    setting("zstd.enabled", "FALSE", |ground| coding(ground, "gzip, zstd").as_deref() == Some("gzip")),
    setting("limitReq.client", "1r/m", |ground| ground.statuses(3) == [200, 200, 429]),
    setting("limitReq.clientBurst", "0", |ground| ground.statuses(2) == [200, 429])
        .beside(&[("limitReq.client", "1r/m")]),
    setting("limitReq.app", "1r/m", |ground| ground.statuses(3) == [200, 200, 429]),
    setting("limitReq.appBurst", "0", |ground| ground.statuses(2) == [200, 429])
        .beside(&[("limitReq.app", "1r/m")]),
    setting("limitConn.client", "1", |ground| ground.status_beside_another() == 429),
    setting("limitConn.app", "1", |ground| ground.status_beside_another() == 429),
    setting("proxyRealIpCidrs", "127.0.0.0/8", |ground| {
        let told = ground.ask("GET / HTTP/1.1\r\nHost: echo.test\r\nX-Forwarded-For: 192.0.2.9\r\n\r\n").body;
        header(&told, "x-forwarded-for") == Some("192.0.2.9")
    }),
    setting("useProxyProtocol", "true", |ground| {
        let begin = "PROXY TCP4 192.0.2.9 127.0.0.1 5000 80\r\n";
        let told = ground.ask(&format!("{begin}GET / HTTP/1.1\r\nHost: echo.test\r\n\r\n")).body;
        header(&told, "x-forwarded-for") == Some("192.0.2.9")
    }),
    setting("defaultWhitelist", "192.0.2.0/24", |ground| ground.get("/").status == 403),
    setting("whitelistMode", "override", |ground| get(&ground.world, "listed.test", "/").status == 403)
        .beside(&[("defaultWhitelist", "127.0.0.1")]),
    setting("enforceWhitelists", "On", |ground| ground.get("/").status == 403),
    setting("defaultAppName", "echo", |ground| get(&ground.world, "nobody.test", "/").status == 200),
    setting("stickySessions", "true", |ground| header(&ground.get("/").head, "set-cookie").is_some()),
    setting("requestIDs", "true", |ground| header(&ground.get("/").head, "x-request-id").is_some()),
    setting("requestStartHeader", "true", |ground| {
        header(&ground.get("/").body, "x-request-start").is_some()
    }),
    // With nothing in common but HTTP/2 there is no connection.
    setting("http2Enabled", "false", |ground| ground.handshake(&[&TLS13], &["h2"]).is_err()),
    setting("referrerPolicy", "origin", |ground| {
        header(&ground.get("/").head, "referrer-policy") == Some("origin")
    }),
    setting("ssl.enforce", "TRUE", |ground| ground.get("/").status == 301),
    setting("ssl.protocols", "TLSv1.3", |ground| ground.handshake(&[&TLS12], &[]).is_err()),
    setting("ssl.hsts.enabled", "true", |ground| hsts(ground).is_some()),
    setting("ssl.hsts.maxAge", "60", |ground| hsts(ground).as_deref() == Some("max-age=60")).beside(HSTS),
    setting("ssl.hsts.includeSubDomains", "true", |ground| {
        hsts(ground).is_some_and(|hsts| hsts.contains("includeSubDomains"))
    })
    .beside(HSTS),
    setting("ssl.hsts.preload", "true", |ground| hsts(ground).is_some_and(|hsts| hsts.contains("preload")))
        .beside(HSTS),
    setting("accessLog", "TRUE", Ground::is_told),
];

/// Content coding of a text for clients that accept these codings.
pub(super) fn coding(ground: &Ground, accept: &str) -> Option<String> {
    header(&ground.compressed(accept).0, "content-encoding").map(str::to_owned)
}

pub(super) fn hsts(ground: &Ground) -> Option<String> {
    header(&ground.secure().head, "strict-transport-security").map(str::to_owned)
}
