//! Servers that misbehave in one way each, on a port of the system's choice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;
use tokio::time::{Instant, sleep_until};
use url::Url;

/// What a server does with a connection.
pub(crate) enum Reply {
    /// Sends these bytes and closes.
    Bytes(Vec<u8>),
    /// Sends these bytes and resets the connection.
    Reset(Vec<u8>),
    /// Sends these bytes and then this one block until the client has had enough, at most a gigabyte.
    Endless(Vec<u8>),
    /// Stands still until this moment, then sends 200.
    At(Instant),
    /// Sends 200 as soon as as many others wait here as there are to be.
    Together(Arc<Barrier>),
    /// Sends nothing and keeps the connection.
    Silence,
}

/// A server and how many requests it has had.
pub(crate) struct Server {
    pub(crate) url: Url,
    pub(crate) asked: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// An HTTP answer.
pub(crate) fn answer(status: u16, kind: &str, body: &str) -> Reply {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    Reply::Bytes(format!("{head}{body}").into_bytes())
}

pub(crate) fn json(body: &str) -> Reply {
    answer(200, "application/json", body)
}

pub(crate) fn status(status: u16) -> Reply {
    answer(status, "text/plain", "")
}

/// Serves: `reply` gets the number of the request, from 0, and its head.
pub(crate) async fn serve(reply: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let (reply, count) = (Arc::new(reply), asked.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (reply, count) = (reply.clone(), count.clone());
            tokio::spawn(async move {
                converse(stream, &count, &*reply).await;
            });
        }
    });
    Server { url, asked }
}

async fn converse(
    mut stream: TcpStream,
    count: &AtomicUsize,
    reply: &(impl Fn(usize, &str) -> Reply + ?Sized),
) {
    let Some(head) = head(&mut stream).await else { return };
    let n = count.fetch_add(1, Ordering::SeqCst);
    match reply(n, &head) {
        Reply::Bytes(bytes) => {
            stream.write_all(&bytes).await.ok();
            stream.shutdown().await.ok();
        }
        Reply::Reset(bytes) => {
            stream.write_all(&bytes).await.ok();
            stream.set_zero_linger().ok();
        }
        Reply::Endless(bytes) => {
            let block = vec![b'x'; 64 * 1024];
            let mut sent = stream.write_all(&bytes).await;
            for _ in 0..16 * 1024 {
                if sent.is_err() {
                    return;
                }
                sent = stream.write_all(&block).await;
            }
        }
        Reply::At(moment) => {
            sleep_until(moment).await;
            stream.write_all(b"HTTP/1.1 200 x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await.ok();
        }
        Reply::Together(all) => {
            all.wait().await;
            stream.write_all(b"HTTP/1.1 200 x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await.ok();
        }
        Reply::Silence => std::future::pending().await,
    }
}

/// The head of a request, if it comes.
pub(crate) async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        let mut part = [0; 4096];
        match stream.read(&mut part).await {
            Ok(read) if 0 < read => head.extend_from_slice(&part[..read]),
            Ok(_) | Err(_) => return None,
        }
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// An address on which nobody listens.
pub(crate) async fn nobody() -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    url
}
