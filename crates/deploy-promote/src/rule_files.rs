//! `target.rule_files`: what Prometheus would refuse is found before the deploy that brings it.

use shipkit_core::config::check_rule_file;
use shipkit_runner::Failure;

use crate::compose::folder;
use crate::problems::Problems;
use crate::project::Project;

/// Notes every rule file that cannot be read or that Prometheus would refuse.
pub(crate) fn check(project: &Project<'_>, problems: &mut Problems) {
    let files = &project.environment.target.rule_files;
    if files.is_empty() {
        return;
    }
    let Some(folder) = problems.note(folder(project)) else { return };
    for file in files {
        let read = std::fs::read_to_string(folder.join(file.as_str()));
        let checked = read
            .map_err(|error| {
                Failure::usage(format!("the rule file `{file}` cannot be read: {error}"))
                    .with_hint("`target.rule_files` are in the folder of shipkit.yml")
            })
            .and_then(|text| Ok(check_rule_file(file.as_str(), &text)?));
        problems.note(checked);
    }
}
