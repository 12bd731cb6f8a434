//! One SSH connection: finds out whose key it is, then serves the commands that git sends.
//!
//! Nothing but `exec` is served: no shell, no terminal, no subsystem, no forwarding.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use listener::ConnectionPermit;
use russh::keys::{Algorithm, PublicKey};
use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelOpenFailure, Pty};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::Builder;
use crate::command::{CommandError, SshCommand};
use crate::handshake_limit::HandshakePermit;
use crate::metered::ByteBudget;
use crate::progress::{ConnectionProgress, LoginStage, RunningCommand};
use crate::receive;
use crate::relay::SshChannel;
use crate::shares::{ShareExceeded, SharePermit};

/// Channels of one connection that may be open or served at once.
const CHANNELS_MAX: usize = 4;
/// Keys that one connection may offer, known or not: each is a question to the controller.
const OFFERS_MAX: usize = 20;
/// Requests on channels that one connection may make, whatever they ask for.
const REQUESTS_MAX: usize = 10_000;

/// Identity of the client.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Identity {
    User(String),
    /// The controller did not answer. Let in only to get that message: every command is refused.
    Unverified,
    /// Known key, but over a limit. Let in only to get that message.
    Refused(String),
}

/// Places that an authenticated connection takes.
struct SessionPermits {
    _source: ConnectionPermit,
    _user: SharePermit,
}

/// A connection's state. The library drops it when the connection ends.
pub(crate) struct SshSession {
    builder: Arc<Builder>,
    /// The key that was asked about last, and whose it is.
    last_lookup: Option<(String, Option<Identity>)>,
    caller: Option<Identity>,
    channels: HashMap<ChannelId, Channel<Msg>>,
    progress: ConnectionProgress,
    /// Held until authentication, and by connections that are let in only for a message.
    place: Option<HandshakePermit>,
    counted: Option<SessionPermits>,
    allowance: ByteBudget,
    /// `None` for what a proxy passes on without saying for whom.
    address: Option<IpAddr>,
    offers: usize,
    requests: usize,
    gone: CancellationToken,
    _ends: DropGuard,
}

impl SshSession {
    pub(crate) fn new(
        builder: Arc<Builder>,
        progress: ConnectionProgress,
        place: HandshakePermit,
        allowance: ByteBudget,
        address: Option<IpAddr>,
    ) -> Self {
        let gone = CancellationToken::new();
        let _ends = gone.clone().drop_guard();
        Self {
            builder,
            last_lookup: None,
            caller: None,
            channels: HashMap::new(),
            progress,
            place: Some(place),
            counted: None,
            allowance,
            address,
            offers: 0,
            requests: 0,
            gone,
            _ends,
        }
    }

    /// Counts an authenticated connection; gives the reason where there is no room for it.
    fn count(&self, user: &str) -> Result<SessionPermits, String> {
        let builder = &self.builder;
        let address = self.address.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
        let full = |who: &str| {
            format!("{who} as many SSH connections as there may be; try again when one has ended")
        };
        let _user = builder.users.try_take(user).map_err(|at| match at {
            ShareExceeded::User => full(&format!("{user} has")),
            ShareExceeded::Total => full("the platform has"),
        })?;
        let _source = builder.connections.admit(address).map_err(|refusal| match refusal {
            listener::ConnectionRefusal::Source => full("your address has"),
            listener::ConnectionRefusal::Total => full("the platform has"),
        })?;
        Ok(SessionPermits { _source, _user })
    }

    /// The connection is authenticated: it leaves the pool of those that are not, or is let in to be refused.
    fn authenticated(&mut self) {
        let Some(Identity::User(user)) = self.caller.clone() else {
            return self.progress.reached(LoginStage::Refused);
        };
        match self.count(&user) {
            Ok(counted) => {
                self.counted = Some(counted);
                self.place = None;
                self.allowance.widen();
                self.progress.reached(LoginStage::Authenticated);
            }
            Err(reason) => {
                tracing::warn!(user, reason, "an SSH connection is refused");
                self.caller = Some(Identity::Refused(reason));
                self.progress.reached(LoginStage::Refused);
            }
        }
    }

