//! The checks as they stand in `shipkit.yml`, each tried on the configuration itself.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use shipkit_core::Secret;
use shipkit_core::config::{Config, Needed};
use shipkit_smoke::{Given, Options, Shipped, configured, validate};

use super::draft::{Draft, written};
use super::note::{Notes, Place};
use super::secret::Secrets;
use super::text::Text;
use super::{base, names, short, yaml};

/// What there is to write.
pub(super) struct Written {
    pub(super) yaml: String,
    pub(super) count: usize,
}

/// Makes checks of all requests that can be made one.
pub(super) fn all(mut drafts: Vec<Draft>, files: &[String], notes: &mut Notes) -> Written {
    let mut secrets = Secrets::default();
    drafts.retain_mut(|draft| {
        take_login(draft, &mut secrets, notes);
        let is_clean = secrets.take(draft, notes);
        if !is_clean {
            notes.left_out(
                draft.place,
                "the request, whose body may hold a secret that cannot be told from the rest",
            );
        }
        is_clean
    });
    for draft in &mut drafts {
        draft.change(&|text| secrets.hide(text));
        let shown = |name: &str| Text::read(&secrets.hide(name)).map(str::to_owned).replace("{{=", "{{");
        draft.name = draft.name.as_deref().map(shown);
    }
    drafts.retain(|draft| {
        let computed = draft.computed();
        if let Some(what) = &computed {
            notes.left_out(
                draft.place,
                format!("the request, which needs `{{{{{what}}}}}`, a new value each time"),
            );
        }
        computed.is_none()
    });
    let base = base::take(&mut drafts, notes);
    let outside = names::resolve(&mut drafts, notes);
    side_by_side(&drafts, notes);
    let mut text = String::new();
    if let Some(base) = &base {
        let base = Text::read(&secrets.hide(base)).ours(&|name| name.to_owned()).unwrap_or_default();
        text.extend(["# url: ", &base, "\n"]);
    }
    if !outside.is_empty() {
        let outside: Vec<_> = outside.into_iter().collect();
        text.extend(["# variables of the environment: ", &outside.join(", "), "\n"]);
    }
    text.push_str("smoke:\n");
    let mut count = 0;
    let mut titles: BTreeMap<String, usize> = BTreeMap::new();
    for mut draft in drafts {
        title(&mut draft, &mut titles);
        let Some(check) = accepted(&mut draft, notes) else { continue };
        if !draft.method.is_safe() {
            let method = draft.method.key();
            notes.tell(draft.place, format!("`{method}` may change something: where people use the environment it needs `writes: true`, which is yours to say"));
        }
        let file = files.get(draft.place.file).map(|file| short(file)).unwrap_or_default();
        let file: String = file.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        text.extend([format!("  # {file}, line {}\n", draft.place.line), yaml::entry(&check)]);
        count += 1;
    }
    Written { yaml: text, count }
}

/// A user and a password, also those of an address, become a header (RFC 7617).
fn take_login(draft: &mut Draft, secrets: &mut Secrets, notes: &mut Notes) {
    if let Some((url, login)) = base::without_login(&draft.url) {
        draft.url = url;
        draft.login = draft.login.take().or(Some(login));
    }
    if let Some((name, key)) =
        draft.key.take().filter(|(_, key)| Text::read(key).variables().next().is_none())
    {
        secrets.variable(&name, &key, draft.place, notes);
    }
    if let Some(login) = draft.login.take().filter(|_| !draft.sends("authorization")) {
        let variable = secrets.variable("BASIC_AUTH", &login, draft.place, notes);
        notes.tell(draft.place, "what belongs into that variable is `user:password` in base64");
        draft.send.push(("Authorization".to_owned(), format!("Basic {variable}")));
    }
}

/// Two checks of one name would be hard to tell apart.
fn title(draft: &mut Draft, titles: &mut BTreeMap<String, usize>) {
    let title = draft.name.clone().unwrap_or_else(|| format!("{} {}", draft.method.key(), draft.url));
    let count = titles.entry(title.clone()).or_default();
    *count += 1;
    if 1 < *count {
        draft.name = Some(format!("{title} ({count})"));
    }
}

/// Where one request comes after another there, and not here.
fn side_by_side(drafts: &[Draft], notes: &mut Notes) {
    let mut told = Vec::new();
    for (draft, next) in drafts.iter().zip(drafts.iter().skip(1)) {
        let file = draft.place.file;
        if file == next.place.file && !told.contains(&file) {
            told.push(file);
            notes.tell(
                Place { file, line: 1 },
                "the checks are asked side by side, without the cookies of answers before: only who uses what another one captures waits for it",
            );
        }
    }
}

/// The check, if the configuration takes it: as it is, or without what it does not take.
fn accepted(draft: &mut Draft, notes: &mut Notes) -> Option<Map<String, Value>> {
    let place = draft.place;
    let (check, left) = written(draft, &draft.url.clone());
    for (line, why) in left {
        notes.left_out(Place { line, ..place }, why);
    }
    if refused(&check).is_none() {
        return Some(check);
    }
    let bare = Draft { terms: Vec::new(), ..draft.clone() };
    if let Some(why) = refused(&written(&bare, &bare.url).0) {
        notes.left_out(place, format!("the request: {why}"));
        return None;
    }
    let terms = std::mem::take(&mut draft.terms);
    for term in terms {
        let one = Draft { terms: vec![term.clone()], ..bare.clone() };
        match refused(&written(&one, &one.url).0) {
            None => draft.terms.push(term),
            Some(why) => notes.left_out(Place { line: term.line, ..place }, why),
        }
    }
    let (check, _) = written(draft, &draft.url.clone());
    refused(&check).is_none().then_some(check)
}

/// Why the configuration does not take this check.
fn refused(check: &Map<String, Value>) -> Option<String> {
    let entry = yaml::entry(check);
    let indented: String = entry.lines().flat_map(|line| ["      ", line, "\n"]).collect();
    let config = format!(
        "version: 1\nname: imported\nservices: {{app: {{build: {{}}}}}}\nenvironments:\n  staging:\n    url: http://localhost\n    \
         smoke:\n{indented}  production: {{needs: staging}}\n"
    );
    let set = |_: &str| Some("x".to_owned());
    let config = match Config::parse("shipkit.yml", &config, &set, Needed::Names) {
        Ok(config) => config,
        Err(error) => return error.problems().first().map(|problem| one_line(&problem.message)),
    };
    let smoke = &config.environments.first()?.smoke;
    let given = Given {
        shipped: Shipped::Unknown,
        variables: &|_| Some(Secret::from("x")),
        files: &|_| Err(std::io::ErrorKind::NotFound.into()),
    };
    let url = url::Url::parse("http://localhost").ok()?;
    let valid = configured(smoke, &given).and_then(|checks| validate(&url, &checks, &Options::default()));
    valid.err().map(|error| one_line(&error.to_string()))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
