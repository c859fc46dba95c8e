//! Inputs of an action become command-line options, so that a terminal, a container action and act share one path.
//!
//! `INPUT_BLOCK-AT=high` is `--block-at=high`, `INPUT_COMMAND=plan` is the subcommand `plan`, and an input named like a
//! positional argument is that argument. The runner sets every declared input, to the empty text where the user gave
//! none: empty is not given. An option on the real command line wins over the input of the same name.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use clap::builder::ArgAction;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use shipkit_core::exit::ExitCode;
use shipkit_core::{Hint, Secret};

use crate::env::Env;
use crate::failure::Failure;

/// A text input whose surrounding white space counts, like a separator. A blank is a value; the empty text is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verbatim(pub String);

impl From<&str> for Verbatim {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// An input that cannot be given to the program.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// No argument has this name.
    #[error("unknown input `{name}`")]
    Unknown {
        /// The input.
        name: String,
        /// The known one with the nearest name.
        nearest: Option<String>,
        /// The subcommands that do have it.
        commands: Vec<String>,
    },
    /// `command` names no subcommand.
    #[error("the input `command` names no command: `{given}`")]
    UnknownCommand {
        /// What it names.
        given: String,
        /// What it could name.
        known: Vec<String>,
    },
    /// Inputs without a subcommand to give them to.
    #[error("the input `command` is missing")]
    NoCommand {
        /// What it could name.
        known: Vec<String>,
    },
    /// A switch that is neither on nor off.
    #[error("the input `{0}` is neither `true` nor `false`")]
    NotASwitch(String),
    /// An argument that needs another before it.
    #[error("the input `{name}` needs the input `{before}`")]
    Gap {
        /// The input that was given.
        name: String,
        /// The input that was not.
        before: String,
    },
    /// `args` or `entrypoint`: GitHub takes these for its own, and act lets them replace what the action says.
    #[error("the input `{0}` is not for this action: it would replace the action's own command line")]
    Reserved(&'static str),
}

impl Hint for InputError {
    fn hint(&self) -> Option<String> {
        let one_of = |known: &[String]| format!("it is one of {}", listed(known));
        match self {
            Self::Unknown { commands, name, .. } if !commands.is_empty() => {
                Some(format!("`{name}` belongs to the command {}", listed(commands)))
            }
            Self::Unknown { nearest, .. } => {
                nearest.as_ref().map(|nearest| format!("did you mean `{nearest}`?"))
            }
            Self::UnknownCommand { known, .. } | Self::NoCommand { known } => Some(one_of(known)),
            Self::NotASwitch(_) | Self::Gap { .. } => None,
            Self::Reserved(_) => Some("give every option as an input of its own".to_owned()),
        }
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}

/// What reading the command line gave.
pub(crate) enum Read {
    /// Arguments to act on.
    Act(ArgMatches),
    /// The text of `--help` or `--version`, which was asked for.
    Show(String),
}

/// Reads inputs and real arguments (the first is the program's name) for this command. A step that names no subcommand
/// means the one called `default`.
pub(crate) fn read(
    env: &Env,
    command: &Command,
    real: Vec<OsString>,
    default: Option<&str>,
) -> Result<Read, Failure> {
    let merged = merge(env, command, real, default)?;
    match command.clone().try_get_matches_from(merged.argv) {
        Ok(matches) => Ok(Read::Act(matches)),
        Err(error) if !error.use_stderr() => Ok(Read::Show(error.render().to_string())),
        Err(error) => Err(usage(command, &error, &merged.secrets)),
    }
}

/// The command line with the inputs in it, and every value in it that no error may show.
struct Merged {
    argv: Vec<OsString>,
    secrets: Vec<String>,
}

/// The command line that says the same as inputs and real arguments together.
fn merge(
    env: &Env,
    command: &Command,
    mut real: Vec<OsString>,
    default: Option<&str>,
) -> Result<Merged, InputError> {
    let mut inputs: BTreeMap<String, &str> = env.inputs().collect();
    let mut built = command.clone();
    built.build();
    for name in ["args", "entrypoint"] {
        if inputs.contains_key(name) {
            return Err(InputError::Reserved(name));
        }
    }
    let mut seen = glance(command, &real);
    if built.has_subcommands() {
        let given = inputs.remove("command").or_else(|| default.filter(|_| env.is_actions()));
        if subcommand(&seen).is_none()
            && let Some(given) = given
        {
            let found = subcommands(&built).find(|sub| sub.get_name() == given);
            let unknown =
                || InputError::UnknownCommand { given: given.to_owned(), known: names(subcommands(&built)) };
            real.insert(1.min(real.len()), found.ok_or_else(unknown)?.get_name().into());
            seen = glance(command, &real);
        }
    }
    let chosen = subcommand(&seen).and_then(|(name, _)| built.find_subcommand(name));
    let given = subcommand(&seen).map_or(&seen, |(_, matches)| matches);
    if chosen.is_none() && built.is_subcommand_required_set() && !inputs.is_empty() {
        return Err(InputError::NoCommand { known: names(subcommands(&built)) });
    }
    let target = chosen.unwrap_or(&built);
    for arg in arguments(target).filter(|arg| is_verbatim(arg)) {
        let name = called(arg);
        if let Some(value) = env.verbatim(&name).filter(|value| !value.is_empty()) {
            inputs.insert(name, value);
        }
    }
    let translated = translate(&inputs, &built, target, given)?;
    let mut secrets = translated.secrets;
    secrets.extend(secrets_in(target, given));
    // Options go right behind the subcommand, before the real ones; positional arguments to the end.
    let at = chosen.and_then(|sub| real.iter().position(|word| is_name_of(sub, word))).unwrap_or(0);
    let has_dashes = real.iter().any(|word| word == "--");
    let mut argv = real;
    let behind = argv.split_off((at + 1).min(argv.len()));
    argv.extend(translated.options.into_iter().map(OsString::from));
    argv.extend(behind);
    if !translated.positionals.is_empty() && !has_dashes {
        argv.push("--".into());
    }
    argv.extend(translated.positionals.into_iter().map(OsString::from));
    Ok(Merged { argv, secrets })
}

/// What can be seen in the real arguments while the inputs are still missing.
fn glance(command: &Command, real: &[OsString]) -> ArgMatches {
    command.clone().ignore_errors(true).try_get_matches_from(real).unwrap_or_default()
}

/// The subcommand that was chosen.
fn subcommand(seen: &ArgMatches) -> Option<(&str, &ArgMatches)> {
    seen.subcommand()
}

/// The words for the command line that the inputs mean.
#[derive(Default)]
struct Translated {
    options: Vec<String>,
    positionals: Vec<String>,
    secrets: Vec<String>,
}

fn translate(
    inputs: &BTreeMap<String, &str>,
    root: &Command,
    target: &Command,
    given: &ArgMatches,
) -> Result<Translated, InputError> {
    let mut translated = Translated::default();
    for (name, value) in inputs {
        let arg =
            arguments(target).find(|arg| is_called(arg, name)).ok_or_else(|| unknown(name, root, target))?;
        if is_secret(arg) {
            translated.secrets.push((*value).to_owned());
        }
        if !arg.is_positional() && !is_given(given, arg) {
            translated.options.extend(option(arg, name, value)?);
        }
    }
    let mut gap = None;
    for arg in arguments(target).filter(|arg| arg.is_positional()) {
        let input = inputs.iter().find(|(name, _)| is_called(arg, name));
        match (input, &gap) {
            _ if is_given(given, arg) => {}
            (None, _) => gap = Some(called(arg)),
            (Some((name, _)), Some(before)) => {
                return Err(InputError::Gap { name: name.clone(), before: before.clone() });
            }
            (Some((_, value)), None) => translated.positionals.extend(values(arg, value)),
        }
    }
    Ok(translated)
}

/// The words for one option.
fn option(arg: &Arg, name: &str, value: &str) -> Result<Vec<String>, InputError> {
    let long = called(arg);
    if arg.get_action().takes_values() {
        return Ok(values(arg, value).map(|value| format!("--{long}={value}")).collect());
    }
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(vec![format!("--{long}")]),
        "false" => Ok(Vec::new()),
        _ => Err(InputError::NotASwitch(name.to_owned())),
    }
}

/// The values of an input: one per line where the argument takes several.
fn values<'a>(arg: &Arg, value: &'a str) -> impl Iterator<Item = String> + use<'a> {
    let is_list = matches!(arg.get_action(), ArgAction::Append);
    let lines = value.lines().map(str::trim).filter(|line| !line.is_empty());
    let list = lines.map(str::to_owned).filter(move |_| is_list);
    let single = (!is_list).then(|| value.to_owned());
    single.into_iter().chain(list)
}

