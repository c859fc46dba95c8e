//! `run`: the whole of a program's main, and the only place that prints an error.

use clap::Parser;
use shipkit_core::exit::ExitCode;
use shipkit_core::{Outcome, Verdict};
use tokio::sync::{mpsc, watch};

use crate::argv::{self, Read};
use crate::command::{Annotation, Level};
use crate::env::Env;
use crate::failure::Failure;
use crate::log;
use crate::output::OutputError;
use crate::runner::{Colour, Form, Runner};
use crate::sanitize;
use crate::signal::{self, Signal};

/// Reads environment, inputs and arguments, acts, tells how it ended, and gives the exit code for `main`.
///
/// The outputs `verdict` and `cause` are always written. A failure has the verdict `fail` only where it means exit 1; any
/// other is `inconclusive`, because nothing was found out. After SIGINT or SIGTERM the exit code is 130 or 143 whatever
/// `act` returned, and what would have been `pass` is `inconclusive`. If an output cannot be written, the exit code is 3.
pub fn run<A, F>(act: impl FnOnce(A, Runner) -> F) -> std::process::ExitCode
where
    A: Parser,
    F: Future<Output = Result<Outcome, Failure>>,
{
    of_process(None, act)
}

/// The same for an action whose input `command` may be missing: then the step means the subcommand `default`. On a
/// terminal a subcommand has to be named.
pub fn run_with_default<A, F>(default: &str, act: impl FnOnce(A, Runner) -> F) -> std::process::ExitCode
where
    A: Parser,
    F: Future<Output = Result<Outcome, Failure>>,
{
    of_process(Some(default), act)
}

fn of_process<A, F>(default: Option<&str>, act: impl FnOnce(A, Runner) -> F) -> std::process::ExitCode
where
    A: Parser,
    F: Future<Output = Result<Outcome, Failure>>,
{
    let env = Env::of_process();
    let command = A::command();
    let read = argv::read(&env, &command, std::env::args_os().collect(), default);
    std::process::ExitCode::from(whole(env, &command, read, act).code())
}

fn whole<A, F>(
    env: Env,
    command: &clap::Command,
    read: Result<Read, Failure>,
    act: impl FnOnce(A, Runner) -> F,
) -> ExitCode
where
    A: Parser,
    F: Future<Output = Result<Outcome, Failure>>,
{
    let program = command.get_name().to_owned();
    let refuse = |env: &Env, failure: Failure| {
        let runner = Runner::detached(env.clone(), Form::Text);
        conclude(&runner, &program, Err(failure))
    };
    let (arguments, form) = match prepare::<A>(&env, read) {
        Ok(Prepared::Act(arguments, form)) => (arguments, form),
        Ok(Prepared::Show(text)) => {
            let runner = Runner::detached(Env::default(), Form::Text);
            runner.data(&text);
            return ExitCode::Yes;
        }
        Err(failure) => return refuse(&env, failure),
    };
    let started = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = match started {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&env, Failure::unknown(error).context("the process could not start")),
    };
    let signals = {
        let _inside = runtime.enter();
        signal::listen()
    };
    let signals = match signals {
        Ok(signals) => signals,
        Err(error) => return refuse(&env, Failure::unknown(error).context("signals cannot be received")),
    };
    let (sender, receiver) = watch::channel(None);
    let runner = Runner::new(env, form, receiver);
    runtime.spawn(end_in_time(runner.clone(), program.clone(), signals, sender));
    let ended = runtime.block_on(act(arguments, runner.clone()));
    let exit = if runner.is_mine_to_end() {
        conclude(&runner, &program, ended)
    } else {
        // Time is up and the other task ends the process at any moment.
        runtime.block_on(std::future::pending())
    };
    // What still runs on its threads must not hold up the end.
    runtime.shutdown_background();
    exit
}

/// What there is to do.
enum Prepared<A> {
    Act(A, Form),
    Show(String),
}

fn prepare<A: Parser>(env: &Env, read: Result<Read, Failure>) -> Result<Prepared<A>, Failure> {
    let mut matches = match read? {
        Read::Act(matches) => matches,
        Read::Show(text) => return Ok(Prepared::Show(text)),
    };
    log::start(env)?;
    env.fixed_now()?;
    let form = if is_json(&matches) { Form::Json } else { Form::Text };
    match A::from_arg_matches_mut(&mut matches) {
        Ok(arguments) => Ok(Prepared::Act(arguments, form)),
        Err(error) => Err(Failure::usage(error.to_string().trim_end())),
    }
}

