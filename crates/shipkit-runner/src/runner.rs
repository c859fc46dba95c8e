//! `Runner`: what a program says, to the Actions runner and to people.
//!
//! stdout holds the data that was asked for and nothing else, so that it can be piped inside a step too. Everything for
//! people goes to stderr, and so do workflow commands: the runner reads both streams, and on one stream a group's
//! lines stay inside the group.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use shipkit_core::Secret;
use shipkit_core::event::Event;
use tokio::sync::watch;

use crate::command::{self, Annotation};
use crate::env::{self, Env, EnvError};
use crate::event::{self, EventError};
use crate::output::{self, OutputError, Runs};
use crate::sanitize;
use crate::signal::Signal;

/// A way to talk to whoever started this process. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Runner {
    inner: Arc<Inner>,
}

struct Inner {
    env: Env,
    form: Form,
    signal: watch::Receiver<Option<Signal>>,
    bars: MultiProgress,
    state: Mutex<State>,
}

/// What has been said so far.
#[derive(Default)]
struct State {
    annotations: Vec<Annotation>,
    /// Lines that are replaced by `***` in everything we print ourselves.
    masked: Vec<String>,
    /// What the outputs hold so far, as GitHub counts.
    written: usize,
    /// The first reason why stdout did not take what it was given.
    stdout_broke: Option<std::io::Error>,
    is_over: bool,
}

/// For whom the data on stdout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// People.
    Text,
    /// Programs: `--json`.
    Json,
}

/// The colour of a word on a terminal.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Colour {
    Red,
    Green,
}

/// A fold in the log; it ends when this is dropped.
#[must_use = "the group ends when this is dropped"]
pub struct Group {
    runner: Runner,
}

/// A progress bar on a terminal, nothing anywhere else. It disappears when it is dropped.
pub struct Progress {
    bar: ProgressBar,
}

impl Runner {
    /// A runner for tests of code above: never cancelled.
    #[must_use]
    pub fn detached(env: Env, form: Form) -> Self {
        Self::new(env, form, watch::channel(None).1)
    }

    pub(crate) fn new(env: Env, form: Form, signal: watch::Receiver<Option<Signal>>) -> Self {
        let has_screen =
            std::io::stderr().is_terminal() && !env.is_actions() && env.get(env::TERM) != Some("dumb");
        let bars = MultiProgress::with_draw_target(if has_screen {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        });
        Self { inner: Arc::new(Inner { env, form, signal, bars, state: Mutex::default() }) }
    }

    /// The environment as it was at the start.
    #[must_use]
    pub fn env(&self) -> &Env {
        &self.inner.env
    }

