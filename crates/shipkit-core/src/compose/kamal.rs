//! `KamalState`: what kamal-proxy keeps of its services, and the commands that send the traffic of one elsewhere.
//!
//! `kamal-proxy deploy` takes what it is not told for its defaults, so what was said of a service before is read out of the
//! file in which kamal-proxy keeps it, and said again.

use std::time::Duration;

use serde_json::Value;

use super::Server;
use crate::exit::ExitCode;
use crate::hint::Hint;

/// How long kamal-proxy may take to see that all who shall get traffic answer. They did a moment before.
const ANSWER: Duration = Duration::from_secs(10);
/// What is said again: where its file has it, the option that says it, and the unit of a number there.
const OPTIONS: &[(&str, &str, &str)] = &[
    ("/active_readers", "read-target", ""),
    ("/options/hosts", "host", ""),
    ("/options/path_prefixes", "path-prefix", ""),
    ("/options/strip_prefix", "strip-path-prefix", ""),
    ("/options/tls_enabled", "tls", ""),
    ("/options/tls_certificate_path", "tls-certificate-path", ""),
    ("/options/tls_private_key_path", "tls-private-key-path", ""),
    ("/options/tls_on_demand_url", "tls-on-demand-url", ""),
    ("/options/tls_redirect", "tls-redirect", ""),
    ("/options/canonical_host", "canonical-host", ""),
    ("/options/acme_cache_path", CACHE, ""),
    ("/options/error_page_path", "error-pages", ""),
    ("/options/writer_affinity_timeout", "writer-affinity-timeout", "ns"),
    ("/options/read_targets_accept_websockets", "read-target-websockets", ""),
    ("/options/exclude_metrics_paths", "exclude-metrics-path", ""),
    ("/options/client_ip_header", "client-ip-header", ""),
    ("/target_options/health_check_config/interval", "health-check-interval", "ns"),
    ("/target_options/health_check_config/timeout", "health-check-timeout", "ns"),
    ("/target_options/health_check_config/host", "health-check-host", ""),
    ("/target_options/response_timeout", "target-timeout", "ns"),
    ("/target_options/buffer_requests", "buffer-requests", ""),
    ("/target_options/buffer_responses", "buffer-responses", ""),
    ("/target_options/max_memory_buffer_size", "buffer-memory", ""),
    ("/target_options/max_request_body_size", "max-request-body", ""),
    ("/target_options/max_response_body_size", "max-response-body", ""),
    ("/target_options/log_request_headers", "log-request-header", ""),
    ("/target_options/log_response_headers", "log-response-header", ""),
    ("/target_options/forward_headers", "forward-headers", ""),
    ("/target_options/scope_cookie_paths", "scope-cookie-paths", ""),
];
/// Older versions keep this, and have no option that says it: they take it from where their file is.
const CACHE: &str = "tls-acme-cache-path";

/// What kamal-proxy keeps of its services.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KamalState(Vec<Value>);

/// The file of kamal-proxy does not say who gets traffic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("what kamal-proxy keeps of its services cannot be read: {0}")]
pub struct BadKamalState(String);

impl Hint for BadKamalState {
    fn hint(&self) -> Option<String> {
        Some("use kamal-proxy 0.9 or newer; a damaged `kamal-proxy.state` is written anew by `kamal-proxy deploy`".to_owned())
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Unknown
    }
}

/// Where the traffic of a service shall go.
#[derive(Debug, Clone, Copy)]
pub struct KamalSwitch<'a> {
    /// The service.
    pub service: &'a str,
    /// The port of those who get traffic.
    pub port: u16,
    /// The path at which they answer when they can serve; where none is given, the one that was said before.
    pub ready: Option<&'a str>,
    /// How long what was begun may take.
    pub drain: Duration,
    /// The folder in which kamal-proxy keeps its file.
    pub directory: &'a str,
}

impl KamalState {
    /// Reads the file.
    ///
    /// # Errors
    /// When it is damaged, or written by a version that sends the traffic of a service to one container only.
    pub fn parse(text: &[u8]) -> Result<Self, BadKamalState> {
        let services: Vec<Value> =
            serde_json::from_slice(text).map_err(|error| BadKamalState(error.to_string()))?;
        let is_known = |service: &Value| service.get("active_targets").is_some_and(Value::is_array);
        if services.iter().all(is_known) {
            return Ok(Self(services));
        }
        Err(BadKamalState("it does not name its targets".to_owned()))
    }

