//! What checks that ask about metrics or measure themselves must fulfil to make sense.

use std::ops::RangeInclusive;

use serde_json::Number;

use super::check::{Bounds, Check, CheckKind, Exposition};
use super::raw_check::RawCheck;
use super::resolve::Context;
use super::rules::is_address;
use super::units::BasisPoints;
use super::yaml::join;

/// Which shares of errors a measurement can show: with none of 300 requests it may be 1 %.
const ERRORS: RangeInclusive<BasisPoints> = BasisPoints(100)..=BasisPoints(5_000);

/// Limits between which something is, something to compare, and an address to ask.
pub(super) fn check(context: &mut Context<'_>, path: &str, check: &Check) {
    let limit = |limit: &Option<Number>| limit.as_ref().and_then(Number::as_f64);
    let Bounds { over, under, samples: _ } = &check.expect.bounds;
    if let (Some(over), Some(under)) = (limit(over), limit(under))
        && under <= over
    {
        let path = join(&join(path, "expect"), "under");
        context.wrong(&path, format!("nothing is over {over} and under {under}"), None);
    }
    if let Some(factor) = &check.expect.max_regress {
        let path = join(&join(path, "expect"), "max_regress");
        if check.expect.p95.is_none() {
            context.wrong_key(
                &path,
                "nothing is compared without `p95`",
                Some("give a limit that holds in any case"),
            );
        } else if factor.as_f64().is_none_or(|factor| factor < 1.0) {
            context.wrong(&path, format!("`{factor}` is less than 1"), None);
        }
    }
    if let Some(errors) = check.expect.errors
        && !ERRORS.contains(&errors)
    {
        let path = join(&join(path, "expect"), "errors");
        let hint = Some("give `1%` to `50%`: some hundred requests cannot show less");
        context.wrong(&path, "this share cannot be shown".to_owned(), hint);
    }
    if let CheckKind::Metrics(Exposition { by: Some(by), grows, .. }) = &check.kind {
        let path = join(path, "by");
        if grows.is_empty() {
            context.wrong_key(&path, "nothing is said to grow by it", Some("say it with `grows`"));
        } else if !is_address(by) {
            let hint = Some("write a path (`/health`) or `https://...`");
            context.wrong(&path, format!("`{by}` cannot be asked"), hint);
        }
    }
}

/// What means something to one kind alone.
pub(super) fn belongs(context: &mut Context<'_>, path: &str, raw: &RawCheck, kind: &str) {
    let bounds = raw.expect.as_ref().map(|expect| expect.bounds.clone()).unwrap_or_default();
    let Bounds { over, under, samples } = bounds;
    let keys = [
        ("series", raw.series.is_some(), "metrics"),
        ("grows", raw.grows.is_some(), "metrics"),
        ("by", raw.by.is_some(), "metrics"),
        ("expect.over", over.is_some(), "promql"),
        ("expect.under", under.is_some(), "promql"),
        ("expect.samples", samples.is_some(), "promql"),
    ];
    for (key, _, wanted) in keys.into_iter().filter(|(_, is_given, wanted)| *is_given && *wanted != kind) {
        let name = key.rsplit('.').next().unwrap_or(key);
        context.wrong_key(&join(path, key), format!("`{name}` belongs to `{wanted}`"), None);
    }
}
