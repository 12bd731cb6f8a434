//! One SSH connection: finds out whose key it is, then serves the commands that git sends.
//!
//! Nothing but `exec` is served: no shell, no terminal, no subsystem, no forwarding.

use std::collections::HashMap;
use std::sync::Arc;

use russh::keys::{Algorithm, PublicKey};
use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelOpenFailure, Pty};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::Builder;
use crate::command::{Command, CommandError};
use crate::receive;
use crate::relay::Wire;

/// Channels that a client may open at once.
const CHANNELS_MAX: usize = 8;

/// Who is at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Caller {
    User(String),
    /// The controller did not answer. Let in only to be told so: every command is refused.
    Unverified,
}

/// A connection's state. The library drops it when the connection ends.
pub(crate) struct Connection {
    builder: Arc<Builder>,
    /// The key that was asked about last, and whose it is.
    asked: Option<(String, Option<Caller>)>,
    caller: Option<Caller>,
    channels: HashMap<ChannelId, Channel<Msg>>,
    running: Arc<watch::Sender<usize>>,
    gone: CancellationToken,
    _ends: DropGuard,
}

impl Connection {
    /// `running` counts the commands under way.
    pub(crate) fn new(builder: Arc<Builder>, running: Arc<watch::Sender<usize>>) -> Self {
        let gone = CancellationToken::new();
        let _ends = gone.clone().drop_guard();
        Self { builder, asked: None, caller: None, channels: HashMap::new(), running, gone, _ends }
    }

    /// Whose key it is; `None` refuses it. The answer is kept: a client shows each key twice.
    async fn owner(&mut self, key: &PublicKey, algorithm: &Algorithm) -> Option<Caller> {
        // SHA-1 signatures can be forged.
        if *algorithm == (Algorithm::Rsa { hash: None }) {
            return None;
        }
        let mut key = key.clone();
        key.set_comment("");
        let text = key.to_openssh().ok()?;
        if let Some((asked, answer)) = &self.asked
            && *asked == text
        {
            return answer.clone();
        }
        let answer = match self.builder.hooks.key_owner(text.clone()).await {
            Ok(user) => user.map(Caller::User),
            Err(_) => Some(Caller::Unverified),
        };
        self.asked = Some((text, answer.clone()));
        answer
    }

    fn serve(&self, caller: Option<Caller>, text: &[u8], channel: Channel<Msg>) {
        let (builder, command) = (Arc::clone(&self.builder), Command::parse(text));
        let wire = Wire::new(channel, &self.gone);
        let running = Running::new(Arc::clone(&self.running));
        self.builder.work.spawn(async move {
            serve(&builder, caller, command, wire).await;
            drop(running);
        });
    }
}

async fn serve(
    builder: &Builder,
    caller: Option<Caller>,
    command: Result<Command, CommandError>,
    mut wire: Wire,
) {
    let status = match (caller, command) {
        _ if builder.work.is_closed() => {
            refuse(&wire, "the platform is stopping; try again when it is back").await
        }
        (None, _) => refuse(&wire, "the key is not known").await,
        (_, Err(error @ CommandError::Repository(_))) => refuse(&wire, &error.to_string()).await,
        (_, Err(error @ CommandError::Unknown)) => {
            wire.complain(&format!("error: {error}")).await;
            1
        }
        (_, Ok(Command::Ping)) => {
            wire.send("pong").await;
            0
        }
        (Some(Caller::Unverified), _) => {
            refuse(&wire, "the platform's controller does not answer; try again in a minute").await
        }
        (Some(Caller::User(user)), Ok(Command::ReceivePack(app))) => {
            receive::receive_pack(builder, &user, &app, &mut wire).await
        }
        (Some(Caller::User(user)), Ok(Command::UploadPack(app))) => {
            receive::upload_pack(builder, &user, &app, &mut wire).await
        }
    };
    wire.end(status).await;
}

async fn refuse(wire: &Wire, text: &str) -> u32 {
    wire.refuse(text).await;
    128
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        _user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        let owner = self.owner(offer.public_key, offer.algorithm).await;
        Ok(if owner.is_some() { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, _user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        self.caller = self.owner(key.public_key, key.algorithm).await;
        Ok(if self.caller.is_some() { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        if self.channels.len() >= CHANNELS_MAX {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
        } else {
            self.channels.insert(channel.id(), channel);
            reply.accept().await;
        }
        Ok(())
    }

    async fn channel_close(&mut self, channel: ChannelId, _session: &mut Session) -> Result<(), Self::Error> {
        self.channels.remove(&channel);
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        match self.channels.remove(&id) {
            Some(channel) => {
                session.channel_success(id)?;
                self.serve(self.caller.clone(), data, channel);
                Ok(())
            }
            None => session.channel_failure(id),
        }
    }

    /// Taken and ignored: clients send their locale.
    async fn env_request(
        &mut self,
        channel: ChannelId,
        _name: &str,
        _value: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _term: &str,
        _columns: u32,
        _rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        _name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }
}

/// A command under way: counted until dropped.
struct Running(Arc<watch::Sender<usize>>);

impl Running {
    fn new(count: Arc<watch::Sender<usize>>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