/// Whether `--json` was given, before or behind the subcommand.
fn is_json(matches: &clap::ArgMatches) -> bool {
    matches.try_get_one::<bool>("json").ok().flatten().is_some_and(|json| *json)
        || matches.subcommand().is_some_and(|(_, inner)| is_json(inner))
}

/// Ends the process when it was asked to end and did not do so in time, even while `act` blocks its thread.
async fn end_in_time(
    runner: Runner,
    program: String,
    mut signals: mpsc::UnboundedReceiver<Signal>,
    sender: watch::Sender<Option<Signal>>,
) {
    let first = |signal| {
        sender.send_replace(Some(signal));
    };
    let must_end = signal::must_end(&mut signals, first).await;
    if must_end.is_none() || !runner.is_mine_to_end() {
        return;
    }
    let unfinished = Failure::unknown("it did not finish in time, and was ended as it was");
    let exit = conclude(&runner, &program, Err(unfinished));
    #[expect(
        clippy::exit,
        reason = "the main thread may be blocked: this is the last resort against a hang"
    )]
    std::process::exit(i32::from(exit.code()));
}

/// How a process ends.
#[derive(Debug, PartialEq, Eq)]
struct End {
    verdict: Verdict,
    /// One line, harmless.
    cause: String,
    hint: Option<String>,
    exit: ExitCode,
    /// What the line for people begins with.
    word: &'static str,
}

/// What the end means.
fn end(ended: Result<Outcome, Failure>, signal: Option<Signal>) -> End {
    let mut end = match ended {
        Ok(outcome) => End {
            verdict: outcome.verdict,
            cause: sanitize::line(&outcome.cause),
            hint: None,
            exit: outcome.verdict.exit_code(),
            word: outcome.verdict.word(),
        },
        Err(failure) => End {
            verdict: if failure.exit == ExitCode::No { Verdict::Fail } else { Verdict::Inconclusive },
            cause: sanitize::line(&failure.sentence()),
            hint: failure.hint.clone(),
            exit: failure.exit,
            word: "error",
        },
    };
    if let Some(signal) = signal {
        end.exit = signal.exit_code();
        end.cause = format!("cancelled by {}: {}", signal.name(), end.cause);
        end.word = "error";
        if end.verdict != Verdict::Fail {
            end.verdict = Verdict::Inconclusive;
        }
    }
    end
}

/// Says how it ended, to people, to GitHub and to the steps that come after.
fn conclude(runner: &Runner, program: &str, ended: Result<Outcome, Failure>) -> ExitCode {
    let mut end = end(ended, runner.signal());
    end.cause = runner.redact(&end.cause);
    tell(runner, program, &end);
    let handed_over = hand_over(runner, &end);
    let broken = runner
        .take_stdout_error()
        .map(|error| Failure::unknown(error).context("standard output did not take everything"));
    let late = handed_over.err().map(Failure::from).or(broken);
    if let Some(failure) = late {
        let worse = self::end(Err(failure), runner.signal());
        tell(runner, program, &worse);
        end.exit = worse.exit;
    }
    runner.flush();
    end.exit
}

/// Prints the one line (and the hint) for people, and keeps the same for GitHub's page where the step turns red.
fn tell(runner: &Runner, program: &str, end: &End) {
    let is_red = end.exit != ExitCode::Yes;
    runner.say_outcome(end.word, &end.cause, if is_red { Colour::Red } else { Colour::Green });
    if let Some(hint) = &end.hint {
        runner.say(&format!("hint: {hint}"));
    }
    if is_red {
        let message = match &end.hint {
            Some(hint) => format!("{}\nhint: {hint}", end.cause),
            None => end.cause.clone(),
        };
        runner.annotate_first(Annotation::new(Level::Error, format!("{program}: {}", end.word), message));
    }
}

fn hand_over(runner: &Runner, end: &End) -> Result<(), OutputError> {
    runner.output("verdict", end.verdict.word())?;
    runner.output("cause", &end.cause)
}
