//! `Traces`: what the steps of a build left in an image, and the rules about that.

use std::fmt;

use super::size::human;
use crate::verdict::Outcome;

/// How many of a kind a sentence names.
const NAMED: usize = 3;

/// What the steps of a build left in an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traces {
    /// Secrets, deleted ones too.
    pub leaks: Vec<Leak>,
    /// Files that give whoever runs them the rights of their owner or group, and that no package of the system brought.
    pub setuid: Vec<String>,
    /// Why it is not known what packages of the system brought, if so.
    pub unknown_owners: Option<String>,
    /// Caches of package managers that are still there.
    pub caches: Vec<Cache>,
    /// Bytes of files that a later layer replaces or removes.
    pub wasted: u64,
    /// The paths that waste most, the worst first.
    pub most_wasted: Vec<Wasted>,
}

/// The layer that something is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// From 0.
    pub layer: usize,
    /// The step that made it, where that is told. No secret stands in it.
    pub made_by: Option<String>,
}

/// A secret in an image. What it is worth is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    /// What it is, in words.
    pub what: &'static str,
    /// Where it is.
    pub place: Place,
}

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A variable of its environment.
    Variable(String),
    /// A label.
    Label(String),
    /// A step of its history; no secret stands in the text.
    Step(String),
    /// A file.
    File {
        /// From the root.
        path: String,
        /// The first layer that has it.
        origin: Origin,
        /// Whether whoever runs the image does not see it any more. Whoever pulls it does.
        is_gone: bool,
    },
}

/// A cache that a package manager needs only while it installs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    /// Whose it is: `apt`.
    pub of: &'static str,
    /// Its folder.
    pub path: String,
    /// How large the files in it are.
    pub bytes: u64,
}

/// A file that costs bytes and that nobody sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wasted {
    /// From the root.
    pub path: String,
    /// Over all layers that have it in vain.
    pub bytes: u64,
    /// The first of them.
    pub origin: Origin,
}

/// A port that an image says it listens on (`EXPOSE`): `8080/tcp`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port(pub String);

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "layer {}", self.layer)?;
        self.made_by.as_ref().map_or(Ok(()), |step| write!(f, ", made by `{}`", short(step)))
    }
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in ", self.what)?;
        match &self.place {
            Place::Variable(name) => write!(f, "`ENV {name}`"),
            Place::Label(name) => write!(f, "the label `{name}`"),
            Place::Step(step) => write!(f, "the step `{}`", short(step)),
            Place::File { path, origin, is_gone: false } => write!(f, "`{path}` ({origin})"),
            Place::File { path, origin, is_gone: true } => {
                write!(f, "`{path}` ({origin}), which a later layer hides and everybody can still pull")
            }
        }
    }
}

/// A step as people wrote it, and not longer than a line.
pub(super) fn short(step: &str) -> String {
    const LONGEST: usize = 80;
    let step = step.trim().trim_end_matches("# buildkit").trim_end();
    let step = step.strip_prefix("/bin/sh -c #(nop)").or(step.strip_prefix("/bin/sh -c")).unwrap_or(step);
    let words = step.split_whitespace().collect::<Vec<_>>().join(" ").replace('`', "'");
    match words.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}...", words.get(..at).unwrap_or_default()),
        None => words,
    }
}

/// The first of them in words, and how many more there are.
pub(super) fn listed<T: fmt::Display>(all: &[T]) -> String {
    let first = all.iter().take(NAMED).map(ToString::to_string).collect::<Vec<_>>().join("; ");
    match all.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first}; and {more} more"),
    }
}

/// `no-secrets`.
pub(super) fn secrets(traces: &Traces) -> Outcome {
    if traces.leaks.is_empty() {
        return Outcome::pass("no secret is known by its form or its name");
    }
    Outcome::fail(format!(
        "it holds secrets: {}. Change them where they are valid, and give them to the build with `RUN --mount=type=secret`",
        listed(&traces.leaks)
    ))
}

