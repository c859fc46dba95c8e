//! `shipkit.yml` from outside: the projects' files, wrong files with their messages, the schema, and arbitrary bytes.
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
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use shipkit_core::Hint as _;
use shipkit_core::compose::ProxyKind;
use shipkit_core::config::{
    AksAuth, Auth, BasisPoints, BuildArg, Ca, Capture, CheckKind, Config, ConfigError, Dns, EksAuth, EnvFile,
    GkeAuth, ImageScan, Latest, Needed, Proxy, Rule, Running, Source, Statuses, Strategy, TagKind,
    TargetKind,
};
use shipkit_core::exit::ExitCode;
use shipkit_core::policy::{Grace, Severity, UnknownSeverity};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    let variables = |name: &str| match name {
        "HOST" => Some("shop.example".to_owned()),
        "URL" => Some("https://shop.example".to_owned()),
        _ => None,
    };
    Config::parse("shipkit.yml", text, &variables, Needed::Environment("staging"))
}

fn project(name: &str) -> Config {
    let path = root().join(format!("tests/fixtures/projects/{name}.shipkit.yml"));
    parse(&fs::read_to_string(path).unwrap()).unwrap_or_else(|error| panic!("{error}"))
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yml"));
    files.sort();
    files
}

/// Compares with a committed file, or writes it if `UPDATE` is set.
#[track_caller]
fn check_file(path: &str, wanted: &str) {
    let file = root().join(path);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, wanted).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(found, wanted, "{path}: run UPDATE=1 cargo test -p shipkit-core --test config");
}

#[test]
fn every_wrong_file_says_where_and_what_is_wrong() {
    let mut lines = String::new();
    for path in yaml_files(&root().join("tests/fixtures/config")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let error = Config::parse(
            name,
            &fs::read_to_string(&path).unwrap(),
            &|_| None,
            Needed::Environment("staging"),
        )
        .expect_err(&format!("{name} is accepted"));
        assert_eq!(error.exit_code(), ExitCode::Usage);
        lines.extend([error.to_string(), "\n".to_owned()]);
    }
    check_file("tests/fixtures/config/errors.txt", &lines);
}

#[test]
fn the_published_schema_is_the_one_of_the_types() {
    let schema = serde_json::to_string_pretty(&Config::json_schema()).unwrap();
    check_file("dist/shipkit.schema.json", &format!("{schema}\n"));
}

#[test]
fn a_cluster_is_reached_by_a_server_or_by_a_cloud() {
    let target = |keys: &str| {
        let text = format!(
            "version: 1\nname: shop\nservices:\n  api: {{build: {{}}}}\nenvironments:\n  staging:\n    target:\n      \
             type: kubernetes\n{keys}"
        );
        parse(&text).unwrap_or_else(|error| panic!("{error}")).environments.remove(0).target
    };
    let there = target("      server: https://10.0.0.1:6443\n      ca: certs/ca.pem\n");
    assert_eq!(there.server.as_deref(), Some("https://10.0.0.1:6443"));
    assert_eq!(there.ca, Some(Ca::File("certs/ca.pem".parse().unwrap())));
    for text in ["LS0tLS1CRUdJTg==", "-----BEGIN CERTIFICATE-----\n"] {
        let there = target(&format!("      server: http://127.0.0.1:80\n      ca: {text:?}\n"));
        assert_eq!(there.ca, Some(Ca::Text(text.to_owned())));
    }
    let role = Some("arn:aws:iam::123456789012:role/deploy".to_owned());
    let auth = target(
        "      auth: {eks: {cluster: shop, region: eu-central-1, role: 'arn:aws:iam::123456789012:role/deploy'}}\n",
    )
    .auth;
    let eks = EksAuth { cluster: "shop".to_owned(), region: "eu-central-1".to_owned(), role };
    assert_eq!(auth, Some(Auth::Eks(eks)));
    let gke = target(
        "      auth:\n        gke:\n          cluster: projects/acme/locations/europe-west1/clusters/shop\n          \
         workload_identity_provider: projects/1/locations/global/workloadIdentityPools/github/providers/shop\n          \
         service_account: deploy@acme.iam.gserviceaccount.com\n",
    );
    assert!(matches!(gke.auth, Some(Auth::Gke(GkeAuth { cluster: Some(_), service_account: Some(_), .. }))));
    let aks = AksAuth { tenant_id: None, client_id: None };
    assert_eq!(target("      auth: {aks: {}}\n").auth, Some(Auth::Aks(aks)));
}