    /// Who gets the traffic of a service, as `<host>:<port>`; nobody while it is stopped or paused. `None` if it is not
    /// known.
    #[must_use]
    pub fn targets(&self, service: &str) -> Option<Vec<&str>> {
        let known = self.service(service)?;
        let targets = known.get("active_targets").and_then(Value::as_array);
        let targets = targets.into_iter().flatten().filter_map(Value::as_str);
        Some(if self.is_held(service) { Vec::new() } else { targets.collect() })
    }

    /// Whether somebody stopped or paused a service, so that no request of it is passed on.
    #[must_use]
    pub fn is_held(&self, service: &str) -> bool {
        let state =
            self.service(service).and_then(|known| known.pointer("/pause_controller/state")?.as_u64());
        state.is_some_and(|state| state != 0)
    }

    /// The commands that send the traffic of a service to these and no others, in order.
    #[must_use]
    pub fn switch(&self, to: &[Server], switch: &KamalSwitch<'_>) -> Vec<Vec<String>> {
        let words = |verb: &str| ["kamal-proxy", verb, switch.service].map(str::to_owned).to_vec();
        let known = self.service(switch.service);
        let drain = format!("--drain-timeout={}ms", switch.drain.as_millis());
        if to.is_empty() {
            let stop = [words("stop"), vec![drain]].concat();
            return known.map(|_| stop).into_iter().collect();
        }
        let mut deploy = words("deploy");
        deploy.extend(to.iter().map(|server| format!("--target={}:{}", server.host, switch.port)));
        deploy.extend(known.into_iter().flat_map(|known| said_before(known, switch.directory)));
        deploy.extend(health(known, switch.ready));
        deploy.extend([format!("--deploy-timeout={}ms", ANSWER.as_millis()), drain]);
        let resume = self.is_held(switch.service).then(|| words("resume"));
        [deploy].into_iter().chain(resume).collect()
    }

    /// How long [`switch`](Self::switch) may take at most: until all answer, and until what was begun has ended.
    #[must_use]
    pub const fn time(drain: Duration) -> Duration {
        ANSWER.saturating_add(drain)
    }

    fn service(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|service| service.get("name").and_then(Value::as_str) == Some(name))
    }
}

/// The options that say again what was said of a service.
fn said_before(known: &Value, directory: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (path, option, unit) in OPTIONS {
        let Some(value) = known.pointer(path) else { continue };
        let is_default = *option == CACHE && value.as_str() == Some(&format!("{directory}/certs"));
        if !is_default {
            words.extend(texts(value).into_iter().map(|text| format!("--{option}={text}{unit}")));
        }
    }
    // It is told which of the two by name.
    let authority = known.pointer("/options/acme_directory").and_then(Value::as_str);
    words.extend(authority.filter(|url| url.contains("staging")).map(|_| "--tls-staging".to_owned()));
    words
}

/// How kamal-proxy asks containers: at this path of the port that gets the traffic, or as before.
fn health(known: Option<&Value>, ready: Option<&str>) -> Vec<String> {
    if let Some(path) = ready {
        return vec![format!("--health-check-path={path}")];
    }
    let said = |key: &str| known?.pointer(&format!("/target_options/health_check_config/{key}")).map(texts);
    let option = |key: &str| {
        said(key).into_iter().flatten().map(|text| format!("--health-check-{key}={text}")).collect::<Vec<_>>()
    };
    [option("path"), option("port")].concat()
}

/// A value as options say it: each element of a list by itself, for a comma would part it; nothing where it is empty.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Bool(_) | Value::Number(_) => vec![value.to_string()],
        Value::String(text) => Some(text).filter(|text| !text.is_empty()).cloned().into_iter().collect(),
        Value::Array(items) => items.iter().flat_map(texts).map(|text| listed(&text)).collect(),
        Value::Null | Value::Object(_) => Vec::new(),
    }
}

