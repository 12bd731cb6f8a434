//! A name server for Pebble, over TCP: all names lead to this machine, but for those below `gone.test`.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

const HEADER_BYTES: usize = 12;
/// Type A, class IN.
const ADDRESS: [u8; 4] = [0, 1, 0, 1];
const NO_SUCH_NAME: u8 = 3;

/// Serves until the test ends.
pub fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for asker in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || answer_all(asker));
        }
    });
    address
}

/// Each message has its length before it (RFC 1035 section 4.2.2). Malformed queries are ignored.
fn answer_all(mut asker: TcpStream) -> Option<()> {
    loop {
        let mut length = [0; 2];
        asker.read_exact(&mut length).ok()?;
        let mut query = vec![0; u16::from_be_bytes(length).into()];
        asker.read_exact(&mut query).ok()?;
        let answer = answer(&query)?;
        let length = u16::try_from(answer.len()).ok()?;
        asker.write_all(&[&length.to_be_bytes()[..], &answer].concat()).ok()?;
    }
}

/// The answer to a query with one question (RFC 1035 section 4.1).
fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let labels = query.get(HEADER_BYTES..)?;
    let name_bytes = labels.iter().position(|byte| *byte == 0)? + 1;
    let question = labels.get(..name_bytes + 4)?;
    let is_gone = question.windows(10).any(|part| part == b"\x04gone\x04test");
    let has_address = !is_gone && question[name_bytes..] == ADDRESS;

    let mut answer = query[..2].to_vec();
    // A response that is authoritative, recursion wanted and available.
    answer.extend([0x85, 0x80 | if is_gone { NO_SUCH_NAME } else { 0 }]);
    answer.extend([0, 1, 0, u8::from(has_address), 0, 0, 0, 0]);
    answer.extend(question);
    if has_address {
        // The name of the question, type A, class IN, no time to live, 127.0.0.1.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}

#[test]
fn names_lead_here_unless_they_are_gone() {
    let query = |name: &[u8]| [&[7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0], name, &[0], &ADDRESS].concat();

    let here = answer(&query(b"\x03www\x03foo\x04test")).expect("an answer");
    let gone = answer(&query(b"\x03www\x04gone\x04test")).expect("an answer");

    assert!(here.ends_with(&[127, 0, 0, 1]) && here[3] & 0xf == 0);
    assert_eq!((gone[3] & 0xf, gone[7]), (NO_SUCH_NAME, 0));
}
