//! `Container`: one container of a service, as the engine shows it.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use shipkit_core::ImageRef;
use shipkit_core::compose::{KEY, ServiceState};
use shipkit_core::rollout::slots::{Instance, State};

use super::Compose;
use super::error::ComposeError;
use crate::engine::filtered;
use crate::rollout::{log_lines, text};
use crate::spec::{at, items};

pub(crate) const PROJECT: &str = "com.docker.compose.project";
pub(crate) const SERVICE: &str = "com.docker.compose.service";
const NUMBER: &str = "com.docker.compose.container-number";
pub(crate) const ONEOFF: &str = "com.docker.compose.oneoff";
/// How long a container has to stop where it does not say.
const GRACE: u64 = 10;
/// How many digits of its identifier name a container.
const SHORT: usize = 12;

/// One container of a service.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Container(Value);

impl Container {
    /// As the engine shows it.
    #[cfg(test)]
    pub(crate) fn of(shown: Value) -> Self {
        Self(shown)
    }

    /// The engine's identifier.
    pub(crate) fn id(&self) -> &str {
        text(&self.0, &["Id"])
    }

    /// What it is called now.
    pub(crate) fn name(&self) -> &str {
        text(&self.0, &["Name"]).trim_start_matches('/')
    }

    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        at(&self.0, &["Config", "Labels", name]).as_str()
    }

    /// The name by which it is known in a rollout: a number may be given again to another container, and a name too, so
    /// the beginning of its identifier belongs to it.
    pub(crate) fn instance(&self) -> String {
        let (service, number) = (self.label(SERVICE), self.label(NUMBER));
        format!("{}-{}@{}", service.unwrap_or_default(), number.unwrap_or_default(), self.short_id())
    }

    /// The beginning of its identifier, by which it is also found in each network of a project.
    pub(crate) fn short_id(&self) -> &str {
        self.id().get(..SHORT).unwrap_or_else(|| self.id())
    }

    /// Which release it was made for; `None` if others made it.
    pub(crate) fn key(&self) -> Option<&str> {
        self.label(KEY)
    }

    /// The image that it was made from, if that was named by digest.
    pub(crate) fn image(&self) -> Option<ImageRef> {
        text(&self.0, &["Config", "Image"]).parse().ok()
    }

    /// The image that it was made from as it was named then, and its identifier on this engine.
    pub(crate) fn image_names(&self) -> (&str, &str) {
        (text(&self.0, &["Config", "Image"]), text(&self.0, &["Image"]))
    }

    /// How long it has to stop.
    pub(crate) fn grace(&self) -> Duration {
        Duration::from_secs(at(&self.0, &["Config", "StopTimeout"]).as_u64().unwrap_or(GRACE))
    }

    /// Whether the engine starts it again even after it was stopped on purpose.
    pub(crate) fn is_always_started(&self) -> bool {
        text(&self.0, &["HostConfig", "RestartPolicy", "Name"]) == "always"
    }

    /// What it does.
    pub(crate) fn state(&self) -> State {
        let exit_code = at(&self.0, &["State", "ExitCode"]).as_i64().unwrap_or_default();
        match (text(&self.0, &["State", "Status"]), text(&self.0, &["State", "Health", "Status"])) {
            ("running", "starting") | ("restarting" | "paused", _) => State::Starting,
            ("running", "unhealthy") => State::Unhealthy,
            ("running", _) => State::Ready,
            ("removing", _) => State::Gone,
            _ => State::Stopped { exit_code },
        }
    }

    /// Its address as its host sees it: that of the host itself, if it has no network of its own.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        if text(&self.0, &["HostConfig", "NetworkMode"]) == "host" {
            return Some(Ipv4Addr::LOCALHOST.into());
        }
        let networks = at(&self.0, &["NetworkSettings", "Networks"]).as_object()?;
        networks.values().find_map(|network| text(network, &["IPAddress"]).parse().ok())
    }

    /// Whether it runs, well or not.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.state(), State::Starting | State::Ready | State::Unhealthy)
    }

    /// Whether it has never been started.
    pub(crate) fn is_fresh(&self) -> bool {
        text(&self.0, &["State", "Status"]) == "created"
    }

    /// Why the engine could not start it, if so.
    pub(crate) fn error(&self) -> Option<&str> {
        Some(text(&self.0, &["State", "Error"])).filter(|error| !error.is_empty())
    }

    /// Since when it does what it does. Of a health check the last results are known, those from before it was started again
    /// too: it has been well since the first of those since then that passed in a row.
    fn since(&self) -> Option<Timestamp> {
        let time = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
        let started = time(at(&self.0, &["State", "StartedAt"]));
        match self.state() {
            State::Stopped { .. } => time(at(&self.0, &["State", "FinishedAt"])),
            State::Ready => {
                let results: Vec<&Value> = items(at(&self.0, &["State", "Health", "Log"])).collect();
                let end = |result: &Value| time(at(result, &["End"]));
                let has_passed = |result: &Value| at(result, &["ExitCode"]) == 0 && started <= end(result);
                let passed = results.into_iter().rev().take_while(|result| has_passed(result));
                passed.last().map_or(started, end)
            }
            State::Starting | State::Unhealthy | State::Gone => started,
        }
    }

    /// The same in the words of a rollout.
    pub(crate) fn seen(&self, service: &ServiceState, now: Timestamp, traffic: &[String]) -> Instance {
        let id = self.instance();
        let age = self.since().map(|since| now.duration_since(since));
        Instance {
            slot: service.slot(self.key()),
            state: self.state(),
            age: age.and_then(|age| Duration::try_from(age).ok()).unwrap_or_default(),
            restarts: at(&self.0, &["RestartCount"]).as_u64().unwrap_or_default(),
            has_traffic: traffic.contains(&id),
            id,
        }
    }
}

