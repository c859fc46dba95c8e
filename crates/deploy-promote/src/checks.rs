//! What the verification asks: readiness first, then the checks of the environment.

use shipkit_core::Release;
use shipkit_runner::Failure;
use shipkit_smoke::{Check, Options, Prometheus, Shipped, configured, ready_paths, validate};
use url::Url;

use crate::project::Project;

/// The address and the checks; `None` where the environment has no `url`. Kinds that this version cannot run are an
/// error before anything is deployed.
pub(crate) fn of(project: &Project<'_>, release: &Release) -> Result<Option<(Url, Vec<Check>)>, Failure> {
    let environment = &project.environment;
    let configured = configured(&environment.smoke, &Shipped::Release(release))?;
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
