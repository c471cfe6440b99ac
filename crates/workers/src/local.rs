//! Connections to processes on the same machine, inherited when they are started. No other process can get
//! one, so they need no token, and they are not encrypted.

use std::future::{Ready, ready};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;

/// The source of connections for processes on this machine.
#[derive(Debug, Clone)]
pub struct Local {
    pub(crate) runtime: Handle,
    pub(crate) connections: mpsc::Sender<io::Result<UnixStream>>,
}

impl Local {
    /// A connection to the coordinator, for a process that receives it as its standard input.
    ///
    /// # Errors
    /// If none can be created, or the coordinator has ended.
    pub fn connection(&self) -> io::Result<OwnedFd> {
        let (here, there) = StdUnixStream::pair()?;
        here.set_nonblocking(true)?;
        let here = {
            let _within = self.runtime.enter();
            UnixStream::from_std(here)?
        };
        let taken = self.connections.blocking_send(Ok(here));
        taken.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "training has ended"))?;
        Ok(there.into())
    }
}

/// The connection that this process inherited, on the first call.
pub(crate) struct Inherited(Option<UnixStream>);

impl Inherited {
    /// The connection in standard input. It must be called in a tokio runtime.
    ///
    /// # Errors
    /// If standard input is not a connection.
    pub(crate) fn new() -> io::Result<Self> {
        let input = StdUnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        // Before any setting is changed, because it may be a terminal.
        input.peer_addr()?;
        input.set_nonblocking(true)?;
        Ok(Self(Some(UnixStream::from_std(input)?)))
    }
}

impl Service<Uri> for Inherited {
    type Response = TokioIo<UnixStream>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.0.take().map(TokioIo::new).ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }
}
