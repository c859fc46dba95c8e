//! A longer line to a server on this machine, which counts what goes over it. For `./bench` only.
//!
//! It prints two addresses: the line, and a counter. Who connects to the counter gets `requests sent received`, of bytes
//! at the server's door, and sets them to zero.
#![allow(clippy::print_stdout, reason = "the addresses and figures are what was asked for")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use clap::Parser;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// What may be on the line at once, in pieces of at most 64 KiB.
const ON_THE_LINE: usize = 256;

/// A longer line to a server on this machine, which counts what goes over it.
#[derive(Parser)]
struct Args {
    /// The server.
    #[arg(long)]
    to: SocketAddr,
    /// The added round trip, half of it each way, in milliseconds.
    #[arg(long, default_value_t = 0)]
    round_trip: u64,
}

#[derive(Default)]
struct Counted {
    requests: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

/// Where a stream of HTTP/1.1 requests is.
enum At {
    Head(BytesMut),
    Body(u64),
    /// In a chunk of this length, its closing line end included.
    InChunk(u64),
    /// In a chunked body, before the line that says how long the next chunk is.
    Chunk(BytesMut),
    /// After the last chunk, before the empty line.
    End(BytesMut),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let half = Duration::from_millis(args.round_trip) / 2;
    let (line, door) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
    println!("{} {}", line.local_addr()?, door.local_addr()?);
    let counted = Arc::new(Counted::default());
    loop {
        tokio::select! {
            accepted = line.accept() => {
                tokio::spawn(carry(accepted?.0, args.to, half, Arc::clone(&counted)));
            }
            accepted = door.accept() => {
                let take = |figure: &AtomicU64| figure.swap(0, Ordering::Relaxed);
                let figures = [&counted.requests, &counted.sent, &counted.received].map(take);
                let text = format!("{} {} {}\n", figures[0], figures[1], figures[2]);
                accepted?.0.write_all(text.as_bytes()).await.ok();
            }
        }
    }
}

/// One connection. Its first byte leaves a round trip late, because shaking hands takes one.
async fn carry(
    client: TcpStream,
    to: SocketAddr,
    half: Duration,
    counted: Arc<Counted>,
) -> anyhow::Result<()> {
    let open = Instant::now() + half * 2;
    let server = TcpStream::connect(to).await.context("the server is not there")?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let (up, down) = (Arc::clone(&counted), counted);
    let mut at = At::Head(BytesMut::new());
    let sent = pump(from_client, to_server, (open, half), move |bytes| {
        up.sent.fetch_add(count(bytes), Ordering::Relaxed);
        let requests = requests(&mut at, bytes.clone());
        up.requests.fetch_add(requests, Ordering::Relaxed);
    });
    let received = pump(from_server, to_client, (open, half), move |bytes| {
        down.received.fetch_add(count(bytes), Ordering::Relaxed);
    });
    tokio::join!(sent, received);
    Ok(())
}

/// Passes bytes on, each piece `half` a round trip after it came, until the one who sends ends.
async fn pump(
    mut from: impl AsyncRead + Unpin + Send + 'static,
    mut to: impl AsyncWrite + Unpin,
    (open, half): (Instant, Duration),
    mut seen: impl FnMut(&Bytes) + Send + 'static,
) {
    let (pieces, mut due) = mpsc::channel::<(Instant, Bytes)>(ON_THE_LINE);
    let reading = tokio::spawn(async move {
        loop {
            let mut piece = BytesMut::with_capacity(64 * 1024);
            match from.read_buf(&mut piece).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let piece = piece.freeze();
            seen(&piece);
            if pieces.send((Instant::now().max(open) + half, piece)).await.is_err() {
                return;
            }
        }
    });
    while let Some((at, piece)) = due.recv().await {
        sleep_until(at).await;
        if to.write_all(&piece).await.is_err() {
            reading.abort();
            return;
        }
    }
    to.shutdown().await.ok();
}

fn count(bytes: &[u8]) -> u64 {
    bytes.len().try_into().unwrap_or(u64::MAX)
}

/// How many requests end their head in these bytes.
fn requests(at: &mut At, mut bytes: Bytes) -> u64 {
    let mut found = 0;
    while !bytes.is_empty() {
        match at {
            At::Head(head) => {
                if let Some(line) = line(head, &mut bytes, b"\r\n\r\n") {
                    found += 1;
                    *at = after_head(&line);
                }
            }
            At::Body(left) => {
                if pass(left, &mut bytes) {
                    *at = At::Head(BytesMut::new());
                }
            }
            At::InChunk(left) => {
                if pass(left, &mut bytes) {
                    *at = At::Chunk(BytesMut::new());
                }
            }
            At::Chunk(start) => {
                if let Some(line) = line(start, &mut bytes, b"\r\n") {
                    *at = after_chunk_line(&line);
                }
            }
            At::End(end) => {
                if line(end, &mut bytes, b"\r\n").is_some() {
                    *at = At::Head(BytesMut::new());
                }
            }
        }
    }
    found
}

/// Passes over the next bytes; whether that were all of them.
fn pass(left: &mut u64, bytes: &mut Bytes) -> bool {
    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    *left -= count(&bytes.split_to(here));
    *left == 0
}

/// Moves bytes to `kept` until it ends with `end`, and returns it then.
fn line(kept: &mut BytesMut, bytes: &mut Bytes, end: &[u8]) -> Option<String> {
    while !bytes.is_empty() {
        kept.extend_from_slice(&bytes.split_to(1));
        if kept.ends_with(end) {
            return Some(String::from_utf8_lossy(kept).to_ascii_lowercase());
        }
    }
    None
}

fn after_head(head: &str) -> At {
    let value = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    if value("transfer-encoding:").is_some_and(|value| value.ends_with("chunked")) {
        return At::Chunk(BytesMut::new());
    }
    match value("content-length:").and_then(|length| length.parse().ok()) {
        None | Some(0) => At::Head(BytesMut::new()),
        Some(length) => At::Body(length),
    }
}

fn after_chunk_line(line: &str) -> At {
    let size = line.trim().split(';').next().unwrap_or_default();
    match u64::from_str_radix(size, 16) {
        Ok(0) | Err(_) => At::End(BytesMut::new()),
        Ok(size) => At::InChunk(size + 2),
    }
}
