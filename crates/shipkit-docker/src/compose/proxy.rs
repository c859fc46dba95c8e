//! The proxies: who gets the traffic of a service. For nginx and Traefik that is read from and written to a file in the
//! container; how kamal-proxy is told is in `kamal`.
//!
//! For nginx a file is put beside the one in force and takes its place only together with what the old one was, so that a
//! run that is killed in between leaves a mark, and the next one finishes: the new file if nginx takes it, else the old
//! one. Traefik watches the folder, and a file is in force as soon as it has its name.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use shipkit_core::compose::{ProxyFile, Server};

use super::Compose;
use super::container::Container;
use super::error::ComposeError;
use super::project::{Proxy, last_line};
use super::tar::{Entry, pack, unpack};
use crate::rollout::{log_text, text};
use crate::spec::at;

/// How long a proxy may take for what it is told; nginx looks up names for its configuration.
pub(super) const READING: Duration = Duration::from_mins(1);
/// Arguments: folder, service, `next` or nothing. Puts `<service>.next`, if that is asked, in the place of
/// `<service>.conf` and tells nginx; what it refuses is taken back. `<service>.before` is there as long as nginx may not
/// have been told.
const SETTLE: &str = r##"
cd "$1" || exit 1
if [ -n "$3" ]; then
  if [ ! -e "$2.before" ]; then
    if [ -e "$2.conf" ]; then cp -p "$2.conf" "$2.part"; else : > "$2.part"; fi
    mv -f "$2.part" "$2.before" || exit 1
  fi
  mv -f "$2.next" "$2.conf" || exit 1
fi
said=$(nginx -T 2>&1)
code=$?
if [ "$code" = 0 ]; then
  case $said in
    *"# configuration file $1/$2.conf:"*) ;;
    *) said="its configuration does not include $1/*.conf inside of http"; code=1 ;;
  esac
fi
if [ "$code" = 0 ]; then said=$(nginx -s reload 2>&1); code=$?; fi
if [ "$code" = 0 ]; then
  if [ -e "$2.before" ]; then touch "$2.conf"; fi
else
  printf '%s\n' "$said" >&2
  if [ -s "$2.before" ]; then mv -f "$2.before" "$2.conf"; elif [ -e "$2.before" ]; then rm -f "$2.conf"; fi
fi
rm -f "$2.before"
exit "$code"
"##;

/// Arguments: folder, service, text. Gives `<service>.yml` a new text at once: Traefik sees what becomes of its folder, and
/// nothing below it.
const REPLACE: &str = r#"
cd "$1" && mkdir -p .shipkit && printf %s "$3" > ".shipkit/$2" && mv -f ".shipkit/$2" "$2.yml"
"#;
/// Where Traefik looks for what it was started with (doc.traefik.io, "Static configuration").
const STATIC: &str = "/etc/traefik";

/// Who gets the traffic of a service.
pub(crate) struct Traffic {
    /// The instances.
    pub(crate) instances: Vec<String>,
    /// Since when, by the clock of the host; `None` where nobody has decided yet.
    pub(crate) since: Option<Timestamp>,
    /// Whether the proxy may not know it.
    pub(crate) is_unsettled: bool,
}

impl Compose {
    /// Who gets the traffic of a service, as the proxy has it.
    pub(crate) async fn proxied(&self, proxy: &Proxy, service: &str) -> Result<Traffic, ComposeError> {
        let container = self.proxy_container(proxy).await?;
        let Some(file) = proxy.kind.file() else {
            return self.kamal_traffic((&container, proxy), service).await;
        };
        let entries = self.files(&container, &proxy.directory).await?;
        let find = |end: &str| entries.iter().find(|entry: &&Entry| entry.name == format!("{service}.{end}"));
        Ok(match find(file.ending()) {
            Some(entry) => Traffic {
                instances: file.instances(&String::from_utf8_lossy(&entry.bytes)),
                since: Some(entry.modified),
                is_unsettled: find("before").is_some(),
            },
            None => Traffic { instances: Vec::new(), since: None, is_unsettled: find("before").is_some() },
        })
    }