/// `no-setuid`.
pub(super) fn setuid(traces: &Traces) -> Outcome {
    let files: Vec<_> = traces.setuid.iter().map(|path| format!("`{path}`")).collect();
    match (&files[..], &traces.unknown_owners) {
        ([], _) => Outcome::pass("only packages of the system bring files with setuid or setgid"),
        (files, Some(why)) => Outcome::inconclusive(format!(
            "it cannot be told which of {} files with setuid or setgid belong to packages: {why}",
            files.len()
        )),
        (files, None) => Outcome::fail(format!(
            "files with setuid or setgid that no package of the system brought: {}. Take the rights away with `chmod a-s`",
            listed(files)
        )),
    }
}

/// `no-package-cache`.
pub(super) fn caches(traces: &Traces) -> Outcome {
    if traces.caches.is_empty() {
        return Outcome::pass("no cache of a package manager is left");
    }
    let said: Vec<_> = traces
        .caches
        .iter()
        .map(|one| format!("{} of {} in `{}`", human(one.bytes), one.of, one.path))
        .collect();
    let sum = traces.caches.iter().fold(0_u64, |sum, cache| sum.saturating_add(cache.bytes));
    Outcome::fail(format!(
        "caches of package managers take {}: {}. Remove them in the step that fills them, or mount them with \
         `RUN --mount=type=cache`",
        human(sum),
        listed(&said)
    ))
}

/// `exposed-ports`: none by which machines are administered, and none but the port of the service, where that is known.
pub(super) fn ports(ports: &[Port], wanted: Option<u16>) -> Outcome {
    let mut wrong = Vec::new();
    for port in ports {
        let Some((first, last)) = port.range() else {
            return Outcome::inconclusive(format!("it exposes `{}`, which is no port", port.0));
        };
        let administration = ADMINISTRATION.iter().find(|(number, _)| (first..=last).contains(number));
        match (administration, wanted) {
            (_, Some(wanted)) if (first, last) == (wanted, wanted) => {}
            (Some((number, what)), _) => wrong.push(format!("`{}`: {number} is {what}", port.0)),
            (None, Some(wanted)) => wrong.push(format!("`{}`: the service listens on {wanted}", port.0)),
            (None, None) => {}
        }
    }
    if !wrong.is_empty() {
        return Outcome::fail(format!("it exposes what it should not: {}", listed(&wrong)));
    }
    let all: Vec<_> = ports.iter().map(|port| format!("`{}`", port.0)).collect();
    Outcome::pass(if all.is_empty() { "no ports".to_owned() } else { format!("exposes {}", all.join(", ")) })
}

/// The ports by which machines, runtimes and debuggers are taken over.
const ADMINISTRATION: [(u16, &str); 15] = [
    (22, "SSH"),
    (23, "Telnet"),
    (512, "rexec"),
    (513, "rlogin"),
    (514, "rsh"),
    (2375, "Docker"),
    (2376, "Docker"),
    (3389, "Remote Desktop"),
    (5005, "the debugger of Java"),
    (5900, "VNC"),
    (5901, "VNC"),
    (5985, "Windows Remote Management"),
    (5986, "Windows Remote Management"),
    (9229, "the debugger of Node.js"),
    (10250, "the kubelet"),
];