#[test]
fn the_example_parses() {
    let text = fs::read_to_string(root().join("examples/shop/shipkit.yml")).unwrap();
    let config =
        Config::parse("shipkit.yml", &text, &|_| Some("localhost:5000/shop".to_owned()), Needed::Build)
            .unwrap();
    assert_eq!(config.environments.len(), 2);
}

#[test]
fn the_five_projects_parse() {
    for name in ["chat", "ciphertalk", "daira", "devagent", "grocery"] {
        assert!(!project(name).environments.is_empty(), "{name}");
    }
}

#[test]
fn the_drafts_parse_as_far_as_they_are_legal() {
    let folder = root().join("../shared/design/projects");
    if !folder.is_dir() {
        return;
    }
    for path in yaml_files(&folder).iter().filter(|path| path.to_string_lossy().ends_with(".shipkit.yml")) {
        match parse(&fs::read_to_string(path).unwrap()) {
            Ok(_) => {}
            // They are older than the rule that what writes to production says so.
            Err(error) => assert!(
                ["zero-cache@sha256:<pinned>", "say `writes: true`"]
                    .iter()
                    .any(|part| error.to_string().contains(part)),
                "{error}"
            ),
        }
        // Written past the test runner, which swallows what passing tests print; `./test` adds these up.
        writeln!(std::io::stderr(), "shared cases: 1").unwrap();
    }
}

#[test]
fn aliases_stand_for_what_they_refer_to() {
    let config = project("ciphertalk");
    let [staging, production] = config.environments.as_slice() else { panic!("two environments") };
    assert_eq!(staging.smoke, production.smoke);
    assert_eq!(production.secrets.len(), 7);
    assert_eq!((staging.target.kind, production.target.kind), (TargetKind::Swarm, TargetKind::Kubernetes));
    assert_eq!(production.strategy, Strategy::BlueGreen);
    let Source::Build(web) = &config.services["web"].source else { panic!("web is built") };
    assert_eq!(web.args["VITE_API_URL"], BuildArg::Variable("API_URL".to_owned()));
}

#[test]
fn defaults_reach_every_environment() {
    let config = project("devagent");
    for environment in &config.environments {
        assert_eq!(environment.timeout, Duration::from_mins(10));
        assert_eq!(environment.smoke.len(), 4);
    }
    assert_eq!(config.services["api-gateway"].size_limit, Some(500_000_000));
    assert_eq!(config.environments[0].smoke[0].line, 31);
}

