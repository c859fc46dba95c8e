//! Compose files from outside: wrong ones with their messages, and what is taken over of right ones.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]
// Core may not touch the disk; its tests read fixtures.
#![allow(clippy::disallowed_methods, reason = "fixtures are files")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use shipkit_core::Hint as _;
use shipkit_core::config::{
    Because, Build, BuildArg, BuildContext, ComposeFile, Config, ConfigError, LeftOut, Needed, Part, Service,
    Source,
};
use shipkit_core::exit::ExitCode;

const OWN: &str = "version: 1\nname: shop\nenvironments: {staging: {}}\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The configuration with this Compose file, where these variables are set.
fn parse_with(
    compose: ComposeFile<'_>,
    variables: &[(&str, &str)],
    needed: Needed<'_>,
) -> Result<Config, ConfigError> {
    let find = |name: &str| {
        let found = variables.iter().find(|(other, _)| *other == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Config::parse_beside("shipkit.yml", OWN, Some(compose), &find, needed)
}

fn beside(own: &str, compose: Option<ComposeFile<'_>>) -> Result<Config, ConfigError> {
    Config::parse_beside("shipkit.yml", own, compose, &|_| None, Needed::Build)
}

fn file(text: &str) -> ComposeFile<'_> {
    ComposeFile { file: "compose.yaml", text, folder: "", env_file: None }
}

#[track_caller]
fn parse(text: &str) -> Config {
    let variables = [("SET", "set"), ("DOLLAR", "a$b"), ("EMPTY", "")];
    parse_with(file(text), &variables, Needed::Build).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn api(text: &str) -> Service {
    parse(&format!("services:\n  api:\n    build: api\n{text}\n")).services.remove("api").unwrap()
}

#[track_caller]
fn build(text: &str) -> Build {
    match parse(&format!("services:\n  api: {{build: {text}}}\n  base: {{build: base}}\n")).services["api"]
        .source
        .clone()
    {
        Source::Build(build) => build,
        Source::Image(image) => panic!("{image}"),
    }
}

/// What is left of `api`, and why.
#[track_caller]
fn left(text: &str) -> Vec<(String, Because)> {
    let config = parse(&format!("services:\n  api:\n    build: api\n{text}\n"));
    let left = config.compose.unwrap().left.into_iter();
    left.filter(|left| left.service == "api").map(|left| (left.key, left.because)).collect()
}

#[track_caller]
fn problems(text: &str, needed: Needed<'_>) -> Vec<String> {
    match parse_with(file(text), &[], needed) {
        Ok(_) => Vec::new(),
        Err(error) => error.problems().iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn every_wrong_compose_file_says_where_and_what_is_wrong() {
    let folder = root().join("tests/fixtures/compose/wrong");
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(20 <= files.len());
    let mut lines = String::new();
    for path in files {
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let compose = ComposeFile { file: name, ..file(&text) };
        let error = parse_with(compose, &[], Needed::Build).expect_err(&format!("{name} is accepted"));
        assert_eq!(error.exit_code(), ExitCode::Usage);
        assert!(error.problems().iter().all(|problem| problem.file == name), "{error}");
        lines.extend([error.to_string(), "\n".to_owned()]);
    }
    let file = folder.join("errors.txt");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, &lines).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(found, lines, "run UPDATE=1 cargo test -p shipkit-core --test compose");
}

#[test]
fn the_compose_file_is_for_what_names_no_services() {
    let services = "version: 1\nname: shop\nservices: {own: {build: {}}}\nenvironments: {staging: {}}\n";
    let broken = file("services: [");
    let config = beside(services, Some(broken)).unwrap();
    assert!(config.services.contains_key("own") && config.compose.is_none());
    for (text, wants) in [
        (OWN, true),
        (services, false),
        ("version: 1\nservices:\n", false),
        ("version: 1\nservices: {}\n", false),
        ("[", false),
        ("", false),
    ] {
        assert_eq!(Config::wants_compose(text), wants, "{text}");
    }
    let error = beside(OWN, None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "shipkit.yml:1:1: `services` is missing; name them here, or in a Compose file beside it (`compose.yaml`)"
    );
}

#[test]
fn both_files_are_judged_together() {
    let own = "version: 1\nname: Shop\nenvironments: {staging: {smoke: [{get: /, service: apu}]}}\n";
    let text = "services:\n  api: {build: {context: api, additional_contexts: {b: \"service:x\"}}}\n";
    let error = beside(own, Some(file(text))).unwrap_err();
    let places: Vec<_> = error
        .problems()
        .iter()
        .map(|problem| format!("{}:{}: {}", problem.file, problem.line, problem.path))
        .collect();
    assert_eq!(
        places,
        [
            "compose.yaml:2: services.api.build.additional_contexts.b",
            "shipkit.yml:2: name",
            "shipkit.yml:3: environments.staging.smoke[0].service",
        ]
    );
}

#[test]
fn a_build_is_a_folder_or_says_more() {
    assert_eq!(
        (build("./api/").context.as_str(), build("./api/").dockerfile.as_str()),
        ("api", "Dockerfile")
    );
    assert_eq!(build("{}").context, ".");
    let long = build(
        "{context: ../x, dockerfile: ../D, target: $SET, platforms: [linux/arm64], provenance: false, sbom: \"true\", \
         cache_from: [a], no_cache: true, x-mine: 1, pull: true, tags: [a]}",
    );
    assert_eq!(
        (long.context.as_str(), long.dockerfile.as_str(), long.target.as_deref()),
        ("../x", "../D", Some("set"))
    );
    assert_eq!(
        (long.platforms.as_slice(), long.provenance, long.sbom),
        (&["linux/arm64".to_owned()][..], Some(false), true)
    );
}

#[test]
fn paths_are_seen_from_the_checkout_wherever_the_file_is() {
    let text = "services:\n  api: {build: {context: ../api, additional_contexts: {lib: ./lib, b: \"service:api2\"}}}\n  api2: {build: .}\n";
    let compose = ComposeFile { folder: "ci/build", ..file(text) };
    let config = parse_with(compose, &[], Needed::Build).unwrap();
    let Source::Build(api) = &config.services["api"].source else { panic!("api is built") };
    let Source::Build(api2) = &config.services["api2"].source else { panic!("api2 is built") };
    assert_eq!((api.context.as_str(), api2.context.as_str()), ("ci/api", "ci/build"));
    assert_eq!(api.contexts["lib"], BuildContext::Other("ci/build/lib".to_owned()));
    assert_eq!(api.contexts["b"], BuildContext::Service("api2".to_owned()));
}

#[test]
fn arguments_are_a_mapping_or_a_list_and_what_has_no_value_is_handed_on() {
    let literal = |text: &str| BuildArg::Literal(text.to_owned());
    for args in ["[A=1, B=, SET, NO, E=x=y, DOLLAR]", "{A: 1, B: \"\", SET: , NO: null, E: x=y, DOLLAR: }"] {
        let found = build(&format!("{{context: api, args: {args}}}")).args;
        let found: Vec<_> = found.into_iter().collect();
        let expected = [("A", "1"), ("B", ""), ("DOLLAR", "a$b"), ("E", "x=y"), ("SET", "set")];
        assert_eq!(found, expected.map(|(name, text)| (name.to_owned(), literal(text))), "{args}");
    }
}

#[test]
fn arguments_may_wait_for_the_plan() {
    let text = "{context: api, args: [SHIPKIT_VERSION, 'W=${SHIPKIT_COMMIT:-none}', 'M=v$SHIPKIT_VERSION-$SET', 'L=$NO', \
                'R=${NO:?say it}', 'D=$$SET']}";
    let args = build(text).args;
    let variable = |name: &str| BuildArg::Variable(name.to_owned());
    let part = |name: &str, message: Option<&str>| Part::Variable {
        name: name.to_owned(),
        message: message.map(str::to_owned),
    };
    assert_eq!(args["SHIPKIT_VERSION"], variable("SHIPKIT_VERSION"));
    assert_eq!(args["W"], variable("SHIPKIT_COMMIT"));
    let mixed =
        vec![Part::Text("v".to_owned()), part("SHIPKIT_VERSION", None), Part::Text("-set".to_owned())];
    assert_eq!(args["M"], BuildArg::Mixed(mixed));
    assert_eq!(args["L"], variable("NO"));
    assert_eq!(args["R"], BuildArg::Mixed(vec![part("NO", Some("say it"))]));
    assert_eq!(args["D"], BuildArg::Literal("$SET".to_owned()));
}

#[test]
fn the_file_env_answers_for_what_nobody_else_knows() {
    let text =
        "services: {api: {build: {context: api, args: [SET, FILE, 'W=$FILE$SET']}, environment: [FILE]}}";
    let compose = ComposeFile { env_file: Some("SET=file\nFILE=\"of $SET\"\n"), ..file(text) };
    let config = parse_with(compose, &[("SET", "set")], Needed::Environment("staging")).unwrap();
    let Source::Build(build) = &config.services["api"].source else { panic!("api is built") };
    let found: Vec<_> = build.args.values().cloned().collect();
    assert_eq!(found, ["of set", "set", "of setset"].map(|text| BuildArg::Literal(text.to_owned())));
    assert_eq!(config.services["api"].environment["FILE"], "of set");
}

#[test]
fn only_the_variables_of_what_is_done_have_to_be_set() {
    let text = "services:\n  api:\n    build: {context: $FOLDER, args: [A=$ARG]}\n    environment: {E: $RUN}\n  db: {image: $IMAGE}\n";
    let paths = |needed| -> Vec<_> {
        problems(text, needed).iter().map(|line| line.split(": ").nth(1).unwrap().to_owned()).collect()
    };
    assert_eq!(paths(Needed::Build), ["services.api.build.context"]);
    assert_eq!(paths(Needed::Environment("staging")), ["services.api.environment.E", "services.db.image"]);
}

#[test]
fn build_secrets_are_variables_of_the_same_name() {
    let text = "services: {api: {build: {context: ., secrets: [TOKEN, {source: s, target: KEY}]}}}\n\
                secrets: {TOKEN: {environment: TOKEN}, s: {environment: KEY}}";
    let Source::Build(build) = parse(text).services["api"].source.clone() else { panic!("api is built") };
    assert_eq!(build.secrets, ["TOKEN", "KEY"]);
}

#[test]
fn environment_is_a_mapping_or_a_list_and_dollar_signs_stay() {
    let expected = [("A", "1"), ("B", "${SET}"), ("C", "set!"), ("DOLLAR", "a$b")];
    for text in
        ["[A=1, 'B=$${SET}', 'C=${SET}!', DOLLAR, NO]", "{A: 1, B: '$${SET}', C: '$SET!', DOLLAR: , NO: }"]
    {
        let found = api(&format!("    environment: {text}")).environment;
        let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn a_health_check_is_a_command_a_list_or_none() {
    let test = |text: &str| api(&format!("    healthcheck: {text}")).healthcheck.unwrap().test.unwrap();
    assert_eq!(test("{test: curl $$HOST}"), ["CMD-SHELL", "curl $HOST"]);
    assert_eq!(test("{test: [CMD, /api, health]}"), ["CMD", "/api", "health"]);
    assert_eq!(test("{test: [CMD-SHELL, curl x]}"), ["CMD-SHELL", "curl x"]);
    assert_eq!(test("{test: [NONE]}"), ["NONE"]);
    assert_eq!(test("{disable: true, test: curl x}"), ["NONE"]);
    let check = api(
        "    healthcheck: {test: a, disable: false, interval: 1m30s, timeout: 1.5s, retries: \"3\", start_period: 0s}",
    );
    let check = check.healthcheck.unwrap();
    assert_eq!(check.test.unwrap(), ["CMD-SHELL", "a"]);
    assert_eq!(
        (check.interval, check.timeout),
        (Some(Duration::from_secs(90)), Some(Duration::from_millis(1500)))
    );
    assert_eq!((check.retries, check.start_period), (Some(3), Some(Duration::ZERO)));
}

#[test]
fn deploy_and_the_rest_keep_their_meaning() {
    let found = api(
        "    deploy: {replicas: \"${NO:-3}\", endpoint_mode: dnsrr, resources: {limits: {memory: 1G}}, placement: {}, \
         update_config: {parallelism: 2, delay: 1m5s, order: stop-first, failure_action: pause, max_failure_ratio: 0.1}}\n    \
         stop_grace_period: 1m10s\n    depends_on: {base: {condition: service_healthy}, gone: {required: false}}\n  base: {build: b}",
    );
    assert_eq!((found.deploy.replicas, found.deploy.update.parallelism), (Some(3), 2));
    assert_eq!(found.deploy.update.delay, Duration::from_secs(65));
    assert_eq!(found.stop_grace_period, Some(Duration::from_secs(70)));
    assert_eq!(found.deploy.resources.unwrap()["limits"]["memory"], "1G");
    assert_eq!(found.depends_on, ["base"]);
    assert!(!found.stateful);
}

#[test]
fn what_is_not_taken_over_is_remembered_with_the_reason() {
    let found = left(
        "    ports: [\"80:80\"]\n    command: [run]\n    entrypoint:\n    container_name: x\n    restart: always\n    x-y: 1\n    \
         typo: 1\n    deploy: {mode: global}\n    healthcheck: {start_interval: 1s}\n    \
         volumes: [\"./a:/a\", \"d:/d\", \"d:/e:ro\", {type: volume, source: d, target: /f}, {type: bind, source: /x, target: /g}, \"e:/e\"]\n    \
         secrets: [s, {source: s, target: t}, {source: s, target: /run/secrets/s}, n]\n    depends_on: {base: {condition: service_completed_successfully}}\n  \
         base: {build: {context: ., labels: [a], network: host}}\nvolumes: {d: , e: {external: true}}\nsecrets: {s: {external: true}, n: {external: true, name: m}}",
    );
    let run = |key: &str| (key.to_owned(), Because::Run);
    let essence = |key: &str| (key.to_owned(), Because::Essence);
    let mut expected = vec![
        run("ports"),
        essence("command"),
        run("restart"),
        run("typo"),
        run("deploy.mode"),
        run("healthcheck.start_interval"),
        run("volumes[0]"),
        run("volumes[2]"),
        run("volumes[4]"),
        run("volumes[5]"),
        run("secrets[1]"),
        run("secrets[3]"),
        essence("depends_on.base.condition"),
    ];
    let by_key = |a: &(String, Because), b: &(String, Because)| a.0.cmp(&b.0);
    let mut found = found;
    found.sort_by(by_key);
    expected.sort_by(by_key);
    assert_eq!(found, expected);
    let text = "services:\n  api: {build: {context: ., labels: [a], network: host}}\n  mail: {image: m, profiles: [dev], extends: x}\n";
    let config = parse(text);
    let found: Vec<_> = config.compose.unwrap().left.iter().map(|left| (left.path(), left.because)).collect();
    let expected = [
        ("services.api.build.labels", Because::Build),
        ("services.api.build.network", Because::Build),
        ("services.mail.profiles", Because::Profile),
    ];
    assert_eq!(found, expected.map(|(path, because)| (path.to_owned(), because)));
    assert_eq!(config.services.len(), 1);
}

#[test]
fn an_image_of_somebody_else_is_never_replaced() {
    let config = parse(
        "services:\n  api: {build: ., image: \"acme/api:$SET\"}\n  db: {image: \"postgres:${NO:-16}\", volumes: [\"data:/d\", ./x:/x]}\n",
    );
    let db = &config.services["db"];
    assert_eq!((&db.source, db.stateful), (&Source::Image("postgres:16".to_owned()), true));
    assert_eq!(db.volumes, ["data:/d"]);
    let api = &config.services["api"];
    assert!(matches!(api.source, Source::Build(_)) && !api.stateful && api.image_name.is_none());
    let left = config.compose.unwrap().left;
    assert_eq!((left[0].path().as_str(), left[0].because), ("services.db.volumes[1]", Because::Essence));
}

#[test]
fn merge_keys_give_what_is_not_there() {
    let text = "x-a: &a {A: a, B: a}\nx-b: &b {B: b, C: b}\nservices:\n  api:\n    build: .\n    environment: {<<: [*a, *b], A: own}\n";
    let found = parse(text).services["api"].environment.clone();
    let found: Vec<_> = found.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(found, ["A=own", "B=a", "C=b"]);
}

#[test]
fn a_group_has_what_is_left_of_its_services() {
    let own = "version: 1\nname: shop\ngroups: {back: [api], front: [web]}\nenvironments: {staging: {}}\n";
    let text = "services:\n  api: {build: api, ports: [80]}\n  web: {build: web, ports: [81]}\n";
    let config = beside(own, Some(file(text))).unwrap();
    let config = config.in_group(Some("back")).unwrap();
    let left: Vec<_> = config.compose.unwrap().left.iter().map(LeftOut::path).collect();
    assert_eq!(left, ["services.api.ports"]);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        parse_with(file(&String::from_utf8_lossy(&bytes)), &[], Needed::Build).ok();
    }

    #[test]
    fn a_damaged_file_never_panics(at in 0_usize..2600, noise in "[-:\\[\\]{}&*!|>'\"%@`#,?<$\\n\\t a1é]{0,8}", cut in 0_usize..6) {
        let text = include_str!("../../../tests/fixtures/compose/right/shop.yaml");
        let start = text.floor_char_boundary(at.min(text.len()));
        let end = text.ceil_char_boundary((start + cut).min(text.len()));
        let text = format!("{}{noise}{}", text.get(..start).unwrap(), text.get(end..).unwrap());
        let compose = ComposeFile { env_file: Some(&text), ..file(&text) };
        parse_with(compose, &[], Needed::Environment("staging")).ok();
    }
}
