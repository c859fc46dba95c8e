//! What runs once for a release before it is rolled out: `backup` as a Job, and `migrate`.

use super::environment::origin;
use super::raw::{RawBackup, RawMigrate};
use super::resolve::Context;
use super::yaml::join;
use crate::reference::{BadName, ImageRef};

/// A Job that backs data up before anything changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupJob {
    /// The service from whose pods it is made.
    pub service: String,
    /// The command, word by word: no shell reads it.
    pub command: Vec<String>,
    /// Its image; `None` for the new one of the service.
    pub image: Option<ImageRef>,
}

/// What migrates the database before the rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrate {
    /// The service whose new image runs the command.
    pub service: String,
    /// The command, word by word: no shell reads it.
    pub command: Vec<String>,
    /// Whether the release before still works afterwards. If not, a rollback holds and says so.
    pub compatible: bool,
}

pub(super) fn backup_job(context: &mut Context<'_>, name: &str, raw: &RawBackup) -> Option<BackupJob> {
    let path = origin(context, name, "backup");
    let (Some(service), Some(command)) = (&raw.service, &raw.command) else {
        let given = [
            ("service", raw.service.is_some()),
            ("command", raw.command.is_some()),
            ("image", raw.image.is_some()),
        ];
        if let Some((key, _)) = given.iter().find(|(_, is_given)| *is_given) {
            let hint = Some("a Job has both; commands on the machine that deploys have `run`");
            context.wrong_key(&join(&path, key), "`service` and `command` belong together", hint);
        }
        return None;
    };
    if raw.run.is_some() {
        let hint = Some("keep one of them");
        context.wrong_key(&join(&path, "run"), "both `run` and `service` are given", hint);
    }
    let command = words(context, &join(&path, "command"), command);
    let image = raw.image.as_ref().and_then(|text| {
        text.parse()
            .map_err(|error: BadName| context.wrong(&join(&path, "image"), error.to_string(), None))
            .ok()
    });
    Some(BackupJob { service: service.clone(), command, image })
}

pub(super) fn migrate(context: &mut Context<'_>, name: &str, raw: &RawMigrate) -> Migrate {
    let path = join(&origin(context, name, "migrate"), "command");
    let command = words(context, &path, &raw.command);
    Migrate { service: raw.service.clone(), command, compatible: raw.compatible.unwrap_or(true) }
}

/// The words of a command that no shell reads.
fn words(context: &mut Context<'_>, path: &str, command: &str) -> Vec<String> {
    let words = shlex::split(command).unwrap_or_default();
    if words.is_empty() {
        let hint = Some("words are parted by spaces; quotes come in pairs");
        context.wrong(path, format!("`{command}` is not a command"), hint);
    }
    words
}
