//! A real browser, asked over its own protocol (Chrome `DevTools` Protocol 1.3).

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// A page in a browser, with all that happened to it.
pub(crate) struct Page {
    program: Child,
    _profile: TempDir,
    socket: WebSocketStream<TcpStream>,
    session: Option<String>,
    sent: u64,
    pub(crate) events: Vec<Value>,
}

impl Page {
    /// An empty page.
    pub(crate) async fn open() -> Self {
        let chromium = std::env::var("CHROMIUM").expect("`scripts/bed up chromium` says where it is");
        let profile = tempfile::tempdir().unwrap();
        let mut program = Command::new(chromium)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            // Root is not let into its sandbox, and a container has little shared memory.
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--disable-gpu",
                "--no-first-run",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--remote-debugging-port=0",
            ])
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(program.stderr.take().unwrap());
        let (address, told) = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            let mut before = String::new();
            while told.read_line(&mut line).unwrap() != 0 {
                if let Some(address) = line.trim().strip_prefix("DevTools listening on ") {
                    return (address.to_owned(), told);
                }
                before.push_str(&std::mem::take(&mut line));
            }
            panic!("the browser ended: {before}");
        })
        .await
        .unwrap();
        // What it says later is not read, and must find room.
        std::thread::spawn(move || std::io::copy(&mut { told }, &mut std::io::sink()));
        let place = address.strip_prefix("ws://").unwrap().split('/').next().unwrap();
        let stream = TcpStream::connect(place).await.unwrap();
        let (socket, _) = tokio_tungstenite::client_async(&address, stream).await.unwrap();
        let mut page =
            Self { program, _profile: profile, socket, session: None, sent: 0, events: Vec::new() };
        let target = page.call("Target.createTarget", json!({"url": "about:blank"})).await;
        let attached = page
            .call("Target.attachToTarget", json!({"targetId": target["targetId"], "flatten": true}))
            .await;
        page.session = attached["sessionId"].as_str().map(str::to_owned);
        for part in ["Page", "Network", "Log", "Runtime"] {
            page.call(&format!("{part}.enable"), json!({})).await;
        }
        page
    }

    /// Shows a file in a window of this size, and waits until it is there.
    pub(crate) async fn show(&mut self, file: &Path, width: u32, scheme: &str) {
        let size = json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", size).await;
        let feature = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": feature})).await;
        self.events.clear();
        self.call("Page.navigate", json!({"url": format!("file://{}", file.display())})).await;
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.receive().await;
            self.events.push(event);
        }
    }

    /// What a JavaScript expression is there, with promises waited for.
    pub(crate) async fn eval(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", asked).await;
        assert!(answer.get("exceptionDetails").is_none(), "{answer}");
        answer["result"]["value"].clone()
    }

    /// A picture of the whole page as PNG, in base64.
    pub(crate) async fn picture(&mut self) -> String {
        let answer = self.call("Page.captureScreenshot", json!({"captureBeyondViewport": true})).await;
        answer["data"].as_str().unwrap().to_owned()
    }

    /// The parameters of the events of this kind.
    pub(crate) fn events(&self, method: &str) -> Vec<&Value> {
        self.events.iter().filter(|event| event["method"] == method).map(|event| &event["params"]).collect()
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.sent += 1;
        let mut call = json!({"id": self.sent, "method": method, "params": params});
        if let Some(session) = &self.session {
            call["sessionId"] = session.as_str().into();
        }
        self.socket.send(Message::text(call.to_string())).await.unwrap();
        loop {
            let answer = self.receive().await;
            if answer["id"] == self.sent {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.events.push(answer);
        }
    }

    async fn receive(&mut self) -> Value {
        let message = self.socket.next().await.expect("the browser is gone").unwrap();
        serde_json::from_str(message.to_text().unwrap()).unwrap()
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.program.kill().ok();
        self.program.wait().ok();
    }
}
