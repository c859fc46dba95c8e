//! The labels that say how a service stands to the other slot of the same service, and whether Traefik sends traffic to it.
//!
//! As all labels of a service they restart nothing. A shift is one of them.

use serde_json::{Map, Value, json};

use crate::labels::{SLOT, edit, label};

const OF: &str = "dev.shipkit.slot.of";
const BEHIND: &str = "dev.shipkit.slot.behind";
const BESIDE: &str = "dev.shipkit.slot.beside";
const SHIFTED: &str = "dev.shipkit.slot.shifted";
/// While it is asked and gets no traffic: what people say to Traefik of it, as JSON.
const PREVIEW: &str = "dev.shipkit.slot.preview";
/// What begins so, Traefik reads.
const TRAEFIK: &str = "traefik.";
const ENABLE: &str = "traefik.enable";
/// What begins so says which requests Traefik passes on, and how; the rest says how it reads the service.
const ROUTES: [&str; 4] = ["traefik.http.", "traefik.tcp.", "traefik.udp.", "traefik.tls."];
const SERVICES: &str = "traefik.http.services.";
const PORT: &str = ".loadbalancer.server.port";
/// More than a rule has letters, by which rules count where people do not say more.
const PRIORITY: &str = "1000000000";

/// How a service stands to the other slot of the same service, and to Traefik.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SlotLabels {
    /// The service that it is the second slot of; of a first slot, its own name says that.
    pub(crate) of: Option<String>,
    /// The service of Traefik, where it is replaced by a shift.
    pub(crate) behind: Option<String>,
    /// The identifier of the service that it was brought beside.
    pub(crate) beside: Option<String>,
}

/// What Traefik passes on to a slot that gets no traffic.
pub(crate) struct Router<'a> {
    /// Its name, and that of all that belongs to it.
    pub(crate) name: String,
    /// The port that the slot answers at.
    pub(crate) port: Option<u16>,
    /// The header of requests and answers.
    pub(crate) header: &'a str,
    /// What it says in requests that are passed on.
    pub(crate) ask: &'a str,
    /// What it says in answers.
    pub(crate) answer: &'a str,
}

/// How the service stands to others.
pub(crate) fn slot(spec: &Value) -> SlotLabels {
    let text = |name| label(spec, name).map(str::to_owned);
    SlotLabels { of: text(OF), behind: text(BEHIND), beside: text(BESIDE) }
}

/// Writes down how a service stands to others. What was said before is forgotten, also that it was shifted.
pub(crate) fn put_slot(spec: &mut Value, slot: &SlotLabels) {
    edit(spec, |labels| {
        labels.retain(|name, _| !name.starts_with(SLOT));
        for (name, value) in [(OF, &slot.of), (BEHIND, &slot.behind), (BESIDE, &slot.beside)] {
            labels.extend(value.iter().map(|value| (name.to_owned(), json!(value))));
        }
    });
}

/// Whether Traefik sends visitors to it, as far as labels say.
pub(crate) fn is_open(spec: &Value) -> bool {
    label(spec, ENABLE) != Some("false") && !is_shown(spec)
}

/// Whether it can be asked, as one that gets no traffic.
pub(crate) fn is_shown(spec: &Value) -> bool {
    label(spec, PREVIEW).is_some()
}

/// Whether its traffic was ever opened or closed by a shift.
pub(crate) fn is_shifted(spec: &Value) -> bool {
    label(spec, SHIFTED).is_some()
}

/// Keeps Traefik from sending traffic to it, from its first moment on.
pub(crate) fn close(spec: &mut Value) {
    edit(spec, |labels| drop(labels.insert(ENABLE.to_owned(), json!("false"))));
}

