use crate::app::{App, header};
use crate::visitor::Visitor;
use crate::world::{World, route};

#[test]
fn the_app_sees_who_asks_and_nothing_that_a_visitor_made_up() {
    let world = World::start();
    let app = App::start("echo", |request| {
        let head = request.head.clone();
        request.answer(&head);
        true
    });
    world.serve(vec![route("echo", &[&app])]);
    let mut visitor = Visitor::connect(&world);

    visitor.send(
        "GET /path?query=1 HTTP/1.1\r\nHost: echo.test:8000\r\nX-Forwarded-For: 6.6.6.6\r\n\
         X-Forwarded-Proto: https\r\nConnection: X-Gone\r\nX-Gone: 1\r\nX-Kept: 2\r\n\r\n",
    );
    let seen = visitor.answer().body;

    assert!(seen.starts_with("GET /path?query=1 HTTP/1.1\r\n"), "{seen}");
    for (name, value) in [
        ("host", Some("echo.test:8000")),
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-port", Some(&*world.address.port().to_string())),
        ("x-gone", None),
        ("x-kept", Some("2")),
    ] {
        assert_eq!(header(&seen, name), value, "{name} in {seen}");
    }
}
