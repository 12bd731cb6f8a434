//! Settings of an app: annotations of its Service.

use super::{Setting, setting};
use crate::app::header;
use crate::settings::ground::Ground;
use crate::settings::router::{coding, hsts};

const HSTS: super::Texts = &[("ssl.hsts.enabled", "true")];

pub(super) const SETTINGS: &[Setting] = &[
    setting("connectTimeout", "100ms", Ground::leaves_the_hole),
    setting("tcpTimeout", "100ms", |ground| ground.get("/late").status == 504),
    setting("bodySize", "3", |ground| {
        ground.ask("POST / HTTP/1.1\r\nHost: echo.test\r\nContent-Length: 4\r\n\r\nabcd").status == 413
    }),
    setting("requestBuffering", "False", Ground::is_answered_early).beside(&[("defaultTimeout", "300ms")]),
    setting("gzip.enabled", "False", |ground| coding(ground, "gzip").is_none()),
    setting("zstd.enabled", "FALSE", |ground| coding(ground, "gzip, zstd").as_deref() == Some("gzip")),
    setting("limitReq.client", "1r/m", |ground| ground.statuses(3) == [200, 200, 429]),
    setting("limitReq.clientBurst", "0", |ground| ground.statuses(2) == [200, 429])
        .beside(&[("limitReq.client", "1r/m")]),
    setting("limitReq.app", "1r/m", |ground| ground.statuses(3) == [200, 200, 429]),
    setting("limitReq.appBurst", "0", |ground| ground.statuses(2) == [200, 429])
        .beside(&[("limitReq.app", "1r/m")]),
    setting("limitConn.client", "1", |ground| ground.status_beside_another() == 429),
    setting("limitConn.app", "1", |ground| ground.status_beside_another() == 429),
    setting("appProtocol", "h2c", |ground| {
        ground.get("/");
        ground.was_http2()
    }),
    setting("sendProxyProtocol", "v1", |ground| ground.get("/").body.starts_with("PROXY TCP4 127.0.0.1 ")),
    setting("stickySessions", "true", |ground| header(&ground.get("/").head, "set-cookie").is_some()),
    setting("ssl.hsts.enabled", "true", |ground| hsts(ground).is_some()),
    setting("ssl.hsts.maxAge", "60", |ground| hsts(ground).as_deref() == Some("max-age=60")).beside(HSTS),
    setting("ssl.hsts.includeSubDomains", "true", |ground| {
        hsts(ground).is_some_and(|hsts| hsts.contains("includeSubDomains"))
    })
    .beside(HSTS),
    setting("ssl.hsts.preload", "true", |ground| hsts(ground).is_some_and(|hsts| hsts.contains("preload")))
        .beside(HSTS),
    setting("referrerPolicy", "origin", |ground| {
        header(&ground.get("/").head, "referrer-policy") == Some("origin")
    }),
    setting("disableRequestStartHeader", "True", |ground| {
        header(&ground.get("/").body, "x-request-start").is_none()
    })
    .beside(&[("requestStartHeader", "true")]),
    setting("accessLog", "TRUE", Ground::is_told),
];
