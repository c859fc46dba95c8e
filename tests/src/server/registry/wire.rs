//! `Wire`: a connection that can be broken from inside.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// A connection that can be broken from inside: once switched, nothing is read or written any more.
#[derive(Debug, Clone, Default)]
pub(super) struct Switch(Arc<AtomicBool>);

pub(super) struct Breakable(pub(super) TcpListener);

pub(super) struct Wire {
    stream: TcpStream,
    switch: Switch,
}

impl Listener for Breakable {
    type Io = Wire;
    type Addr = Switch;

    async fn accept(&mut self) -> (Wire, Switch) {
        let (stream, _) = Listener::accept(&mut self.0).await;
        let switch = Switch::default();
        (Wire { stream, switch: switch.clone() }, switch)
    }

    fn local_addr(&self) -> io::Result<Switch> {
        Ok(Switch::default())
    }
}

impl Connected<IncomingStream<'_, Breakable>> for Switch {
    fn connect_info(stream: IncomingStream<'_, Breakable>) -> Self {
        stream.remote_addr().clone()
    }
}

impl Switch {
    /// From now on nothing is read or written.
    pub(super) fn turn(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Wire {
    fn open(&self) -> io::Result<()> {
        let is_broken = self.switch.0.load(Ordering::SeqCst);
        if is_broken { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.open()?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.open()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
