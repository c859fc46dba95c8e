//! What checks that ask about metrics must fulfil to make sense.

use serde_json::Number;

use super::check::Bounds;
use super::raw_check::RawCheck;
use super::resolve::Context;
use super::yaml::join;

/// Limits between which something is.
pub(super) fn bounds(context: &mut Context<'_>, path: &str, bounds: &Bounds) {
    let limit = |limit: &Option<Number>| limit.as_ref().and_then(Number::as_f64);
    if let (Some(over), Some(under)) = (limit(&bounds.over), limit(&bounds.under))
        && under <= over
    {
        let path = join(&join(path, "expect"), "under");
        context.wrong(&path, format!("nothing is over {over} and under {under}"), None);
    }
}

/// Limits of a query belong to a query.
pub(super) fn no_bounds(context: &mut Context<'_>, path: &str, raw: &RawCheck) {
    let bounds = raw.expect.as_ref().map(|expect| expect.bounds.clone()).unwrap_or_default();
    let Bounds { over, under, samples } = bounds;
    let path = join(path, "expect");
    let keys = [("over", over.is_some()), ("under", under.is_some()), ("samples", samples.is_some())];
    for (key, _) in keys.into_iter().filter(|(_, is_given)| *is_given) {
        context.wrong_key(&join(&path, key), format!("`{key}` belongs to `promql`"), None);
    }
}
