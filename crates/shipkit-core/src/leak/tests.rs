//! What is a secret, and what only looks like one.

use super::*;

/// Tokens that were never valid are put together here, so that nobody's scanner takes this file for a leak.
fn made(start: &str, length: usize) -> String {
    start.chars().chain("aB3dE6gH1jK4mN7pQ0sT".chars().cycle()).take(start.len() + length).collect()
}

fn upper(start: &str) -> String {
    format!("{start}{}", "A3D6G1K4N7Q0T2X5")
}

fn web_token() -> String {
    format!("{}.{}.{}", made("eyJ", 20), made("eyJ", 30), made("", 43))
}

#[test]
fn tokens_are_known_by_their_form_wherever_they_stand() {
    for (token, what) in [
        (upper("AKIA"), "an access key of AWS"),
        (upper("ASIA"), "an access key of AWS"),
        (made("ghp_", 36), "a token of GitHub"),
        (made("ghs_", 36), "a token of GitHub"),
        (made("github_pat_", 82), "a token of GitHub"),
        (made("glpat-", 20), "a token of GitLab"),
        (made("xoxb-", 40), "a token of Slack"),
        (made("npm_", 36), "a token of npm"),
        (web_token(), "a JSON Web Token"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----".to_owned(), "a private key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nabc".to_owned(), "a private key"),
    ] {
        assert_eq!(in_value("X", &token), Some(what), "{token}");
        for text in [format!("RUN login {token}"), format!("a é={token}"), format!("curl -H 'X: {token}'")] {
            let found = in_text(&text);
            assert_eq!(found.iter().map(|one| one.what).collect::<Vec<_>>(), [what], "{text}");
            assert!(!redacted(&text).contains(&token), "{text}");
        }
    }
}

#[test]
fn what_is_shorter_or_has_another_form_is_no_token() {
    for text in [
        "AKIAIOSFODNN7EXAMPLE",
        "AKIA",
        "XAKIA0123456789ABCDEF",
        &format!("{}B", upper("AKIA")),
        &made("ghp_", 35),
        "npm_config_cache=/tmp/.npm",
        "npm_package_version=1.2.3",
        "xoxb-token",
        "eyJhbGciOiJIUzI1NiJ9.eyJ",
        "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----",
    ] {
        assert_eq!((in_value("X", text), in_text(text)), (None, Vec::new()), "{text}");
        assert_eq!(redacted(text), text);
    }
}

#[test]
fn a_password_in_an_address_is_one_unless_it_is_for_this_machine() {
    for (address, is_one) in [
        ("postgres://app:hunter2@db.internal:5432/shop", true),
        ("https://user:s3cr%40t@pypi.acme.dev/simple", true),
        ("redis://:hunter2@cache:6379", true),
        ("postgres://app@db/shop", false),
        ("postgres://app:@db/shop", false),
        ("postgres://app:${PASSWORD}@db/shop", false),
        ("postgres://app:$PASSWORD@db/shop", false),
        ("postgres://dummy:dummy@localhost:5432/dummy", false),
        ("postgres://user:password@db/shop", false),
        ("https://a:hunter2@registry.example/simple", false),
        ("https://acme.dev/a:b@c", false),
        ("https://acme.dev/@scope/a", false),
    ] {
        let expected = is_one.then_some("a password in an address");
        assert_eq!(in_value("DATABASE_URL", address), expected, "{address}");
    }
    let shown = redacted("RUN pip install -i https://user:hunter2@pypi.acme.dev/simple x");
    assert_eq!(shown, "RUN pip install -i https://user:***@pypi.acme.dev/simple x");
}

#[test]
fn names_that_only_secrets_have() {
    for name in [
        "PASSWORD",
        "DB_PASSWORD",
        "MYSQL_PWD",
        "DB_PASS",
        "NPM_TOKEN",
        "CLIENT_SECRET",
        "SECRET_KEY_BASE",
        "AWS_SECRET_ACCESS_KEY",
        "STRIPE_API_KEY",
        "PRIVATE_KEY",
        "JWT_SECRET_2",
        "dbPassword",
        "_authToken",
        "com.acme.db.password",
        "APP_SECRET_PROD",
    ] {
        assert_eq!(in_value(name, "hunter2"), Some(NAMED), "{name}");
    }
    // As official images have them, and others that are about secrets.
    for name in [
        "GPG_KEY",
        "GPG_KEYS",
        "PYTHON_SHA256",
        "RABBITMQ_PGP_KEY_ID",
        "PATH",
        "PWD",
        "OLDPWD",
        "PUBLIC_KEY",
        "KEY",
        "POSTGRES_PASSWORD_FILE",
        "JWT_SECRET_FILE",
        "SECRET_NAME",
        "SECRET_MOUNT_PATH",
        "TOKEN_TTL",
        "MAX_TOKENS",
        "PASSWORD_MIN_LENGTH",
        "KEYBOARD",
        "TOKENIZERS_PARALLELISM",
        "NEXT_PUBLIC_API_KEY",
        "VITE_API_KEY",
        "STRIPE_PUBLISHABLE_API_KEY",
        "org.opencontainers.image.base.name",
        "SSH_AUTH_SOCK",
    ] {
        assert_eq!(in_value(name, "hunter2"), None, "{name}");
    }
}

#[test]
fn what_refers_to_a_secret_or_stands_for_one_is_none() {
    for value in [
        "",
        "1",
        "true",
        "false",
        "None",
        "12345",
        "abc",
        "changeme",
        "please-change-me",
        "your-token-here",
        "dummy",
        "<token>",
        "${TOKEN}",
        "$TOKEN",
        "prefix-${TOKEN}",
        "$(cat /run/secrets/x)",
        "{{ token }}",
        "%TOKEN%",
        "/run/secrets/DB_PASSWORD",
        "/etc/app/password.txt",
        "./secret",
        "file:/a/b",
        "xxxxxxxx",
        "********",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "\"\"",
    ] {
        assert_eq!(in_value("DB_PASSWORD", value), None, "{value}");
    }
    for value in ["admin", "hunter2", "postgres", "123456", "/aB3dE6gH1jK4mN7", "s3cr3t with blanks"] {
        assert_eq!(in_value("DB_PASSWORD", value), Some(NAMED), "{value}");
    }
}

#[test]
fn a_step_is_shown_without_what_it_was_given() {
    for (step, shown) in [
        (
            "RUN |2 NPM_TOKEN=hunter2 NODE_ENV=production /bin/sh -c npm ci",
            "RUN |2 NPM_TOKEN=*** NODE_ENV=production /bin/sh -c npm ci",
        ),
        ("ENV DB_PASSWORD=hunter2", "ENV DB_PASSWORD=***"),
        ("ENV DB_PASSWORD=a b c A=b", "ENV DB_PASSWORD=*** A=b"),
        ("/bin/sh -c #(nop)  ENV DB_PASSWORD=a b c", "/bin/sh -c #(nop)  ENV DB_PASSWORD=***"),
        (
            "RUN |2 DB_PASSWORD=a b c A= /bin/sh -c x # buildkit",
            "RUN |2 DB_PASSWORD=*** A= /bin/sh -c x # buildkit",
        ),
        (
            "RUN |1 DB_PASSWORD= /bin/sh -c echo ${X} # buildkit",
            "RUN |1 DB_PASSWORD= /bin/sh -c echo ${X} # buildkit",
        ),
        ("ARG DB_PASSWORD=true # buildkit", "ARG DB_PASSWORD=true # buildkit"),
        ("RUN x --password=\"a\\\" b\" c", "RUN x --password=\"***\" c"),
        ("RUN DB_PASSWORD='a b c' ./migrate; ls", "RUN DB_PASSWORD='***' ./migrate; ls"),
        ("CMD [\"app\" \"--password=hunter2\"]", "CMD [\"app\" \"--password=***\"]"),
        (
            "RUN npm config set //registry.npmjs.org/:_authToken=hunter2",
            "RUN npm config set //registry.npmjs.org/:_authToken=***",
        ),
        ("ARG NPM_TOKEN", "ARG NPM_TOKEN"),
        ("ARG NPM_TOKEN=", "ARG NPM_TOKEN="),
        ("RUN NPM_TOKEN=$(cat /run/secrets/npm) npm ci", "RUN NPM_TOKEN=$(cat /run/secrets/npm) npm ci"),
        ("RUN --mount=type=secret,id=npm npm ci", "RUN --mount=type=secret,id=npm npm ci"),
        (
            "RUN adduser --disabled-password app && [ \"$TOKEN\" == \"x\" ]",
            "RUN adduser --disabled-password app && [ \"$TOKEN\" == \"x\" ]",
        ),
        (
            "RUN set -eux; key='B97B0AFCAA1A47F044F244A07FCC7D46ACCC4CF8'; gpg --recv-keys \"$key\"",
            "RUN set -eux; key='B97B0AFCAA1A47F044F244A07FCC7D46ACCC4CF8'; gpg --recv-keys \"$key\"",
        ),
    ] {
        assert_eq!(redacted(step), shown);
    }
    let names: Vec<_> = in_text("RUN |1 NPM_TOKEN=hunter2 X=1").into_iter().map(|found| found.name).collect();
    assert_eq!(names, [Some("NPM_TOKEN".to_owned())]);
}

#[test]
fn files_are_known_by_their_names() {
    use SecretFile as File;
    for (path, expected) in [
        (".env", Some(File::Env)),
        ("app/.env.production", Some(File::Env)),
        ("app/.env.local", Some(File::Env)),
        ("app/.env.example", None),
        ("app/.env.production.sample", None),
        ("app/.env.dist", None),
        ("app/.environment", None),
        ("app/x.env", None),
        ("root/.ssh/id_rsa", Some(File::Key)),
        ("root/.ssh/id_ed25519", Some(File::Key)),
        ("root/.ssh/id_rsa.pub", None),
        ("etc/ssh/ssh_host_rsa_key", Some(File::Key)),
        ("app/tls/server.key", Some(File::Key)),
        ("app/tls/server.pem", Some(File::Key)),
        ("etc/ssl/private/ssl-cert-snakeoil.key", None),
        ("app/tests/server.key", None),
        ("app/node_modules/http-proxy/server.key", None),
        ("usr/local/lib/python3.12/site-packages/x/.env", None),
        ("usr/local/go/src/crypto/tls/key.pem", None),
        ("root/.npmrc", Some(File::Npm)),
        ("root/.docker/config.json", Some(File::Docker)),
        ("root/config.json", None),
        ("root/.aws/credentials", Some(File::Aws)),
        ("app/credentials", None),
        ("app/.git/config", Some(File::Git)),
        ("root/.git-credentials", Some(File::Git)),
        ("root/.kube/config", Some(File::Kubernetes)),
        ("root/.netrc", Some(File::Netrc)),
        ("root/.pypirc", Some(File::Python)),
        ("app/service-account.json", Some(File::Google)),
    ] {
        assert_eq!(SecretFile::of(path), expected, "{path}");
    }
}

#[test]
fn a_file_counts_by_what_is_in_it() {
    use SecretFile as File;
    let key = "-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----\n";
    let certificate = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n";
    let google = r#"{"private_key": "-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----\n"}"#;
    for (file, yes, no) in [
        (File::Env, "# x\nexport A=b\n", "# A=b\n\nA=\nB=\"\"\nVITE_A=b\nconst x = 1"),
        (File::Key, &*format!("{certificate}{key}"), certificate),
        (
            File::Npm,
            "//registry.npmjs.org/:_authToken=hunter2",
            "//r/:_authToken=${NPM_TOKEN}\nalways-auth=true",
        ),
        (File::Npm, "npmAuthToken: \"hunter2\"", "nodeLinker: node-modules"),
        (File::Python, "[pypi]\nusername = __token__\npassword = hunter2", "[pypi]\nusername = x"),
        (
            File::Python,
            "index-url = https://u:hunter2@p.acme.dev/simple",
            "index-url = https://p.acme.dev/simple",
        ),
        (File::Netrc, "machine a.dev login x password hunter2", "machine a.dev login x"),
        (
            File::Docker,
            r#"{"auths": {"ghcr.io": {"auth": "eDp5"}}}"#,
            r#"{"auths": {"ghcr.io": {}}, "credsStore": "x"}"#,
        ),
        (File::Aws, "[default]\naws_secret_access_key = hunter2", "[default]\nregion = eu-central-1"),
        (File::Google, google, r#"{"type": "external_account"}"#),
        (File::Git, "[http]\n\textraheader = AUTHORIZATION: basic eDp5", "[core]\n\tbare = false"),
        (File::Git, "url = https://x:hunter2@github.com/a/b", "url = https://github.com/a/b"),
        (File::Kubernetes, "users:\n- user:\n    client-key-data: TFMw", "users:\n- user:\n    exec: {}"),
        (File::Postgres, "db:5432:shop:app:hunter2", "# host:port:database:user:password"),
    ] {
        assert!(file.holds(yes), "{file:?} {yes}");
        assert!(!file.holds(no), "{file:?} {no}");
        assert!(!file.holds(""), "{file:?}");
    }
}
