//! The user's own terminal: its size, its raw mode, in which every key goes to the command, and signals.

#[cfg(not(unix))]
pub use elsewhere::*;
#[cfg(unix)]
pub use unix::*;

use api::terminal::Size;

/// Size of a terminal that reports none.
const SIZE_DEFAULT: Size = Size { columns: 80, rows: 24 };

#[cfg(unix)]
mod unix {
    use std::io;

    use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
    use tokio::signal::unix::{Signal, SignalKind, signal};

    use super::{SIZE_DEFAULT, Size};
    use crate::failure::{CommandResult, Failure};

    /// Raw mode until this is dropped.
    pub struct Raw {
        before: Termios,
    }

    impl Raw {
        pub fn enter() -> CommandResult<Self> {
            let failed = |error: rustix::io::Errno| Failure::new(format!("the terminal refuses: {error}"));
            let before = tcgetattr(io::stdin()).map_err(failed)?;
            let mut raw = before.clone();
            raw.make_raw();
            tcsetattr(io::stdin(), OptionalActions::Drain, &raw).map_err(failed)?;
            Ok(Self { before })
        }
    }

    impl Drop for Raw {
        fn drop(&mut self) {
            // A terminal that has gone needs no mode.
            _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.before);
        }
    }

    pub fn size() -> Size {
        match tcgetwinsize(io::stdin()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                Size { columns: size.ws_col, rows: size.ws_row }
            }
            _ => SIZE_DEFAULT,
        }
    }

    /// Notifies of a changed terminal size.
    pub struct Resized(Option<Signal>);

    impl Resized {
        pub fn new(has_terminal: bool) -> Self {
            Self(has_terminal.then(|| signal(SignalKind::window_change()).ok()).flatten())
        }

        pub async fn next(&mut self) -> Size {
            match &mut self.0 {
                Some(signal) => {
                    signal.recv().await;
                    size()
                }
                None => std::future::pending().await,
            }
        }
    }

    /// Waits for a signal that ends the client, and gives the exit code for it.
    pub async fn ended_by_signal() -> u8 {
        let kinds = [SignalKind::hangup(), SignalKind::terminate()];
        let [mut hangup, mut terminate] = kinds.map(|kind| signal(kind).ok());
        let received = async |signal: &mut Option<Signal>| match signal {
            Some(signal) => _ = signal.recv().await,
            None => std::future::pending().await,
        };
        tokio::select! {
            () = received(&mut hangup) => 128 + 1,
            () = received(&mut terminate) => 128 + 15,
        }
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use super::{SIZE_DEFAULT, Size};
    use crate::failure::{CommandResult, Failure};

    pub struct Raw;

    impl Raw {
        pub fn enter() -> Outcome<Self> {
            Err(Failure::new("terminals of this system are not supported; use -i without -t"))
        }
    }

    pub fn size() -> Size {
        SIZE_DEFAULT
    }

    pub struct Resized;

    impl Resized {
        pub fn new(_: bool) -> Self {
            Self
        }

        pub async fn next(&mut self) -> Size {
            std::future::pending().await
        }
    }

    pub async fn ended_by_signal() -> u8 {
        std::future::pending().await
    }
}
