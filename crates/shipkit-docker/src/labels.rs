//! The labels on services: what was deployed, whether it was seen to succeed, and what to go back to.
//!
//! They are labels of the service and not of its containers, so writing them restarts nothing; and because they are a
//! part of the specification, a rollback by the Swarm itself takes them back with everything else.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use shipkit_core::Digest;
use shipkit_core::target::{DesiredService, Stamp};

/// The label by which `docker stack` finds what belongs to a stack.
pub(crate) const NAMESPACE: &str = "com.docker.stack.namespace";

/// How our own labels begin.
const PREFIX: &str = "dev.shipkit.";
pub(crate) const RELEASE: &str = "dev.shipkit.release";
const VERSION: &str = "dev.shipkit.version";
const COMMIT: &str = "dev.shipkit.commit";
const REVISION: &str = "dev.shipkit.revision";
const ENVIRONMENT: &str = "dev.shipkit.environment";
const RUN: &str = "dev.shipkit.run";
const DEPLOYED: &str = "dev.shipkit.deployed";
const CONFIRMED: &str = "dev.shipkit.confirmed";
const PREVIOUS: &str = "dev.shipkit.previous";
/// The digest of what stack files say of the service, where it has them.
const FILES: &str = "dev.shipkit.files";
/// The image as the file that `docker stack deploy` was given has it.
const STACK_IMAGE: &str = "com.docker.stack.image";

const HOOK: &str = "dev.shipkit.hook";

/// What begins so says how a service stands to another one, and is not of a deploy.
pub(crate) const SLOT: &str = "dev.shipkit.slot.";

/// The name of the job that migrates, within its stack, and what its label says.
pub(crate) const MIGRATION: &str = "shipkit-migrate";

/// Which deploy put a specification there: release and time. `None` if it was not shipkit.
pub(crate) type Mark = Option<(String, String)>;

/// One label of a specification.
pub(crate) fn label<'a>(spec: &'a Value, name: &str) -> Option<&'a str> {
    spec.get("Labels")?.get(name)?.as_str()
}

/// Which deploy put this specification there.
pub(crate) fn mark(spec: &Value) -> Mark {
    Some((label(spec, RELEASE)?.to_owned(), label(spec, DEPLOYED)?.to_owned()))
}

/// What was deployed; `None` if it was not shipkit or the labels were damaged.
pub(crate) fn stamp(spec: &Value) -> Option<Stamp> {
    Some(Stamp {
        release: label(spec, RELEASE)?.parse().ok()?,
        version: label(spec, VERSION)?.to_owned(),
        commit: label(spec, COMMIT)?.to_owned(),
        environment: label(spec, ENVIRONMENT)?.to_owned(),
        run: label(spec, RUN).map(str::to_owned),
        time: label(spec, DEPLOYED)?.parse().ok()?,
    })
}

/// The commit that the image was built from.
pub(crate) fn revision(spec: &Value) -> Option<String> {
    label(spec, REVISION).map(str::to_owned)
}

/// Whether it is a job that migrates, and no service of the project.
pub(crate) fn is_migration(spec: &Value) -> bool {
    label(spec, HOOK) == Some(MIGRATION)
}

/// The labels of the job that migrates.
pub(crate) fn for_migration(stack: &str, stamp: &Stamp, revision: &str) -> Value {
    let mut labels = for_deploy(None, stack, stamp, revision);
    if let Some(labels) = labels.as_object_mut() {
        labels.insert(HOOK.to_owned(), json!(MIGRATION));
    }
    labels
}

/// Whether the deploy was seen to succeed. What shipkit did not deploy is what serves: nobody else will confirm it.
pub(crate) fn is_confirmed(spec: &Value) -> bool {
    mark(spec).is_none() || label(spec, CONFIRMED).is_some()
}

/// The last good specification that this one remembers.
pub(crate) fn previous(spec: &Value) -> Option<Value> {
    serde_json::from_str(label(spec, PREVIOUS)?).ok().filter(Value::is_object)
}

/// The specification to go back to if what replaces `spec` fails: `spec` itself if it is good, otherwise the good one
/// that it remembers.
pub(crate) fn last_good(spec: &Value) -> Option<Value> {
    if is_confirmed(spec) { Some(spec.clone()) } else { previous(spec) }
}

