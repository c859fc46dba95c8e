//! The labels that say how a service stands to the other slot of the same service, and whether Traefik sends traffic to it.
//!
//! As all labels of a service they restart nothing. A shift is one of them.

use serde_json::{Value, json};

use crate::labels::{SLOT, edit, label};

const OF: &str = "dev.shipkit.slot.of";
const BEHIND: &str = "dev.shipkit.slot.behind";
const BESIDE: &str = "dev.shipkit.slot.beside";
const SHIFTED: &str = "dev.shipkit.slot.shifted";
/// What begins so, Traefik reads.
const TRAEFIK: &str = "traefik.";
const ENABLE: &str = "traefik.enable";

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

/// Whether Traefik sends traffic to it, as far as labels say.
pub(crate) fn is_open(spec: &Value) -> bool {
    label(spec, ENABLE) != Some("false")
}

/// Whether its traffic was ever opened or closed by a shift.
pub(crate) fn is_shifted(spec: &Value) -> bool {
    label(spec, SHIFTED).is_some()
}

/// Keeps Traefik from sending traffic to it, from its first moment on.
pub(crate) fn close(spec: &mut Value) {
    edit(spec, |labels| drop(labels.insert(ENABLE.to_owned(), json!("false"))));
}

/// Lets Traefik send traffic to it, or not any more: it takes some time to see that.
pub(crate) fn shift(spec: &mut Value, is_open: bool) {
    edit(spec, |labels| {
        labels.insert(ENABLE.to_owned(), json!(is_open.to_string()));
        labels.insert(SHIFTED.to_owned(), json!("true"));
    });
}

/// Gives it the labels that Traefik reads from another slot: two slots with different routers get no traffic at all.
pub(crate) fn copy_traefik(spec: &mut Value, from: &Value) {
    let theirs = from.get("Labels").and_then(Value::as_object).into_iter().flatten();
    let theirs: Vec<_> = theirs.filter(|(name, _)| name.starts_with(TRAEFIK)).collect();
    edit(spec, |labels| {
        labels.retain(|name, _| !name.starts_with(TRAEFIK));
        labels.extend(theirs.into_iter().map(|(name, value)| (name.clone(), value.clone())));
    });
}

/// Tells Traefik the port, as its service of this name, where nobody has told it one.
pub(crate) fn put_port(spec: &mut Value, service: &str, port: u16) {
    const BEGIN: &str = "traefik.http.services.";
    const END: &str = ".loadbalancer.server.port";
    let is_told = |name: &String| {
        let name = name.to_lowercase();
        name.starts_with(BEGIN) && name.ends_with(END)
    };
    edit(spec, |labels| {
        if !labels.keys().any(is_told) {
            labels.insert(format!("{BEGIN}{service}{END}"), json!(port.to_string()));
        }
    });
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