/// An element of a list, which is read as a line of CSV.
fn listed(text: &str) -> String {
    let is_plain = !text.contains([',', '"', '\n']);
    if is_plain { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SWITCH: KamalSwitch<'_> = KamalSwitch {
        service: "api",
        port: 8080,
        ready: Some("/ready"),
        drain: Duration::from_millis(1500),
        directory: "/state",
    };

    fn to(hosts: &[&str]) -> Vec<Server> {
        let server = |host: &&str| Server { instance: format!("{host}@id"), host: (*host).to_owned() };
        hosts.iter().map(server).collect()
    }

    fn state(more: &Value) -> KamalState {
        let mut service = json!({"name": "api", "active_targets": ["a:8080", "b:8080"]});
        service.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let other = json!({"name": "web", "active_targets": ["w:80"], "options": {"hosts": ["web.example"]}});
        KamalState::parse(json!([other, service]).to_string().as_bytes()).unwrap()
    }

    /// The commands, each in one line.
    #[track_caller]
    fn check(state: &KamalState, hosts: &[&str], switch: KamalSwitch<'_>, expected: &[&str]) {
        let lines: Vec<String> =
            state.switch(&to(hosts), &switch).iter().map(|words| words.join(" ")).collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_service_that_is_new_is_told_what_shipkit_knows() {
        let expected = "kamal-proxy deploy api --target=a:8080 --target=b:8080 --health-check-path=/ready \
                        --deploy-timeout=10000ms --drain-timeout=1500ms";
        check(&KamalState::default(), &["a", "b"], SWITCH, &[expected]);
        check(&KamalState::default(), &[], SWITCH, &[]);
        assert_eq!(KamalState::default().targets("api"), None);
    }

    #[test]
    fn what_was_said_before_is_said_again() {
        let known = state(&json!({
            "options": {
                "hosts": ["shop.example", "a,\"b"], "path_prefixes": ["/"], "strip_prefix": false, "tls_enabled": true,
                "tls_certificate_path": "", "canonical_host": "shop.example", "acme_cache_path": "/state/certs",
                "acme_directory": "https://acme-staging-v02.api.letsencrypt.org/directory", "unknown": "x",
                "writer_affinity_timeout": 1_000_000_000, "exclude_metrics_paths": null,
            },
            "target_options": {
                "health_check_config": {"path": "/up", "port": 9000, "interval": 250_000_000, "host": "shop.example"},
                "max_request_body_size": 0, "buffer_requests": false, "log_request_headers": ["X-A", "X-B"],
            },
            "active_readers": ["r:80"],
        }));
        let options = "--read-target=r:80 --host=shop.example --host=\"a,\"\"b\" --path-prefix=/ --strip-path-prefix=false \
                       --tls=true --canonical-host=shop.example --writer-affinity-timeout=1000000000ns \
                       --health-check-interval=250000000ns --health-check-host=shop.example --buffer-requests=false \
                       --max-request-body=0 --log-request-header=X-A --log-request-header=X-B --tls-staging";
        let end = "--deploy-timeout=10000ms --drain-timeout=1500ms";
        let expected =
            format!("kamal-proxy deploy api --target=c:8080 {options} --health-check-path=/ready {end}");
        check(&known, &["c"], SWITCH, &[&expected]);
        let expected = format!(
            "kamal-proxy deploy api --target=c:8080 {options} --health-check-path=/up --health-check-port=9000 {end}"
        );
        check(&known, &["c"], KamalSwitch { ready: None, ..SWITCH }, &[&expected]);
    }

    #[test]
    fn certificates_that_are_kept_elsewhere_stay_there() {
        let known = state(&json!({"options": {"acme_cache_path": "/certs"}}));
        let words = known.switch(&to(&["c"]), &SWITCH).concat();
        assert!(words.contains(&"--tls-acme-cache-path=/certs".to_owned()), "{words:?}");
    }

    #[test]
    fn nobody_gets_traffic_while_it_is_stopped_and_it_goes_on_with_the_next() {
        let running = state(&json!({"pause_controller": {"state": 0}}));
        assert_eq!(running.targets("api"), Some(vec!["a:8080", "b:8080"]));
        check(&running, &[], SWITCH, &["kamal-proxy stop api --drain-timeout=1500ms"]);
        for code in [1, 2] {
            let held = state(&json!({"pause_controller": {"state": code}}));
            assert_eq!((held.targets("api"), held.is_held("api")), (Some(Vec::new()), true));
            let commands = held.switch(&to(&["c"]), &SWITCH);
            assert_eq!(commands.len(), 2);
            assert_eq!(commands[1], ["kamal-proxy", "resume", "api"]);
        }
    }

    #[test]
    fn a_file_that_does_not_name_its_targets_is_not_guessed_at() {
        for text in ["", "{}", "[{\"name\": \"api\", \"active_target\": \"a:80\"}]"] {
            let error = KamalState::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.exit_code(), ExitCode::Unknown, "{text}");
        }
        assert_eq!(KamalState::parse(b"[]"), Ok(KamalState::default()));
    }
}