/// The arguments that an input can be; help and version are none.
fn arguments(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| {
        !matches!(
            arg.get_action(),
            ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
        )
    })
}

/// The subcommands that we declared; clap adds `help`.
fn subcommands(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| sub.get_name() != "help")
}

/// How an input calls this argument.
fn called(arg: &Arg) -> String {
    arg.get_long().map_or_else(|| arg.get_id().as_str().to_lowercase().replace('_', "-"), str::to_owned)
}

fn is_called(arg: &Arg, input: &str) -> bool {
    called(arg) == input || arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&input))
}

fn is_given(given: &ArgMatches, arg: &Arg) -> bool {
    let id = arg.get_id().as_str();
    given.try_contains_id(id).is_ok() && given.value_source(id) == Some(ValueSource::CommandLine)
}

fn is_name_of(command: &Command, word: &OsStr) -> bool {
    word == command.get_name() || command.get_all_aliases().any(|alias| word == alias)
}

/// Whether the argument is declared as a [`Secret`].
fn is_secret(arg: &Arg) -> bool {
    arg.get_value_parser().type_id() == TypeId::of::<Secret>()
}

/// Whether the argument is declared as [`Verbatim`].
fn is_verbatim(arg: &Arg) -> bool {
    arg.get_value_parser().type_id() == TypeId::of::<Verbatim>()
}

