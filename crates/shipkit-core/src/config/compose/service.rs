//! A service besides its `build`.

use serde_json::{Map, Value};

use super::{Because, OTHER_WAYS, Translator, When, has_profile};
use crate::config::yaml::join;

/// Keys that mean something on one machine only, or to whoever works on the service.
const QUIET: [&str; 7] =
    ["container_name", "develop", "attach", "pull_policy", "stdin_open", "tty", "profiles"];
/// Keys of `deploy` that are ours, too.
const DEPLOY: [&str; 4] = ["replicas", "update_config", "resources", "endpoint_mode"];
const UPDATE: [&str; 5] = ["parallelism", "delay", "order", "failure_action", "monitor"];
const HEALTHCHECK: [&str; 5] = ["test", "interval", "timeout", "start_period", "retries"];

impl Translator<'_> {
    /// The service in our words.
    pub(super) fn service(&mut self, name: &str, value: &Value) -> Value {
        let path = join("services", name);
        let Value::Object(entries) = value else { return value.clone() };
        let is_built = entries.get("build").is_some_and(|build| !build.is_null());
        let mut service = Map::new();
        for (key, value) in entries.iter().filter(|(_, value)| !value.is_null()) {
            let at = join(&path, key);
            let taken = match key.as_str() {
                "build" => Some(self.build(name, &at, value)),
                // Where our own images go is said by `registry`; for `platform` see below.
                "image" | "platform" if is_built => None,
                // Empty is an image that is not wanted now.
                "image" => Some(self.filled(&at, value, When::Run).unwrap_or_else(|| "".into())),
                "environment" => Some(self.variables(&at, value, &[])),
                "depends_on" => Some(self.depends_on(name, &at, value)),
                "healthcheck" => Some(self.healthcheck(name, &at, value)),
                "deploy" => Some(self.deploy(name, &at, value)),
                "volumes" => self.volumes(name, &at, value, is_built),
                "secrets" => Some(self.secrets(name, &at, value)),
                "stop_grace_period" => self.span(&at, value),
                "extends" => {
                    self.refuse(&at, "services that extend others are not understood", OTHER_WAYS);
                    None
                }
                "command" | "entrypoint" => {
                    self.leave(name, key, Because::Essence);
                    None
                }
                key if key.starts_with("x-") || QUIET.contains(&key) => None,
                key => {
                    self.leave(name, key, Because::Run);
                    None
                }
            };
            service.extend(taken.map(|value| (key.clone(), value)));
        }
        self.platform(&path, entries, &mut service);
        if !is_built && service.contains_key("image") {
            // Nobody can tell from outside which images hold data, and data is not replaced.
            service.insert("stateful".to_owned(), true.into());
        }
        Value::Object(service)
    }

    /// Compose builds for the platform that the service runs on, unless `build` names others.
    fn platform(&mut self, path: &str, entries: &Map<String, Value>, service: &mut Map<String, Value>) {
        let at = join(path, "platform");
        let Some(Value::Object(build)) = service.get_mut("build") else { return };
        let names_others = build.get("platforms").is_some_and(|platforms| *platforms != Value::Array(vec![]));
        let Some(platform) = entries.get("platform").filter(|_| !names_others) else { return };
        if let Some(platform) = self.filled(&at, platform, When::Build).filter(|platform| !platform.is_null())
        {
            self.moved(&format!("{path}.build.platforms[0]"), &at);
            build.insert("platforms".to_owned(), Value::Array(vec![platform]));
        }
    }

    fn depends_on(&mut self, name: &str, path: &str, value: &Value) -> Value {
        let entries: Vec<(String, String, &Value)> = match value {
            Value::Object(entries) => {
                entries.iter().map(|(other, how)| (other.clone(), join(path, other), how)).collect()
            }
            Value::Array(entries) if entries.iter().all(Value::is_string) => {
                let others = entries.iter().enumerate().filter_map(|(index, other)| {
                    Some((other.as_str()?.to_owned(), format!("{path}[{index}]"), &Value::Null))
                });
                others.collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                return value.clone();
            }
        };
        let mut others: Vec<Value> = Vec::new();
        for (other, at, how) in entries {
            let service = self.from.value.get("services").and_then(|all| all.get(&other));
            let is_optional = how.get("required") == Some(&Value::Bool(false));
            if is_optional && service.is_none_or(has_profile) {
                continue;
            }
            if service.is_some_and(has_profile) {
                let message = format!("`{other}` belongs to a profile, so it is not there");
                self.wrong(&at, message, "take it out of the profile, or write `required: false`");
                continue;
            }
            if how.get("condition").and_then(Value::as_str) == Some("service_completed_successfully") {
                self.leave(name, format!("depends_on.{other}.condition"), Because::Essence);
            }
            self.moved(&format!("{path}[{}]", others.len()), &at);
            others.push(other.into());
        }
        Value::Array(others)
    }

    fn healthcheck(&mut self, name: &str, path: &str, value: &Value) -> Value {
        let Value::Object(entries) = value else { return value.clone() };
        let mut check = Map::new();
        for (key, value) in entries.iter().filter(|(_, value)| !value.is_null()) {
            let at = join(path, key);
            let taken = match key.as_str() {
                "test" => self.filled(&at, value, When::Run),
                "retries" => self.scalar(&at, value, When::Run),
                key if HEALTHCHECK.contains(&key) => self.span(&at, value),
                "disable" => continue,
                key => {
                    self.leave(name, format!("healthcheck.{key}"), Because::Run);
                    continue;
                }
            };
            check.extend(taken.map(|value| (key.clone(), value)));
        }
        let disable = entries.get("disable").filter(|disable| !disable.is_null());
        let disable = disable.and_then(|disable| self.scalar(&join(path, "disable"), disable, When::Run));
        if disable == Some(Value::Bool(true)) {
            check.insert("test".to_owned(), vec!["NONE"].into());
        }
        Value::Object(check)
    }

    fn deploy(&mut self, name: &str, path: &str, value: &Value) -> Value {
        let Value::Object(entries) = value else { return value.clone() };
        let mut deploy = Map::new();
        for (key, value) in entries.iter().filter(|(_, value)| !value.is_null()) {
            let at = join(path, key);
            let taken = match key.as_str() {
                "replicas" => self.scalar(&at, value, When::Run),
                "update_config" => Some(self.update(name, &at, value)),
                key if DEPLOY.contains(&key) => self.filled(&at, value, When::Run),
                key => {
                    self.leave(name, format!("deploy.{key}"), Because::Run);
                    None
                }
            };
            deploy.extend(taken.map(|value| (key.clone(), value)));
        }
        Value::Object(deploy)
    }

    fn update(&mut self, name: &str, path: &str, value: &Value) -> Value {
        let Value::Object(entries) = value else { return value.clone() };
        let mut update = Map::new();
        for (key, value) in entries.iter().filter(|(_, value)| !value.is_null()) {
            let at = join(path, key);
            let taken = match key.as_str() {
                "parallelism" => self.scalar(&at, value, When::Run),
                "delay" | "monitor" => self.span(&at, value),
                key if UPDATE.contains(&key) => self.filled(&at, value, When::Run),
                key => {
                    self.leave(name, format!("deploy.update_config.{key}"), Because::Run);
                    None
                }
            };
            update.extend(taken.map(|value| (key.clone(), value)));
        }
        Value::Object(update)
    }

    /// Named volumes of this project. Folders of the host, volumes that others made and those that may only be read have
    /// no words in `shipkit.yml`.
    fn volumes(&mut self, name: &str, path: &str, value: &Value, is_built: bool) -> Option<Value> {
        let Value::Array(entries) = self.filled(path, value, When::Run)? else { return Some(value.clone()) };
        let mut volumes: Vec<Value> = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let at = format!("{path}[{index}]");
            let named = match entry {
                Value::String(text) => short(text),
                Value::Object(volume) => long(volume),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
            };
            let all = self.from.value.get("volumes");
            let is_own = |volume: &str| {
                let made = all.and_then(|all| all.get(volume)).and_then(Value::as_object);
                made.is_none_or(|made| made.keys().all(|key| key == "labels" || key.starts_with("x-")))
            };
            if let Some((volume, place)) = named.filter(|(volume, _)| is_own(volume)) {
                self.moved(&format!("{path}[{}]", volumes.len()), &at);
                volumes.push(format!("{volume}:{place}").into());
            } else {
                let because = if is_built { Because::Run } else { Because::Essence };
                self.leave(name, format!("volumes[{index}]"), because);
            }
        }
        Some(Value::Array(volumes))
    }

    /// Secrets that are mounted under their own name.
    fn secrets(&mut self, name: &str, path: &str, value: &Value) -> Value {
        let Value::Array(entries) = value else { return value.clone() };
        let mut secrets: Vec<Value> = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let source = entry.get("source").unwrap_or(entry).as_str();
            let defined = self.from.value.get("secrets").and_then(|all| all.get(source?));
            let is_own = |source: &str| {
                let target = entry.get("target").map_or(Some(source), Value::as_str);
                let is_renamed = defined
                    .and_then(|defined| defined.get("name"))
                    .is_some_and(|name| name.as_str() != Some(source));
                let target = target.map(|target| target.strip_prefix("/run/secrets/").unwrap_or(target));
                target == Some(source) && !is_renamed
            };
            match source.filter(|source| is_own(source)) {
                Some(source) => {
                    self.moved(&format!("{path}[{}]", secrets.len()), &format!("{path}[{index}]"));
                    secrets.push(source.into());
                }
                None => self.leave(name, format!("secrets[{index}]"), Because::Run),
            }
        }
        Value::Array(secrets)
    }

    /// A duration in our form; what is none stays as it is, to be refused like every other.
    fn span(&mut self, path: &str, value: &Value) -> Option<Value> {
        let value = self.filled(path, value, When::Run)?;
        let milliseconds = value.as_str().and_then(milliseconds);
        Some(milliseconds.map_or(value, |milliseconds| format!("{milliseconds}ms").into()))
    }
}