#[test]
fn what_a_compose_target_does_not_say_has_a_default() {
    let file = |target: &str| {
        format!(
            "version: 1\nname: shop\nservices: {{api: {{build: {{}}}}}}\nenvironments: {{staging: {{target: {target}}}}}\n"
        )
    };
    let target = |text: &str| parse(&file(text)).unwrap().environments.remove(0).target;
    let plain = target("{type: compose}");
    assert_eq!((plain.directory, plain.proxy, plain.files.len()), (None, None, 0));
    let full = target(
        "{type: compose, directory: /srv/shop, files: [./deploy/compose.yml], env_file: .env, proxy: {nginx: edge}}",
    );
    assert_eq!(full.directory.as_deref(), Some("/srv/shop"));
    assert_eq!(full.files[0].as_str(), "deploy/compose.yml");
    assert_eq!(full.env_file, Some(EnvFile::Project(".env".parse().unwrap())));
    let directory = "/etc/nginx/shipkit".to_owned();
    assert_eq!(full.proxy, Some(Proxy { kind: ProxyKind::Nginx, service: "edge".to_owned(), directory }));
    let on_host =
        target("{type: compose, env_file: /srv/shop/.env, proxy: {nginx: edge, directory: /shipkit}}");
    assert_eq!(on_host.env_file, Some(EnvFile::Host("/srv/shop/.env".to_owned())));
    assert_eq!(on_host.proxy.unwrap().directory, "/shipkit");
    let on_swarm = target("{type: swarm, proxy: {traefik: edge}}").proxy.unwrap();
    assert_eq!((on_swarm.kind, on_swarm.service.as_str()), (ProxyKind::Traefik, "edge"));
    for (proxy, said) in [
        ("{nginx: edge}", "a Swarm shifts no traffic of nginx"),
        ("{traefik: edge, directory: /x}", "nothing is written to a folder of a proxy on a Swarm"),
    ] {
        let error = parse(&file(&format!("{{type: swarm, proxy: {proxy}}}"))).unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }
    let traefik = target("{type: compose, proxy: {traefik: edge}}").proxy;
    let directory = "/etc/traefik/shipkit".to_owned();
    assert_eq!(traefik, Some(Proxy { kind: ProxyKind::Traefik, service: "edge".to_owned(), directory }));
    let kamal = target("{type: compose, proxy: {kamal-proxy: edge}}").proxy;
    let directory = "/home/kamal-proxy/.config/kamal-proxy".to_owned();
    assert_eq!(kamal, Some(Proxy { kind: ProxyKind::KamalProxy, service: "edge".to_owned(), directory }));
}

#[test]
fn the_smallest_file_names_services_and_an_environment() {
    let text = "version: 1\nname: shop\nservices: {api: {build: {}}, web: {build: {context: web}}}\n\
                environments: {production: }\n";
    let config = parse(text).unwrap();
    assert_eq!(config.tags.include, [TagKind::Sha, TagKind::Branch, TagKind::Semver]);
    assert_eq!(config.tags.latest, Latest::Release);
    assert_eq!(config.scan.policy, [Rule::NonRoot, Rule::Healthcheck, Rule::PinnedBase]);
    let production = &config.environments[0];
    assert_eq!(production.target.stack.as_deref(), Some("shop-production"));
    assert!(production.branches.is_empty() && production.smoke.is_empty());
    assert_eq!(config.services["api"].deploy.update.delay, Duration::from_secs(10));
}

#[test]
fn production_is_what_comes_last_or_is_called_so() {
    let text = "version: 1\nname: shop\nservices: {api: {build: {}}}\nenvironments:\n  staging: {}\n  \
                production-eu: {needs: staging}\n  world: {needs: production-eu}\n  preview: {}\n";
    let config = parse(text).unwrap();
    let production = |name| config.is_production(name);
    assert_eq!(["staging", "production-eu", "world", "preview"].map(production), [false, true, true, true]);
}

#[test]
fn environments_follow_needs_and_otherwise_the_file() {
    let text = "version: 1\nname: shop\nservices: {api: {build: {}}}\nenvironments:\n  zeta: {needs: [qa, alpha]}\n  \
                qa: {}\n  beta: {}\n  alpha: {needs: qa}\n";
    let names: Vec<String> = parse(text).unwrap().environments.into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["qa", "beta", "alpha", "zeta"]);
}

#[test]
fn whole_values_are_replaced_and_build_arguments_wait() {
    let text = "version: 1\nname: shop\nservices:\n  api: {build: {args: {V: '${SHIPKIT_VERSION}', N: 1.10, O: 7}}}\n\
                defaults: {environment: {A: shared, B: shared}}\nenvironments:\n  staging: {url: '${URL}', \
                environment: {B: '${HOST}', C: true}}\n";
    let config = parse(text).unwrap();
    let staging = &config.environments[0];
    assert_eq!(staging.url.as_deref(), Some("https://shop.example"));
    let found: Vec<_> = staging.environment.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(found, ["A=shared", "B=shop.example", "C=true"]);
    let Source::Build(build) = &config.services["api"].source else { panic!("api is built") };
    assert_eq!(build.args["V"], BuildArg::Variable("SHIPKIT_VERSION".to_owned()));
    assert_eq!(build.args["N"], BuildArg::Literal("1.10".to_owned()));
    assert_eq!(build.args["O"], BuildArg::Literal("7".to_owned()));
}

