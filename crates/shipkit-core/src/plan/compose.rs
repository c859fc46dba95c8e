//! The Compose file of `test.services`: what the tests talk to.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::config::{Healthcheck, Test, TestService};

/// The name of the file, in the folder in which steps hand files on.
pub const COMPOSE_FILE: &str = "test.compose.yml";

/// The Compose file, as JSON, which is YAML.
///
/// A service without `ports` is on the network of the host, so that it answers on `localhost` at the port that it
/// listens on; others publish what is written. One without a health check gets that of its image, where it is a well-known
/// database: a test that comes before the database is ready fails for no reason.
#[must_use]
pub fn test_compose(test: Option<&Test>) -> Value {
    let services: Map<_, _> = test
        .into_iter()
        .flat_map(|test| test.services.iter().map(move |(name, one)| (name.clone(), service(test, one))))
        .collect();
    literal(json!({ "services": services }))
}

/// The databases that are told by the name of their image.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Database {
    Postgres,
    Redis,
}

impl Database {
    /// By the last word of the image's name: `pgvector/pgvector:pg16` is a Postgres.
    fn of(image: &str) -> Option<Self> {
        let name = image.rsplit('/').next().unwrap_or(image);
        let name = name.split([':', '@']).next().unwrap_or(name);
        match name {
            "postgres" | "postgresql" | "pgvector" | "postgis" => Some(Self::Postgres),
            "redis" | "valkey" => Some(Self::Redis),
            _ => None,
        }
    }

    /// Over TCP: while Postgres initialises its data it answers on its socket only.
    fn check(self) -> &'static str {
        match self {
            Self::Postgres => "pg_isready --host 127.0.0.1",
            Self::Redis => "redis-cli ping | grep -qE 'PONG|NOAUTH'",
        }
    }
}

fn service(test: &Test, service: &TestService) -> Value {
    let database = Database::of(&service.image);
    let mut environment = service.environment.clone();
    if database == Some(Database::Postgres) {
        for (name, value) in account(test).into_iter().flatten() {
            environment.entry(name).or_insert(value);
        }
    }
    let mut written = Map::from_iter([("image".to_owned(), json!(service.image))]);
    if !environment.is_empty() {
        written.insert("environment".to_owned(), json!(environment));
    }
    if service.ports.is_empty() {
        written.insert("network_mode".to_owned(), json!("host"));
    } else {
        written.insert("ports".to_owned(), json!(service.ports));
    }
    let stated = service.healthcheck.clone().unwrap_or_default();
    let asked = |database: Database| vec!["CMD-SHELL".to_owned(), database.check().to_owned()];
    let check = stated.test.clone().or_else(|| database.map(asked));
    if let Some(command) = check {
        written.insert("healthcheck".to_owned(), healthcheck(&stated, &command));
    }
    Value::Object(written)
}

/// Asked every second, because the tests wait for it, for a minute at most.
fn healthcheck(stated: &Healthcheck, command: &[String]) -> Value {
    let mut check = json!({
        "test": command,
        "interval": time(stated.interval.unwrap_or(Duration::from_secs(1))),
        "timeout": time(stated.timeout.unwrap_or(Duration::from_secs(5))),
        "retries": stated.retries.unwrap_or(60),
    });
    if let (Some(period), Some(check)) = (stated.start_period, check.as_object_mut()) {
        check.insert("start_period".to_owned(), json!(time(period)));
    }
    check
}

fn time(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

/// User, password and database of Postgres, without which its image does not start: out of the address by which the
/// tests reach it, where `test.environment` holds one.
fn account(test: &Test) -> Option<BTreeMap<String, String>> {
    test.environment.values().find_map(|value| {
        let rest = value.strip_prefix("postgresql://").or_else(|| value.strip_prefix("postgres://"))?;
        let (login, place) = rest.rsplit_once('@')?;
        let (user, password) = login.split_once(':')?;
        let (_, database) = place.split_once('/')?;
        let database = database.split('?').next().unwrap_or(database);
        let named = [("USER", user), ("PASSWORD", password), ("DB", database)];
        let is_plain = |text: &str| !text.is_empty() && !text.contains('%');
        named.iter().all(|(_, text)| is_plain(text)).then(|| {
            named.into_iter().map(|(name, text)| (format!("POSTGRES_{name}"), text.to_owned())).collect()
        })
    })
}

/// The same with every text as it stands: Compose reads `$` as the start of a variable.
fn literal(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace('$', "$$")),
        Value::Array(values) => values.into_iter().map(literal).collect(),
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, literal(value))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(test: &str, name: &str, expected: &Value) {
        let file = format!(
            "version: 1\nname: shop\nservices: {{api: {{build: {{}}}}}}\nenvironments: {{a: {{}}}}\ntest:\n{test}\n"
        );
        let config =
            crate::config::Config::parse("shipkit.yml", &file, &|_| None, crate::config::Needed::Build);
        assert_eq!(&test_compose(config.unwrap().test.as_ref())["services"][name], expected);
    }

    #[test]
    fn what_is_written_is_taken_as_it_stands() {
        check(
            r#"  services: {mq: {image: "mq:1", ports: ["5672:5672", 80], environment: {A: "a$b"}, healthcheck: {test: "echo $A", interval: 1500ms, retries: 3}}}"#,
            "mq",
            &json!({
                "image": "mq:1",
                "environment": {"A": "a$$b"},
                "ports": ["5672:5672", "80"],
                "healthcheck": {"test": ["CMD-SHELL", "echo $$A"], "interval": "1500ms", "timeout": "5000ms", "retries": 3},
            }),
        );
        check("  services: {mq: {image: mq}}", "mq", &json!({"image": "mq", "network_mode": "host"}));
    }

    #[test]
    fn a_database_is_told_what_the_tests_know_and_no_more() {
        let check_of = |command| json!({"test": ["CMD-SHELL", command], "interval": "1000ms", "timeout": "5000ms", "retries": 60});
        check(
            "  environment: {X: a, DATABASE_URL: 'postgresql://u:p@localhost:5432/d?ssl=no'}\n  services: {db: {image: 'pgvector/pgvector:pg16', environment: {POSTGRES_DB: own}}}",
            "db",
            &json!({
                "image": "pgvector/pgvector:pg16",
                "environment": {"POSTGRES_DB": "own", "POSTGRES_PASSWORD": "p", "POSTGRES_USER": "u"},
                "network_mode": "host",
                "healthcheck": check_of("pg_isready --host 127.0.0.1"),
            }),
        );
        for address in
            ["postgres://localhost/d", "postgres://u:p@localhost", "postgres://u:%41@h/d", "mysql://u:p@h/d"]
        {
            check(
                &format!("  environment: {{A: '{address}'}}\n  services: {{db: {{image: postgres}}}}"),
                "db",
                &json!({"image": "postgres", "network_mode": "host", "healthcheck": check_of("pg_isready --host 127.0.0.1")}),
            );
        }
        check(
            "  environment: {A: 'postgres://u:p@h/d'}\n  services: {cache: {image: 'redis:7-alpine'}}",
            "cache",
            &json!({"image": "redis:7-alpine", "network_mode": "host", "healthcheck": check_of("redis-cli ping | grep -qE 'PONG|NOAUTH'")}),
        );
    }
}
