//! Charts as SVG. Words are not in them but beside them, as HTML: they keep their size on a phone, and can be read aloud. So a
//! picture may be stretched to whatever room there is.

use std::fmt::Write as _;
use std::time::Duration;

use shipkit_smoke::{Attempt, WatchReport};

/// How wide a picture is in its own units, and how high one with an axis is.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 200.0;
/// How high the strip of one check is.
const STRIP: f64 = 16.0;
/// The least width at which a mark can be seen.
const LEAST: f64 = 6.0;
/// How many revisions have a colour of their own.
pub(super) const COLOURS: usize = 5;

/// How long answers took, the quickest first, up to `highest`; with a line at `limit`-like percentile 95.
pub(super) fn curve(label: &str, curve: &[Duration], highest: Duration) -> String {
    let count = number(curve.len());
    let mut line = String::new();
    let mut x = 0.0;
    for (n, time) in (1_u32..).zip(curve) {
        let y = HEIGHT - share(*time, highest) * HEIGHT;
        let command = if line.is_empty() { 'M' } else { 'L' };
        // Each answer is as wide as any other, so that few are seen as well.
        write!(line, "{command}{x:.1} {y:.1}").ok();
        x = f64::from(n) * WIDTH / count;
        write!(line, "L{x:.1} {y:.1}").ok();
    }
    let mark = WIDTH * 0.95;
    let body = format!(
        "<path class=\"area\" d=\"{line}L{x:.1} {HEIGHT}L0 {HEIGHT}Z\"/><path class=\"curve\" d=\"{line}\"/>\
         <path class=\"mark\" d=\"M{mark} 0V{HEIGHT}\"/>"
    );
    svg(label, HEIGHT, "plot", &grid(&body))
}

/// When the attempts of a check took place, within `whole`: bad ones are high, good ones half as high.
pub(super) fn attempts(label: &str, attempts: &[Attempt], whole: Duration) -> String {
    let mut body = format!("<path class=\"grid\" d=\"M0 {STRIP}H{WIDTH}\"/>");
    for attempt in attempts {
        let width = (share(attempt.took, whole) * WIDTH).max(LEAST);
        let x = (share(attempt.at, whole) * WIDTH).min(WIDTH - width);
        let (class, height) = if attempt.is_good { ("good", STRIP / 2.0) } else { ("bad", STRIP) };
        let y = STRIP - height;
        write!(
            body,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{height}\"/>"
        )
        .ok();
    }
    svg(label, STRIP, "strip", &body)
}

/// What became of requests over time: answers by revision, and on top of them what failed; in front of them the longest gap.
/// Gives the picture, the most requests of one part, and how long it is.
pub(super) fn rollout(label: &str, report: &WatchReport) -> (String, u64, Duration) {
    let timeline = &report.timeline;
    let parts = u32::try_from(timeline.parts.len().max(1)).unwrap_or(u32::MAX);
    let whole = timeline.step * parts;
    let most = timeline.parts.iter().map(|part| part.answered + part.failed).max().unwrap_or(0).max(1);
    let width = WIDTH / f64::from(parts);
    let gap = (share(report.longest_gap_at, whole) * WIDTH, share(report.longest_gap, whole) * WIDTH);
    let mut body = String::new();
    for (n, part) in (0_u32..).zip(&timeline.parts) {
        let mut bottom = HEIGHT;
        let mut bar = |class: &str, count: u64| {
            if count == 0 {
                return;
            }
            let height = HEIGHT * float(count) / float(most);
            bottom -= height;
            let (x, width) = (f64::from(n) * width + width * 0.05, width * 0.9);
            let at = format!("x=\"{x:.1}\" y=\"{bottom:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"");
            write!(body, "<rect class=\"{class}\" {at}/>").ok();
        };
        let mut unnamed = part.answered;
        for (colour, seen) in report.revisions.iter().take(COLOURS).enumerate() {
            let answers = part.revisions.get(&seen.revision).copied().unwrap_or(0);
            unnamed = unnamed.saturating_sub(answers);
            bar(&format!("c{colour}"), answers);
        }
        bar("other", unnamed);
        bar("bad", part.failed);
    }
    let (x, width) = (gap.0.min(WIDTH - LEAST), gap.1.max(LEAST).min(WIDTH - gap.0));
    write!(body, "<rect class=\"gap\" x=\"{x:.1}\" y=\"0\" width=\"{width:.1}\" height=\"{HEIGHT}\"/>").ok();
    (svg(label, HEIGHT, "plot", &grid(&body)), most, whole)
}

/// Three lines across, in front.
fn grid(body: &str) -> String {
    format!("{body}<path class=\"grid\" d=\"M0 {HEIGHT}H{WIDTH}M0 {}H{WIDTH}M0 0H{WIDTH}\"/>", HEIGHT / 2.0)
}

/// A picture. `label` says in words what it shows, and is HTML already.
fn svg(label: &str, height: f64, class: &str, body: &str) -> String {
    format!(
        "<svg class=\"{class}\" role=\"img\" aria-label=\"{label}\" viewBox=\"0 0 {WIDTH} {height}\" \
         preserveAspectRatio=\"none\">{body}</svg>"
    )
}

fn share(time: Duration, whole: Duration) -> f64 {
    if whole.is_zero() { 0.0 } else { time.div_duration_f64(whole).min(1.0) }
}

fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from).max(1.0)
}

fn float(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_highest_answer_touches_the_top_and_each_is_as_wide_as_any_other() {
        let drawn = curve("two", &[ms(50), ms(100)], ms(100));
        let line = "<path class=\"curve\" d=\"M0.0 100.0L500.0 100.0L500.0 0.0L1000.0 0.0\"/>";
        assert!(drawn.contains(line), "{drawn}");
    }

    #[test]
    fn attempts_stand_where_they_took_place_and_short_ones_can_be_seen() {
        let attempt =
            |at, took, is_good| Attempt { at: ms(at), took: ms(took), is_good, seen: String::new() };
        let drawn = attempts("x", &[attempt(0, 0, false), attempt(500, 500, true)], ms(1000));
        let bad = "<rect class=\"bad\" x=\"0.0\" y=\"0\" width=\"6.0\" height=\"16\"/>";
        let good = "<rect class=\"good\" x=\"500.0\" y=\"8\" width=\"500.0\" height=\"8\"/>";
        assert!(drawn.contains(&format!("{bad}{good}")), "{drawn}");
        assert!(attempts("x", &[attempt(0, 0, true)], ms(0)).contains("width=\"6.0\""));
    }
}
