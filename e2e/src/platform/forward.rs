//! A port of the loopback address that forwards to a port elsewhere, as an ingress on this machine would.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

pub struct Forward {
    pub port: u16,
}

impl Forward {
    /// Forwards until the test program ends.
    pub fn to(target: (&str, u16)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let target = (target.0.to_owned(), target.1);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let target = target.clone();
                thread::spawn(move || drop(relay(client, (target.0.as_str(), target.1))));
            }
        });
        Self { port }
    }
}

/// Copies both directions at once; the end of each is passed on.
fn relay(client: TcpStream, target: (&str, u16)) -> io::Result<()> {
    let server = TcpStream::connect(target)?;
    let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
    let upwards = thread::spawn(move || copy(from_client, to_server));
    copy(server, client);
    drop(upwards.join());
    Ok(())
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