    /// Whether `--json` was given.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.inner.form == Form::Json
    }

    /// The event that started the workflow, or the one in `file`, which is then of the kind `name` (or of the kind that
    /// its keys show). `None` where there is no event, as on a laptop: git knows then.
    ///
    /// # Errors
    /// When there is an event and it cannot be understood, or it is about something that was deleted. All are exit 2.
    pub fn event(&self, file: Option<&Path>, name: Option<&str>) -> Result<Option<Event>, EventError> {
        event::read(&self.inner.env, file, name)
    }

    /// Whether the token of the run reads only, because somebody from elsewhere asks for a pull request or Dependabot started it: then
    /// nothing can be stored, and nobody should try to.
    ///
    /// # Errors
    /// When there is an event and it cannot be understood: exit 2.
    pub fn has_read_only_token(&self) -> Result<bool, EventError> {
        event::has_read_only_token(&self.inner.env)
    }

    /// The payload of that event as GitHub wrote it, for who needs more than [`Runner::event`] knows. It is foreign.
    ///
    /// # Errors
    /// When there is a file and it cannot be read: exit 2.
    pub fn payload(&self) -> Result<Option<serde_json::Value>, EventError> {
        event::payload(&self.inner.env)
    }

    /// The time: `SHIPKIT_NOW` where that is set, else the clock. Records are ordered by it, so `SOURCE_DATE_EPOCH`,
    /// which build environments set for all that runs in them, does not move it: see [`Runner::source_date`].
    #[must_use]
    pub fn now(&self) -> Timestamp {
        // `run` has refused a time that is none before anything asked for it.
        self.inner.env.fixed_now().ok().flatten().unwrap_or_else(Timestamp::now)
    }

    /// The time that `SOURCE_DATE_EPOCH` gives to what is built, if it is set.
    ///
    /// # Errors
    /// When it is no number of seconds.
    pub fn source_date(&self) -> Result<Option<Timestamp>, EnvError> {
        self.inner.env.source_date()
    }

    /// Sets an output of the step; without `GITHUB_OUTPUT` nothing happens. Line ends around the value are cut.
    ///
    /// # Errors
    /// When the value is unfit or the file cannot be written: exit 3, because what comes after would read silence.
    pub fn output(&self, name: &'static str, value: &str) -> Result<(), OutputError> {
        let Some(path) = self.inner.env.file(env::GITHUB_OUTPUT) else {
            return Ok(());
        };
        let entry = output::entry(name, value, &output::delimiter(name)?)?;
        let mut state = self.state();
        let size = state.written.saturating_add(output::weight(value));
        if output::OUTPUT_LIMIT < size {
            return Err(OutputError::TooLarge { name, size });
        }
        output::append(env::GITHUB_OUTPUT.as_str(), &path, self.place(), &entry)?;
        state.written = size;
        Ok(())
    }

    /// Adds to the summary of the step; without `GITHUB_STEP_SUMMARY` nothing happens. What goes beyond 1 MiB is left
    /// out, and the summary says so. Foreign text in it goes through [`crate::markdown`].
    ///
    /// # Errors
    /// When the file cannot be written: exit 3.
    pub fn summary(&self, markdown: &str) -> Result<(), OutputError> {
        let Some(path) = self.inner.env.file(env::GITHUB_STEP_SUMMARY) else {
            return Ok(());
        };
        let state = self.state();
        let size = std::fs::metadata(&path).map_or(0, |file| file.len());
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        match output::fitting(size, &state.redact(markdown)) {
            Some(text) => output::append(env::GITHUB_STEP_SUMMARY.as_str(), &path, self.place(), &text),
            None => Ok(()),
        }
    }

    /// Says a remark at once and, in a step, shows it at the run as well: kept until the end, because the runner takes
    /// ten of a level only. It may hold foreign text.
    pub fn annotate(&self, annotation: Annotation) {
        self.say(&annotation.sentence());
        if self.inner.env.is_actions() {
            self.state().annotations.push(annotation);
        }
    }

    /// From now on the secret is `***` in everything that this program prints and in the log of the job. Lines of
    /// fewer than four characters are not masked.
    pub fn mask(&self, secret: &Secret) {
        for line in command::maskable(secret.reveal()) {
            if self.inner.env.is_actions() {
                self.write_stderr(&command::mask(line));
            }
            let masked = &mut self.state().masked;
            masked.push(line.to_owned());
            // As it stands inside JSON, which is quoted now and then.
            let quoted = serde_json::Value::from(line).to_string();
            masked
                .extend(quoted.get(1..quoted.len() - 1).filter(|quoted| *quoted != line).map(str::to_owned));
            // The longest first, so that one secret inside another does not leave the rest of it readable.
            masked.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        }
    }

    /// Begins a fold in the log; the runner knows no fold inside a fold.
    pub fn group(&self, title: &str) -> Group {
        let title = self.state().redact(title);
        let line = if self.inner.env.is_actions() { command::group(&title) } else { sanitize::line(&title) };
        self.write_stderr(&line);
        Group { runner: self.clone() }
    }

    /// Tells people something, on stderr. Foreign words in it are made harmless.
    pub fn say(&self, text: &str) {
        let text = sanitize::text(&self.state().redact(text));
        self.write_stderr(&text);
    }

    /// Tells how it ended: a coloured word and a sentence.
    pub(crate) fn say_outcome(&self, word: &str, cause: &str, colour: Colour) {
        let cause = sanitize::line(&self.state().redact(cause));
        let is_plain = !std::io::stderr().is_terminal()
            || self.inner.env.is_actions()
            || self.inner.env.get(env::NO_COLOR).is_some()
            || self.inner.env.get(env::TERM) == Some("dumb");
        let word = match colour {
            Colour::Red if !is_plain => format!("\u{1b}[31m{word}\u{1b}[0m"),
            Colour::Green if !is_plain => format!("\u{1b}[32m{word}\u{1b}[0m"),
            Colour::Red | Colour::Green => word.to_owned(),
        };
        let separator = if cause.is_empty() { "" } else { ": " };
        self.write_stderr(&format!("{word}{separator}{cause}"));
    }

    /// Shows foreign text to people as a quotation: its last `limit` lines.
    pub fn quote(&self, foreign: &str, limit: usize) {
        let text = sanitize::quoted(&self.state().redact(foreign), limit);
        self.write_stderr(&text);
    }

    /// Writes the data that was asked for to stdout and ends the line. In a step, JSON is written such that it stays the
    /// same JSON and holds no command, and other text is made harmless.
    pub fn data(&self, text: &str) {
        let text = text.trim_end_matches('\n');
        let is_json = |text: &str| serde_json::from_str::<serde_json::Value>(text).is_ok();
        let text = if is_json(text) || text.lines().all(is_json) {
            sanitize::json(text)
        } else if self.inner.env.is_actions() || std::io::stdout().is_terminal() {
            sanitize::text(text)
        } else {
            text.to_owned()
        };
        let written = self.inner.bars.suspend(|| {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(format!("{text}\n").as_bytes()).and_then(|()| stdout.flush())
        });
        // Whoever closed the pipe has read enough.
        if let Err(error) = written
            && error.kind() != std::io::ErrorKind::BrokenPipe
        {
            self.state().stdout_broke.get_or_insert(error);
        }
    }

    /// A progress bar over `total` steps, or without a known end. Only a terminal shows it.
    #[must_use]
    pub fn progress(&self, what: &str, total: Option<u64>) -> Progress {
        let (bar, template) = match total {
            Some(total) => (ProgressBar::new(total), "{msg} [{bar:30}] {pos}/{len}"),
            None => (ProgressBar::new_spinner(), "{spinner} {msg} {elapsed}"),
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = self.inner.bars.add(bar.with_style(style));
        bar.set_message(sanitize::line(what));
        Progress { bar }
    }

    /// Waits until somebody asks this process to end. Seven seconds later it is ended whatever it does.
    pub async fn cancelled(&self) -> Signal {
        let mut signal = self.inner.signal.clone();
        loop {
            if let Some(signal) = *signal.borrow_and_update() {
                return signal;
            }
            if signal.changed().await.is_err() {
                // Nobody is left who could ask.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Whether somebody asked this process to end.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.signal().is_some()
    }

    pub(crate) fn signal(&self) -> Option<Signal> {
        *self.inner.signal.borrow()
    }

    /// `text` with `***` for the secrets: for files, which nobody else masks.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        self.state().redact(text)
    }

    /// Writes what was kept for the end.
    pub(crate) fn flush(&self) {
        let kept = std::mem::take(&mut self.state().annotations);
        let shown: Vec<_> =
            kept.into_iter().map(|annotation| annotation.map(|text| self.redact(text))).collect();
        for command in command::annotations(&shown) {
            self.write_stderr(&command);
        }
    }

    /// Keeps the annotation in front of all others of its level, for the end.
    pub(crate) fn annotate_first(&self, annotation: Annotation) {
        if self.inner.env.is_actions() {
            self.state().annotations.insert(0, annotation);
        }
    }

    /// Why stdout did not take everything.
    pub(crate) fn take_stdout_error(&self) -> Option<std::io::Error> {
        self.state().stdout_broke.take()
    }

    /// Whether the caller is the one who ends the process: true once.
    pub(crate) fn is_mine_to_end(&self) -> bool {
        !std::mem::replace(&mut self.state().is_over, true)
    }

    fn place(&self) -> Runs {
        if self.inner.env.is_actions() { Runs::OnRunner } else { Runs::Elsewhere }
    }

    /// One line or more, and the line end, in one write. Nobody can be told when stderr is gone.
    fn write_stderr(&self, text: &str) {
        self.inner.bars.suspend(|| std::io::stderr().lock().write_all(format!("{text}\n").as_bytes()).ok());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn redact(&self, text: &str) -> String {
        self.masked.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.runner.inner.env.is_actions() {
            self.runner.write_stderr(command::END_GROUP);
        }
    }
}

impl Progress {
    /// So many steps more are done.
    pub fn advance(&self, steps: u64) {
        self.bar.inc(steps);
    }

    /// What is being done now; may be foreign text.
    pub fn now_doing(&self, what: &str) {
        self.bar.set_message(sanitize::line(what));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_inside_another_leaves_nothing_readable() {
        let runner = Runner::detached(Env::default(), Form::Text);
        runner.mask(&Secret::new("hunter"));
        runner.mask(&Secret::new("hunter2-prod\nabc"));
        assert_eq!(runner.redact("x hunter2-prod hunter abc"), "x *** *** abc");
    }

    #[test]
    fn a_secret_is_masked_inside_json_as_well() {
        let runner = Runner::detached(Env::default(), Form::Text);
        runner.mask(&Secret::new("hun\"ter\\2"));
        assert_eq!(runner.redact(r#"hun"ter\2 {"a":"hun\"ter\\2"}"#), r#"*** {"a":"***"}"#);
    }
}
