//! What the verification asks: readiness first, then the checks of the environment.

use shipkit_core::{ProjectPath, Release};
use shipkit_runner::{Failure, Runner};
use shipkit_smoke::{Check, Given, Options, Prometheus, Shipped, configured, ready_paths, validate};
use url::Url;

use crate::project::Project;

/// The address and the checks; `None` where the environment has no `url`. Kinds that this version cannot run are an
/// error before anything is deployed.
pub(crate) fn of(
    project: &Project<'_>,
    release: &Release,
    runner: &Runner,
) -> Result<Option<(Url, Vec<Check>)>, Failure> {
    let environment = &project.environment;
    let variables = |name: &str| project.given(name, runner);
    let files = |file: &ProjectPath| std::fs::read(project.folder().join(file.as_str()));
    let given = Given { shipped: Shipped::Release(release), variables: &variables, files: &files };
    let configured = configured(&environment.smoke, &given)?;
    let key = format!("environments.{}", environment.name);
    let Some(address) = &environment.url else {
        return if configured.is_empty() {
            Ok(None)
        } else {
            Err(Failure::usage(format!(
                "`{key}.smoke` has checks, but `{key}.url` does not say where to ask"
            )))
        };
    };
    let url = address.parse();
    let url =
        url.map_err(|error| Failure::usage(format!("`{key}.url`: `{address}` is no address: {error}")))?;
    let ready = Check::ready(ready_paths(&project.config));
    let checks: Vec<_> = std::iter::once(ready).chain(configured).collect();
    let prometheus = Prometheus::of(environment.analysis.as_ref())?;
    validate(&url, &checks, &Options { prometheus, ..Options::default() })?;
    Ok(Some((url, checks)))
}
