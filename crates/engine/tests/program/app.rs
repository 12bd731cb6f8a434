//! A small app for the tests of engines, of the standard library alone, so that it is one static file.
//!
//! It answers HTTP on `$PORT` and misbehaves as its environment and its visitors ask.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, sleep, spawn};
use std::time::Duration;

static IS_SICK: AtomicBool = AtomicBool::new(false);
static IS_ASKED_TO_END: AtomicBool = AtomicBool::new(false);

/// Asks for the size of a terminal.
const TIOCGWINSZ: u64 = 0x5413;

unsafe extern "C" {
    /// The standard library has no way to see a signal; the handler only stores into an atomic.
    safe fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
    safe fn kill(process: i32, number: i32) -> i32;
    safe fn ioctl(file: i32, request: u64, sides: &mut [u16; 4]) -> i32;
    /// Exits at once, which a signal handler may do.
    safe fn _exit(code: i32) -> !;
}

extern "C" fn on_term(_: i32) {
    IS_ASKED_TO_END.store(true, Ordering::Relaxed);
}

extern "C" fn end(_: i32) {
    _exit(0);
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "say") {
        say(&arguments[1..]);
    }
    if arguments.first().is_some_and(|first| first == "bytes") {
        let every_byte: Vec<u8> = (0..=u8::MAX).chain(*b"\r\nno line end").collect();
        std::io::stdout().write_all(&every_byte).and_then(|()| std::io::stdout().flush()).expect("stdout is open");
        exit(0);
    }
    if arguments.first().is_some_and(|first| first == "rights") {
        println!("{}", rights());
        exit(0);
    }
    if arguments.first().is_some_and(|first| first == "reach") {
        println!("{}", reach(&arguments[1]));
        exit(0);
    }
    if arguments.first().is_some_and(|first| first == "fill") {
        fill(arguments.get(1).map_or("/filled", String::as_str));
    }
    if arguments.first().is_some_and(|first| first == "sit") {
        sit();
    }
    if arguments.first().is_some_and(|first| first == "-c") {
        act_as_shell(&arguments[1..]);
    }
    if text("ON_TERM") != "ignore" {
        // The first process of a container does not end by a signal that it has no handler for.
        signal(15, end);
    }
    for number in 0..number("LINES") {
        println!("line {number}");
    }
    for bytes in text("LONG_LINES").split(',').filter_map(|bytes| bytes.parse::<usize>().ok()) {
        println!("a{}", "é".repeat(bytes / 2));
    }
    if number("CRASHES") > runs_before() {
        eprintln!("cannot start: no such table");
        exit(3);
    }
    match text("MODE").as_str() {
        "silent" => sleep(Duration::from_secs(600)),
        _ => serve(),
    }
}

/// Earlier runs in this pod. What they wrote is in the container's files or in the memory that a pod shares, whichever
/// outlives a restart.
fn runs_before() -> u64 {
    let places = ["/runs", "/dev/shm/runs"];
    let known = places.iter().filter_map(|place| std::fs::read_to_string(place).ok()?.parse().ok());
    let before: u64 = known.max().unwrap_or(0);
    for place in places {
        let _ = std::fs::write(place, (before + 1).to_string());
    }
    before
}

/// A one-off process: prints what it was given and ends with `$CODE`.
fn say(words: &[String]) -> ! {
    println!("{} {}", words.join(" "), text("COLOR"));
    eprintln!("that was all");
    exit(i32::try_from(number("CODE")).unwrap_or(1));
}

/// A session: answers each line that is typed.
fn sit() -> ! {
    for line in std::io::stdin().lines().map_while(Result::ok) {
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("size", _) => println!("size: {}", size()),
            ("env", name) => println!("env: {}", text(name)),
            ("others", _) => println!("others: {}", others().count()),
            ("exit", code) => exit(code.parse().unwrap_or(1)),
            _ => println!("got: {line}"),
        }
    }
    println!("end of input");
    exit(0);
}

/// Rows and columns of the terminal.
fn size() -> String {
    let mut sides = [0_u16; 4];
    match ioctl(0, TIOCGWINSZ, &mut sides) {
        0 => format!("{} {}", sides[0], sides[1]),
        _ => "none".to_owned(),
    }
}

/// Other processes that sit.
fn others() -> impl Iterator<Item = u32> {
    processes().filter(|id| {
        let words = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        *id != std::process::id() && words.ends_with(b"\0sit\0")
    })
}

fn processes() -> impl Iterator<Item = u32> {
    let folders = std::fs::read_dir("/proc").expect("there is one").flatten();
    folders.filter_map(|folder| folder.file_name().to_str()?.parse().ok())
}

