//! `Gate`: a socket in front of an engine's. Requests that change something are counted there, and one of them can be held.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "tests stop at the first surprise"
)]

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use tempfile::TempDir;

/// A connection carries one request, so clients make one for each.
pub struct Gate {
    folder: TempDir,
    keeper: Arc<Mutex<Keeper>>,
    /// How many requests have come, whatever they ask.
    requests: Arc<AtomicUsize>,
}

/// When a request is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The engine has not heard of it.
    Before,
    /// The engine has answered, and nobody was told.
    After,
}

/// A request that is waited for. When this is dropped, what is held goes on: a request reaches the engine if its client is
/// still there, and an answer is lost.
#[derive(Debug)]
pub struct Held {
    tell: Sender<Option<String>>,
    told: Receiver<Option<String>>,
    _release: Sender<()>,
}

#[derive(Default)]
struct Keeper {
    /// What changed something since the counting began: method, path and the status of the answer.
    changes: Vec<String>,
    /// The logins at registries that came with requests, as JSON.
    logins: Vec<String>,
    count: usize,
    order: Option<Order>,
}

/// Which request is held, and whom to tell.
struct Order {
    which: Which,
    moment: Moment,
    tell: Sender<Option<String>>,
    release: Receiver<()>,
}

enum Which {
    Number(usize),
    /// The first that is of this kind, by its method and path.
    First(Box<dyn Fn(&str) -> bool + Send>),
}

impl Gate {
    /// In front of the engine at this socket.
    pub fn start(engine: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("docker.sock")).unwrap();
        let keeper = Arc::new(Mutex::new(Keeper::default()));
        let (engine, shared) = (PathBuf::from(engine), Arc::clone(&keeper));
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                counter.fetch_add(1, Ordering::SeqCst);
                let (engine, keeper) = (engine.clone(), Arc::clone(&shared));
                // Whoever goes away early is gone.
                std::thread::spawn(move || pass(client, &engine, &keeper).ok());
            }
        });
        Self { folder, keeper, requests }
    }

    /// The path of the socket.
    pub fn socket(&self) -> String {
        self.folder.path().join("docker.sock").to_str().unwrap().to_owned()
    }

    /// `unix://` and the path.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket())
    }

    /// Counts from one again, and holds the request of this number.
    pub fn hold(&self, number: usize, moment: Moment) -> Held {
        self.order(Which::Number(number), moment)
    }

    /// Counts from one again, and holds the first request of a kind, which is told by its method and path.
    pub fn hold_first(&self, is_it: impl Fn(&str) -> bool + Send + 'static, moment: Moment) -> Held {
        self.order(Which::First(Box::new(is_it)), moment)
    }

    fn order(&self, which: Which, moment: Moment) -> Held {
        let (tell, told) = channel();
        let (let_go, release) = channel();
        let order = Some(Order { which, moment, tell: tell.clone(), release });
        *self.keeper.lock().unwrap() = Keeper { order, ..Keeper::default() };
        Held { tell, told, _release: let_go }
    }

    /// How many requests have come so far, whatever they ask.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// What has changed something since the counting began: `POST /services/create 201`.
    pub fn changes(&self) -> Vec<String> {
        self.keeper.lock().unwrap().changes.clone()
    }

    /// The logins at registries that came with requests since the counting began, as JSON.
    pub fn logins(&self) -> Vec<String> {
        self.keeper.lock().unwrap().logins.clone()
    }
}

impl Held {
    /// Waits for the request, and gives its method and path; `None` if [`over`](Self::over) came first.
    pub fn wait(&self) -> Option<String> {
        self.told.recv().unwrap()
    }

    /// To be called when no such request will come any more.
    pub fn over(&self) -> impl FnOnce() + Send + 'static {
        let tell = self.tell.clone();
        move || drop(tell.send(None))
    }
}

