//! A small program over `shipkit_runner::run`, for the transcript tests: it does what its arguments say.

use std::process::ExitCode;

use shipkit_core::{Outcome, Secret};
use shipkit_runner::{Annotation, CommonArgs, Failure, Level, Runner};

#[derive(clap::Parser)]
#[command(name = "probe", version = "1.2.3", subcommand_required = true, arg_required_else_help = true)]
struct Args {
    #[command(flatten)]
    common: CommonArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Ends with this verdict.
    End(End),
    /// Shows what was given.
    Show(Show),
    /// Says hostile things in every way there is.
    Hostile {
        /// The text.
        text: String,
    },
    /// Waits for a signal.
    Wait {
        /// Whether a signal is ignored, and the main thread blocked for ever.
        #[arg(long)]
        stubborn: bool,
    },
    /// Shows the event.
    Event,
}

#[derive(clap::Args)]
struct End {
    /// The verdict, or `usage` or `unknown` for a failure.
    #[arg(long)]
    verdict: String,
    /// The cause.
    #[arg(long, default_value = "because")]
    cause: String,
}

#[derive(clap::Args)]
struct Show {
    /// What to look at.
    image_name: Option<String>,
    /// A number.
    #[arg(long)]
    block_at: Option<u8>,
    /// Several.
    #[arg(long)]
    tag: Vec<String>,
    /// A switch.
    #[arg(long)]
    dry_run: bool,
    /// A secret.
    #[arg(long)]
    token: Option<Secret>,
}

fn main() -> ExitCode {
    shipkit_runner::run(act)
}

async fn act(args: Args, runner: Runner) -> Result<Outcome, Failure> {
    match args.command {
        Command::End(End { verdict, cause }) => match verdict.as_str() {
            "usage" => Err(Failure::usage(cause).with_hint("ask better")),
            "unknown" => Err(Failure::unknown(cause).context("looking")),
            other => Ok(Outcome { verdict: other.parse().map_err(Failure::usage)?, cause }),
        },
        Command::Show(show) => {
            runner.data(&format!(
                "json={} image={:?} block-at={:?} tag={:?} dry-run={} token={:?}",
                args.common.json && runner.is_json(),
                show.image_name,
                show.block_at,
                show.tag,
                show.dry_run,
                show.token
            ));
            Ok(Outcome::pass(""))
        }
        Command::Hostile { text } => {
            runner.mask(&Secret::new("hunter2"));
            let group = runner.group(&text);
            runner.say(&text);
            runner.quote(&text, 10);
            drop(group);
            runner.annotate(Annotation::new(Level::Warning, &text, &text).at(&text, Some(1)));
            runner.data(&text);
            if !text.is_empty() {
                runner.output("echo", &text)?;
            }
            runner.summary(&shipkit_runner::markdown::text(&text))?;
            runner.progress(&text, Some(2)).advance(1);
            Ok(Outcome::fail(text))
        }
        Command::Wait { stubborn } => {
            runner.say("waiting");
            let signal = runner.cancelled().await;
            runner.say(&format!("got {}", signal.name()));
            if stubborn {
                loop {
                    std::thread::park();
                }
            }
            Ok(Outcome::pass("release 1 still serves"))
        }
        Command::Event => match runner.event(None, None)? {
            Some(event) => Ok(Outcome::pass(format!("{} {}", event.trigger.git_ref(), event.commit))),
            None => Ok(Outcome::skipped("no event")),
        },
    }
}