#[test]
fn only_the_variables_of_what_is_done_have_to_be_set() {
    let text = "version: 1\nname: shop\nregistry: '${HOST}'\nservices: {api: {build: {}, environment: {A: '${A}'}}}\n\
                environments:\n  staging: {url: '${URL}'}\n  production: {url: '${LATER}', environment: {B: '${B}'}}\n";
    let variables = |name: &str| match name {
        "HOST" | "A" => Some("shop.example/a".to_owned()),
        "URL" => Some("https://shop.example".to_owned()),
        _ => None,
    };
    let problems =
        |known: &dyn Fn(&str) -> Option<String>, needed| match Config::parse("f", text, known, needed) {
            Ok(_) => Vec::new(),
            Err(error) => error.problems().iter().map(|problem| problem.path.clone()).collect(),
        };
    assert_eq!(problems(&variables, Needed::Build), [""; 0]);
    assert_eq!(problems(&variables, Needed::Environment("staging")), [""; 0]);
    let late = ["environments.production.url", "environments.production.environment.B"];
    assert_eq!(problems(&variables, Needed::Environment("production")), late);
    let without_a = |name: &str| variables(name).filter(|_| name != "A");
    assert_eq!(problems(&without_a, Needed::Build), [""; 0]);
    assert_eq!(problems(&without_a, Needed::Environment("staging")), ["services.api.environment.A"]);
    assert_eq!(problems(&|_| None, Needed::Build), ["registry"]);
    let built = Config::parse("f", text, &variables, Needed::Build).unwrap();
    assert_eq!(built.environments[1].url, None);
}

#[test]
fn a_mirror_is_read_as_the_registry_is_and_only_where_images_go() {
    let text = "version: 1\nname: shop\nregistry: '${HOST}'\nmirrors: [Index.docker.io/Acme/, '${MIRROR}', ghcr.io/Acme/Shop]\n\
                test: {environment: {A: '${A}'}}\nservices: {api: {build: {}, environment: {B: '${B}'}}}\n\
                environments:\n  staging: {url: '${URL}'}\n";
    let read = |needed, mirror: Option<&str>| {
        let variables = |name: &str| match name {
            "HOST" => Some("shop.example/a".to_owned()),
            "MIRROR" => mirror.map(str::to_owned),
            "A" | "B" | "URL" if needed != Needed::Names => Some("https://shop.example".to_owned()),
            _ => None,
        };
        match Config::parse("f", text, &variables, needed) {
            Ok(config) => config.mirrors.iter().map(ToString::to_string).collect(),
            Err(error) => error
                .problems()
                .iter()
                .map(|problem| format!("{}: {}", problem.path, problem.message))
                .collect::<Vec<_>>(),
        }
    };
    let all = ["docker.io/acme", "quay.io/acme/b", "ghcr.io/acme/shop"];
    for needed in [Needed::Names, Needed::Build, Needed::Environment("staging")] {
        assert_eq!(read(needed, Some("quay.io/Acme/B")), all, "{needed:?}");
    }
    for needed in [Needed::Names, Needed::Build] {
        assert_eq!(read(needed, None), ["mirrors[1]: the variable `MIRROR` is not set"]);
        assert_eq!(read(needed, Some("")), ["mirrors[1]: `` names no place at a registry"]);
        assert_eq!(
            read(needed, Some("Shop.example/A/")),
            ["mirrors[1]: `shop.example/a` is the registry itself"]
        );
    }
    // A deploy reads the registry alone.
    assert_eq!(read(Needed::Environment("staging"), None), ["docker.io/acme", "ghcr.io/acme/shop"]);
}

