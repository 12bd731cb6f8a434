use crate::app::{App, header};
use crate::visitor::Visitor;
use crate::world::{World, route};

#[test]
fn a_websocket_speaks_both_ways_through_the_router() {
    let world = World::start();
    let app = App::start("chat", |request| {
        assert_eq!(header(&request.head, "upgrade"), Some("websocket"));
        request.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        loop {
            let mut line = String::new();
            if std::io::BufRead::read_line(&mut request.stream, &mut line).unwrap_or(0) == 0 {
                return false;
            }
            request.send(&format!("you said {line}"));
        }
    });
    world.serve(vec![route("chat", &[&app])]);
    let mut visitor = Visitor::connect(&world);

    visitor.send("GET / HTTP/1.1\r\nHost: chat.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    let head = visitor.head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    for word in ["hello", "again"] {
        visitor.send(&format!("{word}\n"));
        assert_eq!(visitor.line(), format!("you said {word}\n"));
    }
    world.wait_for_report(|report| report.in_flight.get("chat") == Some(&1));

    drop(visitor);
    world.wait_for_report(|report| report.in_flight.is_empty());
}