    /// Sends the traffic of a service to these containers and no others. `drain` is how long what was begun before may take,
    /// where the proxy waits for that.
    pub(crate) async fn shift(
        &self,
        (proxy, port): (&Proxy, u16),
        service: &str,
        to: &[&Container],
        drain: Duration,
    ) -> Result<(), ComposeError> {
        let container = self.running_proxy(proxy).await?;
        let Some(file) = proxy.kind.file() else {
            return self.tell_kamal((&container, proxy), (service, port), to, drain).await;
        };
        let text = text_of(file, service, port, to);
        match file {
            ProxyFile::Nginx => {
                self.put(&container, proxy, &format!("{service}.next"), &text).await?;
                self.settle_in(&container, proxy, service, "next").await
            }
            ProxyFile::Traefik => {
                let argv = ["sh", "-c", REPLACE, "sh", &proxy.directory, service, &text];
                self.told(&container, proxy, &argv).await.map(drop)
            }
        }
    }

    /// Tells nginx what its file says, in case that a run was killed before it did.
    pub(crate) async fn settle(&self, proxy: &Proxy, service: &str) -> Result<(), ComposeError> {
        let container = self.running_proxy(proxy).await?;
        self.settle_in(&container, proxy, service, "").await
    }

    /// Makes the proxy's container with a file for every service whose traffic comes through it, so that it can start before
    /// any of them: nginx does not start with an `upstream` that is missing. One that reads no such files needs none.
    pub(crate) async fn prepare_proxy(&self, proxy: &Proxy) -> Result<(), ComposeError> {
        let Some(file) = proxy.kind.file() else { return Ok(()) };
        self.create_as_written(&proxy.service).await?;
        let container = self.proxy_container(proxy).await?;
        for (service, port) in &self.project.services {
            let Some(port) = *port else { continue };
            if self.proxied(proxy, service).await?.since.is_none() {
                let text = text_of(file, service, port, &[]);
                self.put(&container, proxy, &format!("{service}.{}", file.ending()), &text).await?;
            }
        }
        Ok(())
    }

    /// What nginx, which runs, says against its configuration; else what a person should know of it.
    pub(crate) async fn check_nginx(&self, proxy: &Proxy) -> Result<Vec<String>, ComposeError> {
        let container = self.running_proxy(proxy).await?;
        let conf = self.told(&container, proxy, &["nginx", "-T"]).await?;
        let remark = format!(
            "nginx, the service `{}`, closes kept connections when traffic shifts: `keepalive_min_timeout 5s;` in its \
             `http` (1.27.4 or newer) lets them finish, if no `stop_grace_period` is shorter",
            proxy.service
        );
        Ok(if conf.contains("keepalive_min_timeout") { Vec::new() } else { vec![remark] })
    }

    /// Whether Traefik, which runs, was started so that it sees what is written for it. `said` is what the Compose files say
    /// of that; the rest stands in a file in its container.
    pub(crate) async fn check_traefik(&self, proxy: &Proxy, said: &str) -> Result<(), ComposeError> {
        let container = self.running_proxy(proxy).await?;
        let mut said = said.to_owned();
        for entry in self.files(&container, STATIC).await? {
            if matches!(entry.name.as_str(), "traefik.yml" | "traefik.yaml" | "traefik.toml") {
                said.push_str(&String::from_utf8_lossy(&entry.bytes));
            }
        }
        said.retain(|letter| !letter.is_whitespace() && letter != '"');
        let said = said.to_lowercase();
        let is_off = ["file.watch=false", "file_watch:false"].iter().any(|off| said.contains(off));
        if said.contains(&proxy.directory.to_lowercase()) && !is_off {
            return Ok(());
        }
        let (service, directory) = (proxy.service.clone(), proxy.directory.clone());
        Err(ComposeError::NotWatched { service, directory })
    }