#[test]
fn documents_about_findings_are_files_of_the_project() {
    let read = |files: &str| {
        let text = format!(
            "version: 1\nname: shop\nservices: {{api: {{build: {{}}}}}}\nscan: {{image: {{vex: [{files}]}}}}\nenvironments: {{staging: {{}}}}\n"
        );
        match parse(&text) {
            Ok(config) => config.scan.image.vex.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string(),
        }
    };
    assert_eq!(read("vex/api.json, ./b.json"), "vex/api.json b.json");
    for file in ["/etc/x.json", "../x.json", "''"] {
        let said = read(&format!("a.json, {file}"));
        assert!(said.contains("scan.image.vex[1]"), "{said}");
    }
}

#[test]
fn what_is_accepted_has_a_name_a_reason_and_a_last_day() {
    let read = |entry: &str| {
        let text = format!(
            "version: 1\nname: shop\nservices: {{api: {{build: {{}}}}}}\nscan: {{image: {{ignore: [{entry}]}}}}\nenvironments: {{staging: {{}}}}\n"
        );
        match parse(&text) {
            Ok(config) => format!("{:?}", config.scan.image.ignores),
            Err(error) => error.to_string(),
        }
    };
    let whole = read("{id: CVE-1, package: zlib, reason: unused, owner: me, until: 2027-01-31}");
    let expected = "[Ignore { id: \"CVE-1\", package: Some(\"zlib\"), reason: \"unused\", owner: Some(\"me\"), until: 2027-01-31 }]";
    assert_eq!(whole, expected);
    for (entry, problem) in [
        ("{id: CVE-1, reason: unused, until: 2027-02-29}", "`2027-02-29` is no day"),
        ("{id: CVE-1, reason: ' ', until: 2027-01-31}", "an entry without `reason` accepts nothing"),
        ("{id: '', reason: unused, until: 2027-01-31}", "an entry without `id` accepts nothing"),
        ("{id: CVE-1, until: 2027-01-31}", "reason"),
        ("{id: CVE-1, reason: unused}", "until"),
    ] {
        let said = read(entry);
        assert!(said.contains(problem) && said.contains("scan.image.ignore[0]"), "{entry}: {said}");
    }
}

/// A project with these words in `scan.image`, and these about its environment `staging`.
fn scanned(image: &str, staging: &str) -> Result<Config, ConfigError> {
    parse(&format!(
        "version: 1\nname: shop\nservices: {{api: {{build: {{}}}}}}\nscan: {{image: {{{image}}}}}\nenvironments: {{staging: {{{staging}}}}}\n"
    ))
}

#[test]
fn what_is_done_with_findings_has_units_and_files_of_the_project() {
    let config = scanned(
        "grace: {critical: 2d, unknown: 0d}, kev: kev.json, epss: {file: epss.csv.gz, above: 12.5%}, unknown: fail",
        "",
    );
    let image = config.unwrap().scan.image;
    assert_eq!(image.grace, Grace { critical: 2, ..Grace::default() });
    assert_eq!(image.unknown, UnknownSeverity::Fail);
    assert_eq!(image.kev.unwrap().as_str(), "kev.json");
    let epss = image.epss.unwrap();
    assert_eq!((epss.file.as_str(), epss.above), ("epss.csv.gz", BasisPoints(1_250)));
    let nothing = scanned("", "").unwrap().scan.image;
    assert_eq!(
        (nothing.grace.is_given(), nothing.unknown, nothing.baseline),
        (false, UnknownSeverity::Pass, None)
    );
    for (wrong, place) in [
        ("grace: {critical: 2}", "scan.image.grace.critical"),
        ("grace: {critical: 48h}", "scan.image.grace.critical"),
        ("grace: {severe: 2d}", "scan.image.grace"),
        ("kev: /etc/kev.json", "scan.image.kev"),
        ("epss: {file: ../epss.csv, above: 10%}", "scan.image.epss.file"),
        ("epss: {file: epss.csv, above: 100%}", "scan.image.epss.above"),
        ("epss: {file: epss.csv, above: 0.5}", "scan.image.epss.above"),
        ("epss: {file: epss.csv}", "scan.image.epss"),
        ("unknown: ignore", "scan.image.unknown"),
    ] {
        let said = scanned(wrong, "").unwrap_err().to_string();
        assert!(said.contains(place), "{wrong}: {said}");
    }
}