impl Compose {
    /// The containers of a service, in the order of their numbers.
    pub(crate) async fn containers(&self, service: &str) -> Result<Vec<Container>, ComposeError> {
        let labels = [
            format!("{PROJECT}={}", self.project.stack),
            format!("{SERVICE}={service}"),
            format!("{ONEOFF}=False"),
        ];
        let path = filtered("/containers/json", &json!({"label": labels}));
        let list = self.engine.get("list containers", &format!("{path}&all=1")).await?;
        let mut found = Vec::new();
        for id in items(&list).map(|container| text(container, &["Id"])) {
            // It may be gone meanwhile.
            found.extend(self.container(id).await?);
        }
        found.sort_by_key(|one| one.label(NUMBER).and_then(|number| number.parse::<u64>().ok()));
        Ok(found)
    }

    /// One container by its identifier or its name.
    pub(crate) async fn container(&self, id: &str) -> Result<Option<Container>, ComposeError> {
        let found = self.engine.find("show a container", &format!("/containers/{id}/json")).await?;
        Ok(found.map(Container))
    }

    /// The last lines that a container wrote. A log that cannot be read is empty.
    pub(crate) async fn last_lines(&self, id: &str) -> Vec<String> {
        let path = format!("/containers/{id}/logs?stdout=1&stderr=1&tail=50");
        let bytes = self.engine.get_bytes("show a log", &path).await.unwrap_or_default();
        log_lines(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(state: &Value) -> Container {
        Container(json!({
            "Id": "0123456789abcdef", "Name": "/shop-api-3", "RestartCount": 2, "State": state,
            "Config": {"Labels": {SERVICE: "api", NUMBER: "3", KEY: "k"}},
        }))
    }

    #[test]
    fn a_container_is_known_by_service_number_and_identifier() {
        let one = container(&json!({}));
        assert_eq!(
            (one.instance().as_str(), one.name(), one.key()),
            ("api-3@0123456789ab", "shop-api-3", Some("k"))
        );
        assert_eq!(one.grace(), Duration::from_secs(10));
    }

    #[test]
    fn what_a_container_does_is_told_apart() {
        let stopped = |exit_code| State::Stopped { exit_code };
        for (status, health, expected) in [
            ("running", "", State::Ready),
            ("running", "none", State::Ready),
            ("running", "healthy", State::Ready),
            ("running", "starting", State::Starting),
            ("running", "unhealthy", State::Unhealthy),
            ("restarting", "unhealthy", State::Starting),
            ("paused", "healthy", State::Starting),
            ("created", "", stopped(3)),
            ("exited", "unhealthy", stopped(3)),
            ("dead", "", stopped(3)),
            ("removing", "", State::Gone),
        ] {
            let state = json!({"Status": status, "ExitCode": 3, "Health": {"Status": health}});
            assert_eq!(container(&state).state(), expected, "{status} {health}");
        }
    }

    #[test]
    fn it_is_asked_at_its_first_address_or_at_its_host() {
        let networked = |mode: &str, first: &str, second: &str| {
            let networks = json!({"a": {"IPAddress": first}, "b": {"IPAddress": second}});
            let settings = json!({"Networks": networks});
            Container(json!({"HostConfig": {"NetworkMode": mode}, "NetworkSettings": settings})).ip()
        };
        let ip = |text: &str| text.parse().ok();
        assert_eq!(networked("shop_default", "172.19.0.2", "172.18.0.3"), ip("172.19.0.2"));
        assert_eq!(networked("shop_default", "", "172.18.0.3"), ip("172.18.0.3"));
        assert_eq!(networked("host", "", ""), ip("127.0.0.1"));
        assert_eq!(networked("none", "", ""), None);
    }

    #[track_caller]
    fn check_age(mut state: Value, seconds: u64) {
        state["StartedAt"] = json!("2026-01-02T03:00:00.5Z");
        let service = ServiceState {
            now: shipkit_core::compose::Deployed::by_others(1),
            previous: None,
            older: None,
            working: None,
        };
        let now = "2026-01-02T03:01:00.5Z".parse().unwrap();
        assert_eq!(container(&state).seen(&service, now, &[]).age, Duration::from_secs(seconds));
    }

    #[test]
    fn its_age_is_that_of_what_it_does() {
        check_age(json!({"Status": "running"}), 60);
        check_age(json!({"Status": "exited", "FinishedAt": "2026-01-02T03:00:50.5Z"}), 10);
        let result = |code, second| json!({"ExitCode": code, "End": format!("2026-01-02T03:00:{second}.5Z")});
        let log = json!([result(0, "10"), result(1, "20"), result(0, "30"), result(0, "40")]);
        check_age(json!({"Status": "running", "Health": {"Status": "healthy", "Log": log}}), 30);
        check_age(json!({"Status": "running", "Health": {"Status": "healthy", "Log": []}}), 60);
        // It was stopped and started again.
        let before = json!({"ExitCode": 0, "End": "2026-01-02T02:50:00Z"});
        let log = json!([before, result(0, "30"), result(0, "40")]);
        check_age(json!({"Status": "running", "Health": {"Status": "healthy", "Log": log}}), 30);
        check_age(json!({"Status": "running", "Health": {"Status": "healthy", "Log": [before]}}), 60);
        // The clock of the target was set back.
        check_age(json!({"Status": "exited", "FinishedAt": "2027-01-01T00:00:00Z"}), 0);
    }
}
