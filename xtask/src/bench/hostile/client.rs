//! A process with many connections that never send a whole request, or that guess passwords.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Child;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

const THREADS: usize = 8;
const CONNECT_MAX: Duration = Duration::from_secs(3);
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Data that a connection sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    Head,
    Login,
    WrongLogin,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Login => "login",
            Self::WrongLogin => "wrong-login",
        }
    }

    fn text(self, number: usize) -> String {
        let head =
            "POST /v2/auth/login/ HTTP/1.1\r\nHost: deis.localhost\r\nContent-Type: application/json\r\n";
        match self {
            Self::Head => "GET / HTTP/1.1\r\nHost: deis.localhost\r\nX-Half: se".to_owned(),
            Self::Login => format!("{head}Content-Length: 60\r\n\r\n{{\"username\":\"gue"),
            Self::WrongLogin => {
                let body = format!("{{\"username\":\"guess{number}\",\"password\":\"guessed-wrong\"}}");
                format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
            }
        }
    }
}

/// One process of `bench hostile`.
#[derive(Debug, clap::Args)]
pub struct Client {
    target: SocketAddr,
    kind: Kind,
    /// Number of loopback addresses that it connects from: 127.0.0.2 and following.
    sources: u8,
    connections: usize,
}

#[derive(Default)]
struct Counts {
    opened: AtomicU64,
    refused: AtomicU64,
    throttled: AtomicU64,
    answered: AtomicU64,
}

impl Client {
    /// Opens all connections, prints a line, and holds them until its input ends.
    pub fn run(&self) -> anyhow::Result<()> {
        let (counts, held, is_over) = (Counts::default(), Mutex::new(Vec::new()), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let (counts, held, is_over) = (&counts, &held, &is_over);
                    scope.spawn(move || self.try_some(thread, counts, held, is_over))
                })
                .collect();
            if self.kind != Kind::WrongLogin {
                threads.into_iter().for_each(|thread| drop(thread.join()));
            }
            println!("tried");
            // The attack ends with the input.
            let _ = std::io::stdin().read(&mut [0]);
            is_over.store(true, Ordering::Relaxed);
        });
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Counts { opened, refused, throttled, answered } = &counts;
        println!(
            "{} opened, {} refused, {} answers, {} of them 429",
            of(opened),
            of(refused),
            of(answered),
            of(throttled)
        );
        Ok(())
    }

    fn try_some(&self, thread: usize, counts: &Counts, held: &Mutex<Vec<Socket>>, is_over: &AtomicBool) {
        let mut number = thread;
        while number < self.connections || self.kind == Kind::WrongLogin {
            if is_over.load(Ordering::Relaxed) {
                return;
            }
            match self.open(number) {
                Ok(socket) => {
                    counts.opened.fetch_add(1, Ordering::Relaxed);
                    if self.kind == Kind::WrongLogin {
                        heard(&socket, counts);
                    } else if let Ok(mut held) = held.lock() {
                        held.push(socket);
                    }
                }
                Err(_) => _ = counts.refused.fetch_add(1, Ordering::Relaxed),
            }
            number += THREADS;
        }
    }

    fn open(&self, number: usize) -> std::io::Result<Socket> {
        let last = u8::try_from(2 + number % usize::from(self.sources)).unwrap_or(2);
        let mut socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        let source = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0);
        socket.bind(&source.into())?;
        socket.connect_timeout(&self.target.into(), CONNECT_MAX)?;
        socket.write_all(self.kind.text(number).as_bytes())?;
        Ok(socket)
    }
}

fn heard(mut socket: &Socket, counts: &Counts) {
    let mut answer = [0; 256];
    let read = socket.set_read_timeout(Some(ANSWER_MAX)).and_then(|()| socket.read(&mut answer));
    if let Ok(length @ 1..) = read {
        counts.answered.fetch_add(1, Ordering::Relaxed);
        if answer[..length].starts_with(b"HTTP/1.1 429") {
            counts.throttled.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Returns true if the process has tried all its connections.
pub fn has_tried(child: &mut Child) -> bool {
    // It prints one line before the end; data read here is not read again.
    let Some(stdout) = child.stdout.as_mut() else { return true };
    let mut word = [0; 6];
    let ready = nix::poll::PollFd::new(std::os::fd::AsFd::as_fd(stdout), nix::poll::PollFlags::POLLIN);
    let has_said = nix::poll::poll(&mut [ready], nix::poll::PollTimeout::ZERO).is_ok_and(|ready| ready > 0);
    if has_said && stdout.read_exact(&mut word).is_ok() {
        return true;
    }
    false
}

/// Ends the process; returns its counts.
pub fn end(mut child: Child) -> String {
    drop(child.stdin.take());
    let mut lines = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        lines = BufReader::new(stdout).lines().map_while(Result::ok).collect();
    }
    let _ = child.wait();
    lines.pop().unwrap_or_default()
}