    /// Counts something that a client asks for; too much of it ends the connection.
    fn another(count: &mut usize, max: usize) -> Result<(), russh::Error> {
        *count += 1;
        if *count > max { Err(russh::Error::Disconnect) } else { Ok(()) }
    }

    /// Finds the owner of a key; `None` refuses it. The result is kept: a client offers each key twice.
    async fn owner(&mut self, key: &PublicKey, algorithm: &Algorithm) -> Option<Identity> {
        // SHA-1 signatures can be forged.
        if *algorithm == (Algorithm::Rsa { hash: None }) {
            return None;
        }
        let mut key = key.clone();
        key.set_comment("");
        let text = key.to_openssh().ok()?;
        if let Some((asked, answer)) = &self.last_lookup
            && *asked == text
        {
            return answer.clone();
        }
        let answer = match self.builder.hooks.key_owner(text.clone()).await {
            Ok(user) => user.map(Identity::User),
            Err(_) => Some(Identity::Unverified),
        };
        self.last_lookup = Some((text, answer.clone()));
        answer
    }

    fn serve(&self, caller: Option<Identity>, text: &[u8], channel: Channel<Msg>) {
        let (builder, command) = (Arc::clone(&self.builder), SshCommand::parse(text));
        let wire = SshChannel::new(channel, &self.gone);
        let running = RunningCommand::new(&self.progress);
        self.builder.work.spawn(async move {
            serve(&builder, caller, command, wire).await;
            drop(running);
        });
    }
}

async fn serve(
    builder: &Builder,
    caller: Option<Identity>,
    command: Result<SshCommand, CommandError>,
    mut wire: SshChannel,
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
        (_, Ok(SshCommand::Ping)) => {
            wire.send("pong").await;
            0
        }
        (Some(Identity::Unverified), _) => {
            refuse(&wire, "the platform's controller does not answer; try again in a minute").await
        }
        (Some(Identity::Refused(reason)), _) => refuse(&wire, &reason).await,
        (Some(Identity::User(user)), Ok(SshCommand::ReceivePack(app))) => {
            receive::receive_pack(builder, &user, &app, &mut wire).await
        }
        (Some(Identity::User(user)), Ok(SshCommand::UploadPack(app))) => {
            receive::upload_pack(builder, &user, &app, &mut wire).await
        }
    };
    wire.end(status).await;
}

async fn refuse(wire: &SshChannel, text: &str) -> u32 {
    wire.refuse(text).await;
    128
}

impl Handler for SshSession {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        _user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        Self::another(&mut self.offers, OFFERS_MAX)?;
        let owner = self.owner(offer.public_key, offer.algorithm).await;
        if owner.is_some() {
            if let Some(place) = &self.place {
                place.has_offered();
            }
            self.progress.reached(LoginStage::Offered);
        }
        Ok(if owner.is_some() { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, _user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        Self::another(&mut self.offers, 2 * OFFERS_MAX)?;
        self.caller = self.owner(key.public_key, key.algorithm).await;
        Ok(if self.caller.is_some() { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_succeeded(&mut self, _session: &mut Session) -> Result<(), Self::Error> {
        self.authenticated();
        Ok(())
    }

    /// Input of a command is the purpose of a connection.
    async fn data(&mut self, _: ChannelId, data: &[u8], _: &mut Session) -> Result<(), Self::Error> {
        self.allowance.give_back(data.len() as u64);
        Ok(())
    }

    /// Says that the client has read what a command wrote.
    async fn window_adjusted(&mut self, _: ChannelId, _: u32, _: &mut Session) -> Result<(), Self::Error> {
        self.allowance.give_back(0);
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        Self::another(&mut self.requests, REQUESTS_MAX)?;
        if self.channels.len() + self.progress.running() >= CHANNELS_MAX {
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
        Self::another(&mut self.requests, REQUESTS_MAX)?;
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
        Self::another(&mut self.requests, REQUESTS_MAX)?;
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
        Self::another(&mut self.requests, REQUESTS_MAX)?;
        session.channel_failure(channel)
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        Self::another(&mut self.requests, REQUESTS_MAX)?;
        session.channel_failure(channel)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        _name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        Self::another(&mut self.requests, REQUESTS_MAX)?;
        session.channel_failure(channel)
    }
}