impl Port {
    /// The first and the last number that it means.
    fn range(&self) -> Option<(u16, u16)> {
        let numbers = self.0.split('/').next()?;
        let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
        let range = (first.parse().ok()?, last.parse().ok()?);
        (range.0 <= range.1).then_some(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Verdict;

    fn origin(layer: usize, made_by: &str) -> Origin {
        Origin { layer, made_by: Some(made_by.to_owned()) }
    }

    #[test]
    fn secrets_are_told_by_their_places() {
        let file = |is_gone| Place::File {
            path: "app/.env".to_owned(),
            origin: origin(2, "/bin/sh -c #(nop) COPY dir:ab in /app # buildkit"),
            is_gone,
        };
        for (place, said) in [
            (Place::Variable("X".to_owned()), "a token in `ENV X`"),
            (Place::Label("x".to_owned()), "a token in the label `x`"),
            (Place::Step("RUN a".to_owned()), "a token in the step `RUN a`"),
            (file(false), "a token in `app/.env` (layer 2, made by `COPY dir:ab in /app`)"),
            (
                file(true),
                "a token in `app/.env` (layer 2, made by `COPY dir:ab in /app`), which a later layer hides and everybody can \
                 still pull",
            ),
        ] {
            assert_eq!(Leak { what: "a token", place }.to_string(), said);
        }
        let leak = || Leak { what: "a token", place: Place::Variable("X".to_owned()) };
        let traces = |count| Traces { leaks: (0..count).map(|_| leak()).collect(), ..Traces::default() };
        assert_eq!(secrets(&traces(0)).verdict, Verdict::Pass);
        let many = secrets(&traces(5));
        assert_eq!(many.verdict, Verdict::Fail);
        assert!(many.cause.contains("`ENV X`; and 2 more. Change them"), "{}", many.cause);
    }

    #[test]
    fn a_step_is_told_in_a_line() {
        let told = |step: &str| origin(0, step).to_string();
        assert_eq!(told("RUN /bin/sh -c a  &&\n\tb # buildkit"), "layer 0, made by `RUN /bin/sh -c a && b`");
        assert_eq!(told("/bin/sh -c npm ci"), "layer 0, made by `npm ci`");
        let long = told(&"é".repeat(200));
        assert_eq!(long, format!("layer 0, made by `{}...`", "é".repeat(80)));
        assert_eq!(Origin { layer: 1, made_by: None }.to_string(), "layer 1");
    }

    #[test]
    fn rights_that_nobody_can_place_are_no_pass() {
        let traces = |files: &[&str], why: Option<&str>| Traces {
            setuid: files.iter().map(|&file| file.to_owned()).collect(),
            unknown_owners: why.map(str::to_owned),
            ..Traces::default()
        };
        assert_eq!(setuid(&traces(&[], Some("RPM"))).verdict, Verdict::Pass);
        let fails = setuid(&traces(&["a", "b", "c", "d"], None));
        assert_eq!(fails.verdict, Verdict::Fail);
        assert!(fails.cause.contains("`a`; `b`; `c`; and 1 more"), "{}", fails.cause);
        let unknown = setuid(&traces(&["a"], Some("RPM")));
        assert_eq!((unknown.verdict, unknown.cause.ends_with(": RPM")), (Verdict::Inconclusive, true));
    }

    #[test]
    fn caches_are_told_with_their_bytes() {
        let cache = |of, bytes| Cache { of, path: "a/b".to_owned(), bytes };
        let traces =
            Traces { caches: vec![cache("apt", 2_000_000), cache("npm", 500_000)], ..Traces::default() };
        let said = caches(&traces);
        assert_eq!(said.verdict, Verdict::Fail);
        assert!(
            said.cause.contains("take 2.5 MB: 2.0 MB of apt in `a/b`; 500.0 kB of npm in `a/b`"),
            "{}",
            said.cause
        );
        assert_eq!(caches(&Traces::default()).verdict, Verdict::Pass);
    }

    #[test]
    fn ports_of_administrators_fail_and_others_where_the_one_of_the_service_is_known() {
        for (exposed, wanted, verdict) in [
            (&[][..], None, Verdict::Pass),
            (&[], Some(8080), Verdict::Pass),
            (&["8080/tcp", "9090/udp"], None, Verdict::Pass),
            (&["8080/tcp", "8080/udp"], Some(8080), Verdict::Pass),
            (&["8080/tcp", "9090/tcp"], Some(8080), Verdict::Fail),
            (&["80"], Some(8080), Verdict::Fail),
            (&["22/tcp"], None, Verdict::Fail),
            (&["20-30/tcp"], None, Verdict::Fail),
            (&["9229/tcp"], Some(8080), Verdict::Fail),
            // A bastion says so itself.
            (&["22/tcp"], Some(22), Verdict::Pass),
            (&["http"], None, Verdict::Inconclusive),
            (&["30-20/tcp"], None, Verdict::Inconclusive),
        ] {
            let all: Vec<_> = exposed.iter().map(|&port| Port(port.to_owned())).collect();
            assert_eq!(ports(&all, wanted).verdict, verdict, "{exposed:?} {wanted:?}");
        }
    }
}