/// `data:/var/lib/data`, also where it says that it may be written.
fn short(text: &str) -> Option<(String, String)> {
    let mut parts = text.split(':');
    let (volume, place, mode) = (parts.next()?, parts.next()?, parts.next());
    let fits = parts.next().is_none() && matches!(mode, None | Some("rw")) && is_named(volume);
    fits.then(|| (volume.to_owned(), place.to_owned()))
}

fn long(volume: &Map<String, Value>) -> Option<(String, String)> {
    let text = |key: &str| volume.get(key).and_then(Value::as_str);
    let is_plain = |(key, value): (&String, &Value)| match key.as_str() {
        "type" => value == "volume",
        "source" | "target" => true,
        "read_only" => *value == Value::Bool(false),
        _ => false,
    };
    let source = text("source").filter(|source| is_named(source))?;
    volume.iter().all(is_plain).then(|| Some((source.to_owned(), text("target")?.to_owned())))?
}

/// Whether it names a volume, and no folder of the host.
fn is_named(volume: &str) -> bool {
    !volume.is_empty() && !volume.starts_with(['.', '~']) && !volume.contains(['/', '\\'])
}

/// A duration as Compose writes it, `1m30s` or `1.5s`; `None` if it is none, or not in whole milliseconds.
fn milliseconds(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut microseconds = 0_u64;
    while !rest.is_empty() {
        let (number, after) = rest.split_at_checked(rest.find(|c: char| c.is_ascii_alphabetic())?)?;
        let (unit, after) =
            after.split_at_checked(after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len()))?;
        let unit: u64 = match unit {
            "us" => 1,
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            "d" => 86_400_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let scale = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let part = fraction.parse::<u64>().ok()?.checked_mul(unit)? / scale;
        let whole = whole.parse::<u64>().ok()?.checked_mul(unit)?;
        microseconds = microseconds.checked_add(whole)?.checked_add(part)?;
        rest = after;
    }
    (!text.is_empty() && microseconds.is_multiple_of(1_000)).then_some(microseconds / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composes_durations_have_parts_and_fractions() {
        for (text, expected) in [
            ("10s", Some(10_000)),
            ("1m30s", Some(90_000)),
            ("1.5s", Some(1_500)),
            ("1h5m30s20ms", Some(3_930_020)),
            ("5000us", Some(5)),
            ("500us", None),
            ("", None),
            ("10", None),
            ("s", None),
            ("10 s", None),
            ("1y", None),
            ("99999999999999999999s", None),
            ("9999999999999d", None),
        ] {
            assert_eq!(milliseconds(text), expected, "{text}");
        }
    }

    #[test]
    fn a_named_volume_is_told_from_a_folder() {
        let pair = |volume: &str, place: &str| Some((volume.to_owned(), place.to_owned()));
        for (text, expected) in [
            ("data:/var/lib/data", pair("data", "/var/lib/data")),
            ("data:/d:rw", pair("data", "/d")),
            ("data:/d:ro", None),
            ("./data:/d", None),
            ("~/data:/d", None),
            ("/data:/d", None),
            ("a/b:/d", None),
            ("/d", None),
        ] {
            assert_eq!(short(text), expected, "{text}");
        }
    }
}