#[test]
fn an_environment_says_over_what_all_share_how_images_are_judged() {
    let shared =
        "severity: CRITICAL, ignore_unfixed: false, kev: kev.json, baseline: staging, grace: {high: 3d}";
    let config =
        scanned(shared, "policy: {scan: {severity: LOW, baseline: none, grace: {low: 1d}}}").unwrap();
    let own = config.environments[0].scan.clone().unwrap();
    let expected = ImageScan {
        severity: Severity::Low,
        baseline: None,
        grace: Grace { low: 1, ..Grace::default() },
        ..config.scan.image.clone()
    };
    assert_eq!((own, config.scan.image.severity), (expected, Severity::Critical));
    let same = scanned(shared, "policy: {scan: {}}").unwrap();
    assert_eq!(same.environments[0].scan.as_ref(), Some(&same.scan.image));
    for without in ["", "policy: {}"] {
        assert_eq!(scanned(shared, without).unwrap().environments[0].scan, None);
    }
    for (wrong, place) in [
        ("policy: {scan: {baseline: stagin}}", "environments.staging.policy.scan.baseline"),
        ("policy: {scan: {vex: [a.json]}}", "environments.staging.policy.scan"),
        ("policy: {scan: {kev: ../k.json}}", "environments.staging.policy.scan.kev"),
    ] {
        let said = scanned(shared, wrong).unwrap_err().to_string();
        assert!(said.contains(place), "{wrong}: {said}");
    }
}

#[test]
fn a_health_check_is_a_text_or_a_list_as_in_compose() {
    let test = |text: &str| {
        let services = format!("services: {{api: {{build: {{}}, healthcheck: {{test: {text}}}}}}}");
        let config =
            parse(&format!("version: 1\nname: shop\n{services}\nenvironments: {{staging: {{}}}}\n")).unwrap();
        config.services["api"].healthcheck.clone().unwrap().test.unwrap()
    };
    assert_eq!(test("\"curl '${X}'\""), ["CMD-SHELL", "curl '${X}'"]);
    assert_eq!(test("[CMD, /api, '${X}']"), ["CMD", "/api", "${X}"]);
    assert_eq!(test("[CMD-SHELL, curl x]"), ["CMD-SHELL", "curl x"]);
    assert_eq!(test("[NONE]"), ["NONE"]);
}

#[test]
fn a_check_knows_its_kind_and_its_line() {
    let text = "version: 1\nname: shop\nservices: {api: {build: {}}}\nenvironments:\n  staging:\n    smoke:\n      \
                - get: /health\n        expect: 204\n      - {release: /version, service: api}\n";
    let smoke = parse(text).unwrap().environments.remove(0).smoke;
    assert_eq!(
        (smoke[0].line, smoke[0].name.as_str(), smoke[0].expect.status.clone()),
        (7, "get /health", Statuses::one(204))
    );
    let running = |every_address| CheckKind::Release(Running { path: "/version".to_owned(), every_address });
    assert_eq!((smoke[1].line, &smoke[1].kind), (9, &running(false)));
    let text = text.replace("release: /version", "release: {path: /version, addresses: all}");
    assert_eq!(parse(&text).unwrap().environments.remove(0).smoke[1].kind, running(true));
}