/// Lets Traefik pass requests on to it that ask for it, and no others: what people say to Traefik is kept aside.
pub(crate) fn show(spec: &mut Value, router: &Router<'_>) {
    hide(spec);
    edit(spec, |labels| {
        let theirs: Map<_, _> = labels
            .iter()
            .filter(|(name, _)| is_route(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        labels.retain(|name, _| !is_route(name));
        labels.extend(routes(&theirs, router));
        labels.insert(PREVIEW.to_owned(), json!(Value::Object(theirs).to_string()));
        labels.insert(ENABLE.to_owned(), json!("true"));
    });
}

/// Nobody can ask it any more: what people say to Traefik is as it was, and there is no traffic.
pub(crate) fn hide(spec: &mut Value) {
    let Some(theirs) = label(spec, PREVIEW).map(serde_json::from_str::<Map<String, Value>>) else { return };
    edit(spec, |labels| {
        labels.retain(|name, _| name != PREVIEW && !is_route(name));
        labels.extend(theirs.unwrap_or_default());
        labels.insert(ENABLE.to_owned(), json!("false"));
    });
}

/// Lets Traefik send traffic to it, or not any more: it takes some time to see that.
pub(crate) fn shift(spec: &mut Value, is_open: bool) {
    hide(spec);
    edit(spec, |labels| {
        labels.insert(ENABLE.to_owned(), json!(is_open.to_string()));
        labels.insert(SHIFTED.to_owned(), json!("true"));
    });
}

/// Whether Traefik reads this label.
pub(crate) fn is_traefiks(label: &str) -> bool {
    label.starts_with(TRAEFIK)
}

/// Gives it the labels that Traefik reads from another slot: two slots with different routers get no traffic at all.
pub(crate) fn copy_traefik(spec: &mut Value, from: &Value) {
    let theirs = from.get("Labels").and_then(Value::as_object).into_iter().flatten();
    let theirs: Vec<_> = theirs.filter(|(name, _)| is_traefiks(name)).collect();
    edit(spec, |labels| {
        labels.retain(|name, _| !is_traefiks(name));
        labels.extend(theirs.into_iter().map(|(name, value)| (name.clone(), value.clone())));
    });
}

/// Tells Traefik the port, as its service of this name, where nobody has told it one.
pub(crate) fn put_port(spec: &mut Value, service: &str, port: u16) {
    edit(spec, |labels| {
        if !labels.keys().any(|name| is_port(name)) {
            labels.insert(format!("{SERVICES}{service}{PORT}"), json!(port.to_string()));
        }
    });
}

fn is_port(name: &str) -> bool {
    let name = name.to_lowercase();
    name.starts_with(SERVICES) && name.ends_with(PORT)
}

fn is_route(name: &str) -> bool {
    let name = name.to_lowercase();
    ROUTES.iter().any(|route| name.starts_with(route))
}

/// The labels of the router. Whether it is reached by TLS is not known here, so there is one for either. How Traefik speaks
/// with the service is as people say.
fn routes(theirs: &Map<String, Value>, router: &Router<'_>) -> Vec<(String, Value)> {
    let Router { name, port, header, ask, answer } = router;
    let mut labels = vec![
        (format!("traefik.http.middlewares.{name}.headers.customrequestheaders.{header}"), json!("")),
        (format!("traefik.http.middlewares.{name}.headers.customresponseheaders.{header}"), json!(answer)),
    ];
    for (one, further) in [(name.clone(), None), (format!("{name}-tls"), Some(("tls", "true")))] {
        let rule = format!("Header(`{header}`, `{ask}`)");
        let said =
            [("rule", rule.as_str()), ("service", name), ("middlewares", name), ("priority", PRIORITY)];
        let said = said.into_iter().chain(further);
        labels.extend(said.map(|(key, value)| (format!("traefik.http.routers.{one}.{key}"), json!(value))));
    }
    let port = port.map(|port| port.to_string());
    let is_of_port = |(label, value): &(&String, &Value)| {
        is_port(label) && port.as_deref().is_none_or(|port| value.as_str() == Some(port))
    };
    let service = theirs.iter().find(is_of_port).and_then(|(label, _)| label.get(..label.len() - PORT.len()));
    for (label, value) in theirs {
        let key = service.and_then(|service| label.strip_prefix(service)?.strip_prefix('.'));
        labels.extend(key.map(|key| (format!("{SERVICES}{name}.{key}"), value.clone())));
    }
    labels.extend(port.map(|port| (format!("{SERVICES}{name}{PORT}"), json!(port))));
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_shifts_is_told_apart_from_who_never_had_traffic() {
        let mut spec = json!({"Labels": {"team": "a"}});
        assert!(is_open(&spec) && !is_shifted(&spec));
        close(&mut spec);
        assert!(!is_open(&spec) && !is_shifted(&spec));
        shift(&mut spec, true);
        assert!(is_open(&spec) && is_shifted(&spec));
        put_slot(&mut spec, &SlotLabels::default());
        assert!(!is_shifted(&spec));
        assert_eq!(spec, json!({"Labels": {"team": "a", "traefik.enable": "true"}}));
    }

    /// One that is asked, with these labels of people.
    fn shown(theirs: &Value) -> Value {
        let mut spec = json!({"Labels": theirs});
        let router = Router {
            name: "shop-api-preview".to_owned(),
            port: Some(8443),
            header: "X-P",
            ask: "word",
            answer: "echo",
        };
        show(&mut spec, &router);
        spec
    }

    #[test]
    fn who_is_asked_before_its_visitors_come_has_another_router_and_none_of_theirs() {
        let theirs = json!({
            "team": "a", "traefik.swarm.network": "n", "traefik.enable": "false",
            "traefik.http.routers.api.rule": "PathPrefix(`/`)", "traefik.tcp.routers.db.rule": "HostSNI(`*`)",
            "traefik.http.services.admin.loadbalancer.server.port": "9000",
            "traefik.http.services.mine.loadbalancer.server.port": "8443",
            "traefik.http.services.mine.loadbalancer.server.scheme": "https",
        });
        let mut spec = shown(&theirs);
        assert!(is_shown(&spec) && !is_open(&spec) && !is_shifted(&spec));
        let said = |name: &str| label(&spec, name);
        assert_eq!((said("team"), said("traefik.swarm.network")), (Some("a"), Some("n")));
        assert_eq!(said("traefik.enable"), Some("true"));
        for router in ["shop-api-preview", "shop-api-preview-tls"] {
            let rule = format!("traefik.http.routers.{router}.rule");
            assert_eq!(said(&rule), Some("Header(`X-P`, `word`)"));
            assert_eq!(said(&rule.replace(".rule", ".tls")), router.ends_with("tls").then_some("true"));
        }
        let server =
            |key: &str| said(&format!("traefik.http.services.shop-api-preview.loadbalancer.server.{key}"));
        assert_eq!((server("port"), server("scheme")), (Some("8443"), Some("https")));
        let labels = spec["Labels"].as_object().unwrap();
        let is_theirs = |name: &&String| is_route(name) && !name.contains("shop-api-preview");
        assert_eq!(labels.keys().find(is_theirs), None);

        hide(&mut spec);
        assert_eq!(spec["Labels"], theirs);
        hide(&mut spec);
        assert_eq!(spec["Labels"], theirs);
    }

    #[test]
    fn who_was_asked_and_then_gets_its_visitors_has_the_routers_of_people() {
        let theirs =
            json!({"traefik.enable": "false", "traefik.http.services.a.loadbalancer.server.port": "1"});
        let mut spec = shown(&theirs);
        assert_eq!(
            label(&spec, "traefik.http.services.shop-api-preview.loadbalancer.server.port"),
            Some("8443")
        );
        // A run that was killed, and another one that asks again.
        let again = Router { name: "p".to_owned(), port: None, header: "X-P", ask: "other", answer: "" };
        show(&mut spec, &again);
        assert_eq!(label(&spec, "traefik.http.services.p.loadbalancer.server.port"), Some("1"));
        shift(&mut spec, true);
        assert!(is_open(&spec) && is_shifted(&spec) && !is_shown(&spec));
        let open = json!({
            "traefik.http.services.a.loadbalancer.server.port": "1", "traefik.enable": "true", SHIFTED: "true",
        });
        assert_eq!(spec["Labels"], open);
    }

    #[test]
    fn how_it_stands_to_others_is_read_as_it_was_written() {
        let some = |text: &str| Some(text.to_owned());
        let first = SlotLabels { of: some("api"), behind: some("edge"), beside: some("id") };
        let mut spec = json!({"Labels": null});
        put_slot(&mut spec, &first);
        assert_eq!(slot(&spec), first);
        let second = SlotLabels { beside: None, ..first };
        put_slot(&mut spec, &second);
        assert_eq!(slot(&spec), second);
    }

    #[test]
    fn the_routers_of_people_are_the_same_on_both_slots() {
        let from = json!({"Labels": {"traefik.http.routers.a.rule": "new", "team": "a"}});
        let mut spec =
            json!({"Labels": {"traefik.http.routers.a.rule": "old", "traefik.x": "y", "team": "b"}});
        copy_traefik(&mut spec, &from);
        assert_eq!(spec, json!({"Labels": {"traefik.http.routers.a.rule": "new", "team": "b"}}));
    }

    #[test]
    fn a_port_that_people_have_named_stays() {
        let mut spec = json!({"Labels": {}});
        put_port(&mut spec, "shop-api", 8080);
        put_port(&mut spec, "other", 1);
        let port = "traefik.http.services.shop-api.loadbalancer.server.port";
        assert_eq!(spec, json!({"Labels": {port: "8080"}}));
        let theirs = json!({"Labels": {"traefik.http.services.mine.loadBalancer.server.port": "80"}});
        let mut spec = theirs.clone();
        put_port(&mut spec, "shop-api", 8080);
        assert_eq!(spec, theirs);
    }
}