/// The image's `/bin/sh`. It knows the texts that engines use by what is in them, and runs hooks: says so in
/// the container's log.
fn act_as_shell(words: &[String]) -> ! {
    let (text, words) = (&words[0], &words[1..]);
    if text.contains("export DEIS_SESSION") {
        become_command(words);
    }
    if text.contains("DEIS_SESSION=$1") {
        hang_up(&words[1]);
    }
    if text.contains("read _") {
        // The first process of a session's container waits to be ended.
        signal(15, end);
        sleep(Duration::from_secs(600));
    }
    let text = words.last().unwrap_or(text);
    std::fs::write("/proc/1/fd/1", format!("hook: {text}\n")).expect("the log of the first process");
    exit(if text == "fail" { 4 } else { 0 });
}

/// `sh MARK TERM COMMAND...`
fn become_command(words: &[String]) -> ! {
    let mut command = std::process::Command::new(&words[3]);
    command.args(&words[4..]).env("DEIS_SESSION", &words[1]).env("TERM", &words[2]);
    panic!("{}", std::os::unix::process::CommandExt::exec(&mut command));
}

fn hang_up(mark: &str) -> ! {
    for id in processes() {
        let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        let marked = format!("DEIS_SESSION={mark}");
        if environment.split(|byte| *byte == 0).any(|entry| entry == marked.as_bytes()) {
            kill(id as i32, 1);
        }
    }
    exit(0);
}

fn serve() {
    if text("ON_TERM") == "ignore" {
        signal(15, on_term);
        spawn(|| {
            while !IS_ASKED_TO_END.load(Ordering::Relaxed) {
                sleep(Duration::from_millis(10));
            }
            println!("got TERM, going on");
        });
    }
    sleep(Duration::from_millis(number("START_MS")));
    let listener = TcpListener::bind(("0.0.0.0", number("PORT") as u16)).expect("the port is free");
    for stream in listener.incoming().flatten() {
        spawn(move || answer(stream));
    }
}

fn answer(mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().expect("a socket can be cloned"));
    let mut request = String::new();
    let _ = reader.read_line(&mut request);
    let mut header = String::new();
    while reader.read_line(&mut header).is_ok_and(|count| count > 2) {
        header.clear();
    }
    sleep(Duration::from_millis(number("WORK_MS")));
    let (status, body) = act(request.split(' ').nth(1).unwrap_or("/"));
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
}

fn act(path: &str) -> (&'static str, String) {
    match path {
        "/health" if IS_SICK.load(Ordering::Relaxed) => ("503 Service Unavailable", String::new()),
        "/sicken" => {
            IS_SICK.store(true, Ordering::Relaxed);
            ("200 OK", String::new())
        }
        "/crash" => exit(7),
        "/print" => {
            println!("printed");
            ("200 OK", String::new())
        }
        "/hog" => {
            let hog = std::hint::black_box(vec![1_u8; 512 << 20]);
            ("200 OK", hog.len().to_string())
        }
        "/fill" => {
            std::fs::write("/filled", vec![b'x'; 80 << 20]).expect("the disk takes it");
            ("200 OK", String::new())
        }
        "/burn" => {
            burn(Duration::from_millis(100));
            ("200 OK", String::new())
        }
        "/rights" => ("200 OK", rights()),
        path if path.starts_with("/reach/") => ("200 OK", reach(&path["/reach/".len()..])),
        "/threads" => ("200 OK", threads().to_string()),
        _ => ("200 OK", text("RELEASE")),
    }
}

/// Keeps a processor busy.
fn burn(time: Duration) {
    let begun = std::time::Instant::now();
    while begun.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// Capabilities and privileges that this process could ever gain, as the kernel reports them.
fn rights() -> String {
    let status = std::fs::read_to_string("/proc/self/status").expect("there is one");
    let is_right = |line: &&str| line.starts_with("CapBnd:") || line.starts_with("NoNewPrivs:");
    status.lines().filter(is_right).collect::<Vec<_>>().join(" ")
}

/// Returns the result of a TCP connection to the address.
fn reach(address: &str) -> String {
    let address = address.parse().expect("an address and port");
    match TcpStream::connect_timeout(&address, Duration::from_millis(1500)) {
        Ok(_) => "open".to_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => "refused".to_owned(),
        Err(_) => "closed".to_owned(),
    }
}

/// Writes to the disk until someone ends it.
fn fill(path: &str) -> ! {
    let mut file = std::fs::File::create(path).expect("the disk takes it");
    for _ in 0..4096 {
        file.write_all(&[b'x'; 1 << 20]).expect("the disk takes it");
        sleep(Duration::from_millis(5));
    }
    exit(0);
}

/// Number of threads that can still be started.
fn threads() -> usize {
    let thread = || Builder::new().stack_size(64 << 10).spawn(|| sleep(Duration::from_secs(5)));
    (0..2000).take_while(|_| thread().is_ok()).count()
}

fn text(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn number(name: &str) -> u64 {
    text(name).parse().unwrap_or(0)
}
