//! Replaces the service `api` of a Compose project behind nginx, and asks it meanwhile, for `./bench`. A program of its own,
//! so that times are those of the driver alone.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it speaks to whoever started it")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use shipkit_core::compose::ProxyKind;
use shipkit_core::rollout::Next;
use shipkit_core::rollout::slots::{Observation, Slot, Step};
use shipkit_core::target::{self, Desired, DesiredService, Settings, Stamp};
use shipkit_core::{Digest, ImageRef};
use shipkit_docker::{Access, Compose, ComposeApplied, ComposeProject, Host, Proxy};
use shipkit_smoke::{Connections, WatchOptions, watch};
use tokio::process::Command;

const USAGE: &str = "compose deploy STACK FOLDER IMAGE@DIGEST   prints how it ended and three times in seconds: until that was known,\n\
                     \x20                                          until the traffic had shifted, from healthy to shifted\n\
                     compose rollback STACK FOLDER              the same of the way back\n\
                     compose watch URL PROGRAM WORD...          asks 200 times a second while the program runs; prints how many\n\
                     \x20                                          requests there were, how many failed, the longest gap in seconds";
const SOCKET: &str = "unix:///var/run/docker.sock";
const DEADLINE: Duration = Duration::from_mins(1);
/// How long is asked on after the program: what it started may not answer yet.
const AFTER: Duration = Duration::from_secs(3);

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let said = match &arguments[..] {
        ["deploy", stack, folder, image] => deploy(stack, folder, image).await,
        ["rollback", stack, folder] => rollback(stack, folder).await,
        ["watch", url, program, words @ ..] => watched(url, program, words).await,
        _ => Err(USAGE.into()),
    };
    match said {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// When what happened of a rollout.
struct Times {
    start: Instant,
    healthy: Option<Instant>,
    /// Whether the step that is being carried out sends the traffic elsewhere.
    is_shifting: bool,
    shifted: Option<Instant>,
}

impl Times {
    fn new() -> Self {
        Self { start: Instant::now(), healthy: None, is_shifting: false, shifted: None }
    }

    fn note(&mut self, to: Slot, observation: &Observation, step: &Step) {
        let now = Instant::now();
        if self.is_shifting {
            self.shifted = Some(now);
        }
        self.is_shifting = matches!(step, Step::Shift { .. });
        let new = observation.instances.iter().filter(|one| one.slot == to);
        // Of those that are to get traffic in this step, the one that was healthy last.
        if let Some(age) = new.filter(|one| one.is_ready() && !one.has_traffic).map(|one| one.age).min()
            && self.is_shifting
        {
            self.healthy = now.checked_sub(age);
        }
    }

    /// A line with how it ended.
    fn line(&self, next: &Next) -> String {
        let since = |start: Option<Instant>, end: Option<Instant>| {
            start.zip(end).map_or_else(
                || "-".to_owned(),
                |(start, end)| format!("{:.3}", end.duration_since(start).as_secs_f64()),
            )
        };
        let ended = match next {
            Next::Done => "done",
            Next::RollBack { .. } => "failed",
            Next::Wait(_) | Next::RolledBack { .. } | Next::Overtaken { .. } | Next::Stuck { .. } => {
                "undecided"
            }
        };
        let known = since(Some(self.start), Some(Instant::now()));
        let shifted = since(Some(self.start), self.shifted);
        format!("{ended} {known} {shifted} {}", since(self.healthy, self.shifted))
    }
}

/// With the files of the project, which only a deploy needs.
async fn connect(stack: &str, folder: &str, files: &[&str]) -> Result<Compose, Failure> {
    let project = ComposeProject {
        stack: stack.to_owned(),
        directory: folder.to_owned(),
        files: files.iter().map(|file| format!("{folder}/{file}")).collect(),
        services: BTreeMap::from([("api".to_owned(), Some(8080))]),
        proxy: Some(Proxy {
            kind: ProxyKind::Nginx,
            service: "nginx".to_owned(),
            directory: ProxyKind::Nginx.directory().to_owned(),
        }),
        ..ComposeProject::default()
    };
    let host = Host::here(&std::env::var("HOME")?)?;
    Ok(Compose::connect(SOCKET, &Access::default(), host, project).await?)
}

/// A release of one image.
fn release(stack: &str, image: ImageRef) -> Desired {
    let version = image.digest.to_string();
    let stamp = Stamp {
        release: Digest::of(version.as_bytes()),
        version,
        commit: "c".repeat(40),
        environment: "bench".to_owned(),
        run: None,
        time: Timestamp::now(),
    };
    let service = DesiredService {
        name: "api".to_owned(),
        image,
        platforms: BTreeSet::new(),
        revision: "bench".to_owned(),
        depends_on: Vec::new(),
        stateful: false,
        settings: Settings::default(),
    };
    Desired { stack: stack.to_owned(), stamp, services: vec![service] }
}

async fn deploy(stack: &str, folder: &str, image: &str) -> Result<String, Failure> {
    let mut times = Times::new();
    let compose = connect(stack, folder, &["compose.yml"]).await?;
    let desired = compose.complete(release(stack, image.parse()?)).await?;
    let observed = compose.observe().await?;
    let mut next = Next::Done;
    for change in target::plan(&desired, &observed) {
        let Some(applied) = compose.apply(&desired, &change, None).await? else { continue };
        next = carry_out(&compose, &applied, Slot::Preview, &mut times).await?;
        if next != Next::Done {
            let line = times.line(&next);
            if let Some(back) = compose.undo(&applied, None).await? {
                compose.rollout(&back, DEADLINE, |_, _| {}).await?;
            }
            return Ok(line);
        }
    }
    compose.confirm(&desired).await?;
    Ok(times.line(&next))
}

async fn rollback(stack: &str, folder: &str) -> Result<String, Failure> {
    let mut times = Times::new();
    let compose = connect(stack, folder, &[]).await?;
    let way = target::way_back(stack, &compose.observe().await?)?;
    let mut next = Next::Done;
    for back in &way.returns {
        let applied = compose.restore(back, None).await?;
        next = carry_out(&compose, &applied, Slot::Active, &mut times).await?;
    }
    Ok(times.line(&next))
}

async fn carry_out(
    compose: &Compose,
    applied: &ComposeApplied,
    to: Slot,
    times: &mut Times,
) -> Result<Next, Failure> {
    let seen = |observation: &Observation, step: &Step| {
        times.note(to, observation, step);
        eprintln!("{:.3} {step}", times.start.elapsed().as_secs_f64());
    };
    Ok(compose.rollout(applied, DEADLINE, seen).await?)
}

async fn watched(url: &str, program: &str, words: &[&str]) -> Result<String, Failure> {
    let options = WatchOptions {
        rate: 200,
        duration: None,
        connections: Connections::Both,
        ..WatchOptions::new(url.parse()?)
    };
    let mut running = Command::new(program).args(words).stdout(std::io::stderr()).spawn()?;
    let ended = async {
        let ended = running.wait().await;
        tokio::time::sleep(AFTER).await;
        ended
    };
    let mut code = None;
    let report = watch(options, async { code = Some(ended.await) }).await?;
    if !code.transpose()?.is_some_and(|code| code.success()) {
        return Err(format!("`{program}` failed").into());
    }
    Ok(format!("{} {} {:.3}", report.scheduled, report.failed, report.longest_gap.as_secs_f64()))
}