fn pass(mut client: UnixStream, engine: &Path, keeper: &Mutex<Keeper>) -> io::Result<()> {
    let (head, mut rest) = head(&mut client)?;
    let line = head.lines().next().unwrap_or_default();
    let request = line.rsplit_once(' ').map_or(line, |(request, _)| request).to_owned();
    let login = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        let is_login = name.eq_ignore_ascii_case("x-registry-auth");
        is_login.then(|| String::from_utf8(URL_SAFE.decode(value).unwrap()).unwrap())
    };
    keeper.lock().unwrap().logins.extend(head.lines().filter_map(login));
    let is_change = !request.starts_with("GET ") && !request.starts_with("HEAD ");
    let order = is_change.then(|| ordered(keeper, &request)).flatten();
    if let Some(order) = order.as_ref().filter(|order| order.moment == Moment::Before) {
        hold(order, &request);
        if !is_there(&mut client, &mut rest)? {
            return Ok(());
        }
    }
    let mut server = UnixStream::connect(engine)?;
    let is_stream = head.to_ascii_lowercase().contains("\r\nupgrade:");
    // So that the answer has ended when the engine says no more.
    let closing = if is_stream { head } else { head.replacen("\r\n", "\r\nconnection: close\r\n", 1) };
    server.write_all(closing.as_bytes())?;
    server.write_all(&rest)?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        io::copy(&mut from, &mut to).ok();
        to.shutdown(Shutdown::Write).ok();
    });
    if !is_change || is_stream {
        io::copy(&mut server, &mut client)?;
        return client.shutdown(Shutdown::Both);
    }
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    let status = String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap_or_default().to_owned();
    keeper.lock().unwrap().changes.push(format!("{request} {status}"));
    match order.filter(|order| order.moment == Moment::After) {
        Some(order) => hold(&order, &request),
        None => client.write_all(&answer)?,
    }
    client.shutdown(Shutdown::Both)
}

/// Whether somebody still waits for an answer. What they have sent meanwhile joins the `rest`.
fn is_there(client: &mut UnixStream, rest: &mut Vec<u8>) -> io::Result<bool> {
    let mut part = [0; 4096];
    client.set_nonblocking(true)?;
    let length = client.read(&mut part);
    client.set_nonblocking(false)?;
    rest.extend(part.iter().take(*length.as_ref().unwrap_or(&0)));
    Ok(!matches!(length, Ok(0)))
}

/// The order to hold the request that comes now, if there is one.
fn ordered(keeper: &Mutex<Keeper>, request: &str) -> Option<Order> {
    let mut keeper = keeper.lock().unwrap();
    keeper.count += 1;
    let number = keeper.count;
    keeper.order.take_if(|order| match &order.which {
        Which::Number(wanted) => *wanted == number,
        Which::First(is_it) => is_it(request),
    })
}

/// Tells of a request, and waits until it may go on.
fn hold(order: &Order, request: &str) {
    order.tell.send(Some(request.to_owned())).ok();
    // It ends when the other side is dropped.
    order.release.recv().ok();
}

/// The head of a request, and what was read of its body.
fn head(client: &mut UnixStream) -> io::Result<(String, Vec<u8>)> {
    let mut read = Vec::new();
    let mut part = [0; 4096];
    loop {
        let length = client.read(&mut part)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        read.extend_from_slice(part.get(..length).unwrap_or_default());
        if let Some(end) = read.windows(4).position(|end| end == b"\r\n\r\n") {
            let rest = read.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&read).into_owned(), rest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_while_a_request_is_held_reaches_the_engine_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.sock");
        let engine = UnixListener::bind(&path).unwrap();
        let gate = Gate::start(path.to_str().unwrap());
        let held = gate.hold(1, Moment::Before);
        let mut client = UnixStream::connect(gate.socket()).unwrap();
        client.write_all(b"POST /x HTTP/1.1\r\ncontent-length: 4\r\n\r\n").unwrap();
        assert_eq!(held.wait().as_deref(), Some("POST /x"));
        client.write_all(b"body").unwrap();
        drop(held);
        let (mut server, _) = engine.accept().unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut read = String::new();
        server.read_to_string(&mut read).unwrap();
        assert!(read.ends_with("\r\n\r\nbody"), "{read}");
    }
}