/// The secrets that stand on the real command line.
fn secrets_in<'a>(command: &'a Command, given: &'a ArgMatches) -> impl Iterator<Item = String> + 'a {
    arguments(command).filter(|arg| is_secret(arg)).flat_map(|arg| {
        let all = given.try_get_many::<Secret>(arg.get_id().as_str()).ok().flatten();
        all.into_iter().flatten().map(|secret| secret.reveal().to_owned())
    })
}

fn unknown(name: &str, root: &Command, target: &Command) -> InputError {
    let known = arguments(target).map(called).chain(root.has_subcommands().then(|| "command".to_owned()));
    let near = known.map(|known| (strsim::jaro_winkler(name, &known), known));
    let nearest =
        near.filter(|(score, _)| 0.8 < *score).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known);
    let owners = subcommands(root).filter(|sub| arguments(sub).any(|arg| is_called(arg, name)));
    InputError::Unknown { name: name.to_owned(), nearest, commands: names(owners) }
}

fn names<'a>(commands: impl Iterator<Item = &'a Command>) -> Vec<String> {
    commands.map(|command| command.get_name().to_owned()).collect()
}

fn listed(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// clap's error in our form: its first paragraph is the message, its tip the hint.
fn usage(command: &Command, error: &clap::Error, secrets: &[String]) -> Failure {
    let mut text = error.render().to_string();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret.as_str(), "***");
    }
    let program = command.get_name();
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let known = names(subcommands(command).filter(|sub| !sub.is_hide_set()));
        let hint = if known.is_empty() { None } else { Some(format!("it is one of {}", listed(&known))) };
        return Failure::usage(format!("`{program}` needs to be told what to do"))
            .with_hint(hint.unwrap_or_else(|| see_help(program)));
    }
    let mut paragraphs = text.split("\n\n");
    let message = paragraphs.next().unwrap_or_default();
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let message = message.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    let tips: Vec<&str> =
        text.lines().filter_map(|line| line.trim_start().strip_prefix("tip: ")).map(str::trim).collect();
    let hint = if tips.is_empty() { see_help(program) } else { tips.join("; ") };
    Failure::usage(message.trim_end()).with_hint(hint)
}

fn see_help(program: &str) -> String {
    format!("`{program} --help` lists what there is")
}