    /// The plain files in a folder of a container, and below it; or the one at this path.
    pub(super) async fn files(
        &self,
        container: &Container,
        folder: &str,
    ) -> Result<Vec<Entry>, ComposeError> {
        let path = format!("/containers/{}/archive?path={}", container.id(), query(folder));
        match self.engine.get_bytes("read the proxy's files", &path).await {
            Ok(bytes) => Ok(unpack(&bytes)),
            Err(crate::SwarmError::Refused { status: 404, .. }) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    async fn settle_in(
        &self,
        container: &Container,
        proxy: &Proxy,
        service: &str,
        which: &str,
    ) -> Result<(), ComposeError> {
        let argv = ["sh", "-c", SETTLE, "sh", &proxy.directory, service, which];
        self.told(container, proxy, &argv).await.map(drop)
    }

    /// What a program says that ends well.
    pub(super) async fn told(
        &self,
        container: &Container,
        proxy: &Proxy,
        argv: &[&str],
    ) -> Result<String, ComposeError> {
        let (code, said) = self.exec(container.id(), argv, READING).await?;
        if code == 0 {
            return Ok(said);
        }
        let lines: Vec<&str> = said.lines().collect();
        let reason = lines.iter().find(|line| line.contains("[emerg]")).or(lines.last());
        let reason = reason.map_or_else(|| format!("it ends with {code}"), |line| last_line(line.as_bytes()));
        Err(ComposeError::ProxyRefused { kind: proxy.kind, service: proxy.service.clone(), reason })
    }

    async fn put(
        &self,
        container: &Container,
        proxy: &Proxy,
        name: &str,
        content: &str,
    ) -> Result<(), ComposeError> {
        let path = format!("/containers/{}/archive?path={}", container.id(), query(&proxy.directory));
        let archive = pack(name, content.as_bytes());
        Ok(self.engine.put_archive("write a file for the proxy", &path, archive).await?)
    }

    /// Runs a program in a container: its exit code, and what it said.
    pub(super) async fn exec(
        &self,
        id: &str,
        argv: &[&str],
        time: Duration,
    ) -> Result<(i64, String), ComposeError> {
        let body = json!({"AttachStdout": true, "AttachStderr": true, "Cmd": argv});
        let what = "run a program in the proxy's container";
        let made = self.engine.post(what, &format!("/containers/{id}/exec"), &body, None).await?;
        let exec = text(&made, &["Id"]);
        let body = json!({"Detach": false, "Tty": false});
        let path = format!("/exec/{exec}/start");
        let said = self.engine.post_for_bytes(what, &path, &body, (None, time)).await?;
        let ended = self.engine.get(what, &format!("/exec/{exec}/json")).await?;
        let code = at(&ended, &["ExitCode"]).as_i64();
        Ok((code.ok_or_else(|| self.engine.garbled("it does not say how a program ended"))?, log_text(&said)))
    }

    /// The container of the proxy, running if one does.
    async fn proxy_container(&self, proxy: &Proxy) -> Result<Container, ComposeError> {
        let mut all = self.containers(&proxy.service).await?;
        all.sort_by_key(|container| !container.is_running());
        all.into_iter().next().ok_or_else(|| down(proxy))
    }

    pub(super) async fn running_proxy(&self, proxy: &Proxy) -> Result<Container, ComposeError> {
        let found = self.proxy_container(proxy).await?;
        if found.is_running() { Ok(found) } else { Err(down(proxy)) }
    }
}

fn down(proxy: &Proxy) -> ComposeError {
    ComposeError::ProxyDown { kind: proxy.kind, service: proxy.service.clone() }
}

fn text_of(file: ProxyFile, service: &str, port: u16, to: &[&Container]) -> String {
    let server = |one: &&Container| Server { instance: one.instance(), host: one.name().to_owned() };
    file.text(service, port, &to.iter().map(server).collect::<Vec<_>>())
}

/// A path as a part of a query.
fn query(path: &str) -> String {
    let escape = |byte: u8| {
        let is_plain = byte.is_ascii_alphanumeric() || b"/-._".contains(&byte);
        if is_plain { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    path.bytes().map(escape).collect()
}
