//! Hands listening sockets to the next program, so that no connection is refused meanwhile.
//!
//! On HUP the process drains, then replaces itself with its program (`exec`): the same process for its supervisor.
//! The sockets wait in the buffer of a Unix socket that is the new program's standard input. They stay open: new
//! connections wait in the kernel's queue.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, anyhow};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

/// Says that there are sockets in standard input.
const VARIABLE: &str = "WORKFLOW_TAKES_OVER";
/// Longest name of a socket.
const NAME_BYTES_MAX: usize = 64;

/// Listening sockets, each kind under its name.
#[derive(Debug, Default)]
pub struct Sockets(Vec<(String, TcpListener)>);

impl Sockets {
    /// Those that the program before has left; none at an ordinary start.
    pub fn inherited() -> anyhow::Result<Self> {
        let mut sockets = Self::default();
        if std::env::var_os(VARIABLE).is_some() {
            while sockets.receive().context("cannot take over the sockets of the program before")? {}
        }
        Ok(sockets)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes out those of this name, where they listen at the address that is wanted now. Others are closed.
    pub fn take(&mut self, name: &str, wanted: SocketAddr) -> Vec<TcpListener> {
        let (named, others) = std::mem::take(&mut self.0).into_iter().partition(|(own, _)| own == name);
        self.0 = others;
        let named: Vec<(String, TcpListener)> = named;
        let is_wanted = |socket: &TcpListener| {
            let address = socket.local_addr().ok();
            address.is_some_and(|it| it.ip() == wanted.ip() && (wanted.port() == 0 || it == wanted))
        };
        named.into_iter().map(|(_, socket)| socket).filter(is_wanted).collect()
    }

    /// Keeps a second handle of each, for the program that comes after.
    pub fn keep<'a>(
        &mut self,
        name: &str,
        sockets: impl IntoIterator<Item = &'a TcpListener>,
    ) -> anyhow::Result<()> {
        for socket in sockets {
            let socket = socket.try_clone().context("cannot keep a socket for a restart")?;
            self.0.push((name.to_owned(), socket));
        }
        Ok(())
    }

    /// Starts this program anew in place of itself. Returns only where that fails.
    pub fn restart(self) -> anyhow::Error {
        match self.prepared() {
            Ok(mut command) => anyhow!(command.exec()).context("cannot start this program anew"),
            Err(error) => error,
        }
    }

    fn prepared(self) -> anyhow::Result<Command> {
        let what = "cannot pass on the listening sockets";
        let (ours, theirs) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )
        .context(what)?;
        for (name, socket) in &self.0 {
            let handles = [socket.as_fd()];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            control.push(SendAncillaryMessage::ScmRights(&handles));
            let name = [IoSlice::new(name.as_bytes())];
            rustix::net::sendmsg(&ours, &name, &mut control, SendFlags::empty()).context(what)?;
        }
        let mut command = Command::new(program()?);
        command.args(std::env::args_os().skip(1)).env(VARIABLE, "1").stdin(Stdio::from(theirs));
        Ok(command)
    }

    /// Takes the next socket from standard input; whether there was one.
    fn receive(&mut self) -> anyhow::Result<bool> {
        let mut name = [0; NAME_BYTES_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut into = [IoSliceMut::new(&mut name)];
        let received =
            rustix::net::recvmsg(std::io::stdin(), &mut into, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        if received.bytes == 0 {
            return Ok(false);
        }
        let rights = |message| match message {
            RecvAncillaryMessage::ScmRights(handles) => Some(handles),
            _ => None,
        };
        let handles: Vec<OwnedFd> = control.drain().filter_map(rights).flatten().collect();
        let name = String::from_utf8_lossy(&name[..received.bytes]).into_owned();
        self.0.extend(handles.into_iter().map(|handle| (name.clone(), TcpListener::from(handle))));
        Ok(true)
    }
}

/// The file of this program, or the one that has been put in its place since.
fn program() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("cannot tell where this program lies")?;
    let text = program.to_string_lossy();
    Ok(text.strip_suffix(" (deleted)").map_or_else(|| program.clone(), PathBuf::from))
}