#[test]
fn name_servers_are_asked_about_a_name_or_about_more() {
    let text = "version: 1\nname: shop\nservices: {api: {build: {}}}\nenvironments:\n  staging:\n    smoke:\n    - dns: {}\n    \
                - dns: shop.example.\n    - dns: {name: a.example, cname: b.example., caa: c.example, ttl: 5m, addresses: '2001:db8::1', \
                resolvers: [192.0.2.53, '[2001:db8::53]:5353']}\n";
    let smoke = parse(text).unwrap().environments.remove(0).smoke;
    assert_eq!(
        smoke.iter().map(|check| check.name.as_str()).collect::<Vec<_>>(),
        ["dns", "dns shop.example", "dns a.example"]
    );
    let name = |text: &str| Some(text.to_owned());
    assert_eq!(smoke[0].kind, CheckKind::Dns(Dns::default()));
    assert_eq!(smoke[1].kind, CheckKind::Dns(Dns { name: name("shop.example"), ..Dns::default() }));
    let all = Dns {
        name: name("a.example"),
        cname: name("b.example"),
        caa: name("c.example"),
        ttl: Some(Duration::from_mins(5)),
        addresses: ["2001:db8::1".parse().unwrap()].into(),
        resolvers: ["192.0.2.53:53", "[2001:db8::53]:5353"].map(|server| server.parse().unwrap()).into(),
    };
    assert_eq!(smoke[2].kind, CheckKind::Dns(all));
}

#[test]
fn what_is_expected_is_a_value_or_says_what_it_is_like() {
    let text = "version: 1\nname: shop\nservices: {api: {build: {}}}\nenvironments:\n  staging:\n    smoke:\n    - put: /a\n      \
                writes: true\n      send: {a: 1, b: '${B}'}\n      capture: {c: $.c, d: {header: x-d}}\n      \
                headers: {e: 2, f: {exists: false}}\n      expect: {status: [2xx, 404], body: {size: 3}, schema: docs/s.json}\n";
    let check = parse(text).unwrap().environments.remove(0).smoke.remove(0);
    let CheckKind::Http(request) = check.kind else { panic!("a request") };
    assert_eq!(
        (request.method.key(), request.send["a"].as_str(), request.send["b"].as_str()),
        ("put", "1", "${B}")
    );
    assert_eq!(request.captures["c"], Capture::Json("$.c".to_owned()));
    assert_eq!(request.captures["d"], Capture::Header("x-d".to_owned()));
    let headers: Vec<_> = check.headers.into_iter().filter_map(|header| header.value).collect();
    assert_eq!(headers, [serde_json::json!("2"), serde_json::json!({"exists": false})]);
    assert_eq!(check.expect.status.unwrap().to_string(), "2xx or 404");
    assert_eq!(check.expect.schema.unwrap().as_str(), "docs/s.json");
}

#[test]
fn a_file_of_more_than_a_mebibyte_is_refused() {
    let error = parse(&"#".repeat((1 << 20) + 1)).unwrap_err();
    assert_eq!(error.to_string(), "shipkit.yml:1:1: the file is larger than 1 MiB");
}

#[test]
fn deep_nesting_is_refused_and_does_not_exhaust_the_stack() {
    for text in ["- ".repeat(400_000), "[".repeat(400_000), "{a: ".repeat(200_000), "? ".repeat(400_000)] {
        assert!(parse(&text).is_err());
    }
}

#[test]
fn aliases_that_nest_what_is_nested_are_refused_and_do_not_exhaust_the_stack() {
    let (open, close) = ("[".repeat(30), "]".repeat(30));
    let line = |number: usize| format!("a{number}: &a{number} {open}*a{}{close}\n", number - 1);
    let text = (1..=50).map(line).fold("a0: &a0 x\n".to_owned(), |all, line| all + &line);
    let error = parse(&text).unwrap_err().to_string();
    assert!(error.contains("shipkit.yml:4:"), "{error}");
    assert!(error.contains("values nest more than 64 levels deep"), "{error}");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        parse(&String::from_utf8_lossy(&bytes)).ok();
    }

    #[test]
    fn a_damaged_file_never_panics(at in 0_usize..1800, noise in "[-:\\[\\]{}&*!|>'\"%@`#,?\\n\\t a1é$]{0,8}", cut in 0_usize..6) {
        let text = include_str!("../../../tests/fixtures/projects/ciphertalk.shipkit.yml");
        let start = text.floor_char_boundary(at.min(text.len()));
        let end = text.ceil_char_boundary((start + cut).min(text.len()));
        parse(&format!("{}{noise}{}", text.get(..start).unwrap(), text.get(end..).unwrap())).ok();
    }
}