/// The labels for a deploy over `before` (`None` for a new service). Labels of others stay.
pub(crate) fn for_deploy(before: Option<&Value>, stack: &str, stamp: &Stamp, revision: &str) -> Value {
    let mut labels = theirs(before);
    put_stamp(&mut labels, stack, stamp);
    labels.insert(REVISION.to_owned(), json!(revision));
    if let Some(mut good) = before.and_then(last_good) {
        forget_previous(&mut good);
        labels.insert(PREVIOUS.to_owned(), json!(good.to_string()));
    }
    Value::Object(labels)
}

/// Our labels for a deploy over `before` of a service that stack files describe; those of others stand in the files.
pub(crate) fn for_files(
    before: Option<&Value>,
    stamp: &Stamp,
    service: &DesiredService,
) -> BTreeMap<String, String> {
    let mut labels = ours(&for_deploy(before, "", stamp, &service.revision));
    labels.extend(service.settings.compose.iter().map(|files| (FILES.to_owned(), files.to_string())));
    labels
}

/// Our labels of the job that migrates, where stack files describe the service.
pub(crate) fn for_migration_of_files(stamp: &Stamp, revision: &str) -> BTreeMap<String, String> {
    ours(&for_migration("", stamp, revision))
}

fn ours(labels: &Value) -> BTreeMap<String, String> {
    let all = labels.as_object().into_iter().flatten().filter(|(name, _)| name.starts_with(PREFIX));
    all.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

/// What stack files say of the service; `None` if it has none.
pub(crate) fn files(spec: &Value) -> Option<Digest> {
    label(spec, FILES)?.parse().ok()
}

/// Whether a label is none that people give.
pub(crate) fn is_ours_or_dockers(label: &str) -> bool {
    label.starts_with(PREFIX) || label.starts_with("com.docker.stack.")
}

/// The specification, described by these stack files.
pub(crate) fn put_files(spec: &mut Value, files: &Digest) {
    if let Some(labels) = spec.get_mut("Labels").and_then(Value::as_object_mut) {
        labels.insert(FILES.to_owned(), json!(files.as_str()));
    }
}

/// Whether `docker stack deploy` put this image there, as far as it knows.
pub(crate) fn is_of_image(spec: &Value, image: &str) -> bool {
    label(spec, STACK_IMAGE) == Some(image)
}

/// The specification as if `docker stack deploy` knew nothing of its image.
pub(crate) fn without_image(spec: &Value) -> Value {
    let mut spec = spec.clone();
    if let Some(labels) = spec.get_mut("Labels").and_then(Value::as_object_mut) {
        labels.remove(STACK_IMAGE);
    }
    spec
}

/// The labels of what others started and nobody will deploy: it is confirmed, for it serves. Labels of others stay.
pub(crate) fn for_adoption(before: &Value, stack: &str, stamp: &Stamp) -> Value {
    let mut labels = theirs(Some(before));
    put_stamp(&mut labels, stack, stamp);
    labels.insert(CONFIRMED.to_owned(), json!(stamp.time.to_string()));
    Value::Object(labels)
}

/// The labels that are not ours.
fn theirs(spec: Option<&Value>) -> Map<String, Value> {
    let mut labels = spec.and_then(|spec| spec.get("Labels")?.as_object().cloned()).unwrap_or_default();
    labels.retain(|name, _| !name.starts_with(PREFIX) || name.starts_with(SLOT));
    labels
}

fn put_stamp(labels: &mut Map<String, Value>, stack: &str, stamp: &Stamp) {
    let mut put = |name: &str, text: String| labels.insert(name.to_owned(), Value::String(text));
    put(NAMESPACE, stack.to_owned());
    put(RELEASE, stamp.release.to_string());
    put(VERSION, stamp.version.clone());
    put(COMMIT, stamp.commit.clone());
    put(ENVIRONMENT, stamp.environment.clone());
    put(DEPLOYED, stamp.time.to_string());
    if let Some(run) = &stamp.run {
        put(RUN, run.clone());
    }
}

/// The specification without its own memory: what a label keeps, and what a rollback writes. A rollback must not
/// leave a way to go "back" to what it has just left.
pub(crate) fn forget_previous(spec: &mut Value) {
    if let Some(labels) = spec.get_mut("Labels").and_then(Value::as_object_mut) {
        labels.remove(PREVIOUS);
    }
}

/// The specification, seen to succeed at this time.
pub(crate) fn confirm(spec: &mut Value, time: Timestamp) {
    edit(spec, |labels| drop(labels.insert(CONFIRMED.to_owned(), json!(time.to_string()))));
}

/// Changes the labels of a specification.
pub(crate) fn edit(spec: &mut Value, change: impl FnOnce(&mut Map<String, Value>)) {
    let Some(spec) = spec.as_object_mut() else { return };
    let labels = spec.entry("Labels").or_insert(Value::Null);
    if labels.is_null() {
        *labels = json!({});
    }
    if let Some(labels) = labels.as_object_mut() {
        change(labels);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shipkit_core::Digest;

    fn stamp_of(release: &str) -> Stamp {
        Stamp {
            release: Digest::of(release.as_bytes()),
            version: release.to_owned(),
            commit: "c".to_owned(),
            environment: "staging".to_owned(),
            run: None,
            time: "2026-01-02T03:04:05Z".parse().unwrap(),
        }
    }

    fn deployed(before: Option<&Value>, release: &str) -> Value {
        json!({"Name": release, "Labels": for_deploy(before, "shop", &stamp_of(release), "r")})
    }

    fn confirmed(mut spec: Value) -> Value {
        confirm(&mut spec, Timestamp::UNIX_EPOCH);
        spec
    }

    #[test]
    fn a_stamp_comes_back_as_it_was_written() {
        assert_eq!(stamp(&deployed(None, "1")), Some(stamp_of("1")));
        assert_eq!(revision(&deployed(None, "1")).as_deref(), Some("r"));
        assert_eq!(stamp(&json!({"Labels": {RELEASE: "x"}})), None);
    }

    #[test]
    fn the_good_specification_is_remembered_without_its_own_memory() {
        let one = confirmed(deployed(None, "1"));
        let two = confirmed(deployed(Some(&one), "2"));
        let three = deployed(Some(&two), "3");
        let good = previous(&three).unwrap();
        assert_eq!((good.get("Name"), previous(&good)), (Some(&json!("2")), None));
    }

    #[test]
    fn what_was_never_confirmed_is_not_remembered() {
        let one = confirmed(deployed(None, "1"));
        let two = deployed(Some(&one), "2");
        let three = deployed(Some(&two), "3");
        assert_eq!(previous(&three).unwrap().get("Name"), Some(&json!("1")));
        assert!(previous(&deployed(Some(&deployed(None, "1")), "2")).is_none());
    }

    #[test]
    fn what_ran_before_shipkit_counts_as_good_and_keeps_its_own_labels() {
        let foreign = json!({"Name": "0", "Labels": {"team": "a"}});
        let one = deployed(Some(&foreign), "1");
        assert_eq!(previous(&one), Some(foreign));
        assert_eq!(label(&one, "team"), Some("a"));
        assert!(!is_confirmed(&one));
    }

    #[test]
    fn what_is_adopted_is_good_from_now_on_and_keeps_its_own_labels() {
        let foreign = json!({"Name": "0", "Labels": {"team": "a"}});
        let stamp = Stamp { commit: String::new(), ..stamp_of("0") };
        let adopted = json!({"Name": "0", "Labels": for_adoption(&foreign, "shop", &stamp)});
        assert_eq!((label(&adopted, "team"), label(&adopted, NAMESPACE)), (Some("a"), Some("shop")));
        assert_eq!((self::stamp(&adopted), revision(&adopted)), (Some(stamp), None));
        assert!(is_confirmed(&adopted) && previous(&adopted).is_none());
        assert_eq!(previous(&deployed(Some(&adopted), "1")), Some(adopted));
    }

    #[test]
    fn docker_forgets_an_image_that_others_have_replaced() {
        let there = json!({"Labels": {STACK_IMAGE: "a", "team": "b"}});
        assert!(is_of_image(&there, "a") && !is_of_image(&there, "b"));
        assert_eq!(without_image(&there), json!({"Labels": {"team": "b"}}));
    }

    #[test]
    fn stack_files_get_our_labels_and_none_of_others() {
        let one = confirmed(deployed(None, "1"));
        let ours = ours(&for_deploy(Some(&one), "shop", &stamp_of("2"), "r"));
        assert!(ours.keys().all(|name| name.starts_with(PREFIX)), "{ours:?}");
        let after = json!({"Labels": ours});
        assert_eq!((mark(&after), revision(&after)), (mark(&deployed(None, "2")), Some("r".to_owned())));
        assert_eq!(previous(&after).unwrap().get("Name"), Some(&json!("1")));
        assert_eq!(files(&after), None);
    }

    #[test]
    fn a_damaged_memory_is_no_memory() {
        assert_eq!(previous(&json!({"Labels": {PREVIOUS: "{"}})), None);
        assert_eq!(previous(&json!({"Labels": {PREVIOUS: "7"}})), None);
    }
}
