//! `SecretFile`: files that are known to hold secrets, by their names and then by what is in them.

use serde_json::Value;

use super::{in_text, is_literal, name, shape};

/// A file that by its name may hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretFile {
    /// Settings of a program: `.env`.
    Env,
    /// A private key.
    Key,
    /// The settings of npm, pnpm or yarn.
    Npm,
    /// The settings of pip, or of what uploads to `PyPI`.
    Python,
    /// Logins by host.
    Netrc,
    /// Logins of Docker.
    Docker,
    /// Credentials of AWS.
    Aws,
    /// Credentials of Google Cloud.
    Google,
    /// The settings of Git, or its stored logins.
    Git,
    /// How to reach a cluster.
    Kubernetes,
    /// Passwords of `PostgreSQL`.
    Postgres,
}

impl SecretFile {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Env,
        Self::Key,
        Self::Npm,
        Self::Python,
        Self::Netrc,
        Self::Docker,
        Self::Aws,
        Self::Google,
        Self::Git,
        Self::Kubernetes,
        Self::Postgres,
    ];

    /// By its path.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let of_folder = folder.rsplit('/').next().unwrap_or_default();
        let found = match (of_folder, name) {
            (_, ".npmrc" | ".yarnrc" | ".yarnrc.yml") => Self::Npm,
            (_, ".pypirc" | "pip.conf") => Self::Python,
            (_, ".netrc" | "_netrc") => Self::Netrc,
            (".docker", "config.json") | (_, ".dockercfg" | ".dockerconfigjson") => Self::Docker,
            (".aws", "credentials" | "config") => Self::Aws,
            (".git", "config") | (_, ".gitconfig" | ".git-credentials") => Self::Git,
            (".kube", "config") | (_, "kubeconfig" | "kubeconfig.yaml" | "kubeconfig.yml") => {
                Self::Kubernetes
            }
            (_, ".pgpass") => Self::Postgres,
            (_, "application_default_credentials.json") => Self::Google,
            (_, name) if is_account(name) => Self::Google,
            (_, name) if is_settings(name) => Self::Env,
            (_, name) if name.ends_with(".kubeconfig") => Self::Kubernetes,
            (_, name) if is_key(name) && !is_for_tests(folder) => Self::Key,
            _ => return None,
        };
        (!is_published(folder)).then_some(found)
    }

    /// What it holds, in words.
    #[must_use]
    pub fn what(self) -> &'static str {
        match self {
            Self::Env => "settings of a program",
            Self::Key => "a private key",
            Self::Npm => "a login of npm",
            Self::Python => "a login of PyPI",
            Self::Netrc => "a login",
            Self::Docker => "a login of Docker",
            Self::Aws => "credentials of AWS",
            Self::Google => "credentials of Google Cloud",
            Self::Git => "a login of Git",
            Self::Kubernetes => "a login of a cluster",
            Self::Postgres => "a password of PostgreSQL",
        }
    }

    /// Whether what is in it is a secret: a certificate is none, and neither is a login that comes out of a variable.
    #[must_use]
    pub fn holds(self, text: &str) -> bool {
        let has = |wanted: fn(&str, &str) -> bool, mark: char| {
            text.lines().any(|line| {
                let (name, value) = line.split_once(mark).unwrap_or_default();
                let value = value.trim().trim_matches(['"', '\'']);
                wanted(name.trim(), value) && is_literal(value)
            })
        };
        let has_password = || in_text(text).iter().any(|found| found.what == "a password in an address");
        match self {
            Self::Env => text.lines().any(is_setting),
            Self::Key | Self::Google => {
                shape::all(&text.replace("\\n", "\n")).iter().any(|(what, _)| *what == "a private key")
                    || self == Self::Google && text.contains("\"refresh_token\"")
            }
            Self::Npm => {
                let is_login = |name: &str, _: &str| {
                    ["_authToken", "_auth", "_password"].iter().any(|end| name.ends_with(end))
                };
                has(is_login, '=') || has(|name, _| matches!(name, "npmAuthToken" | "npmAuthIdent"), ':')
            }
            Self::Python => has(|name, _| name == "password", '=') || has_password(),
            Self::Netrc => {
                let mut words = text.split_whitespace().skip_while(|word| *word != "password").skip(1);
                words.next().is_some_and(is_literal)
            }
            Self::Docker => holds_login(text),
            Self::Aws => has(|name, _| matches!(name, "aws_secret_access_key" | "aws_session_token"), '='),
            Self::Git => has_password() || has(is_header, '='),
            Self::Kubernetes => {
                has(|name, _| matches!(name, "client-key-data" | "token" | "password" | "- token"), ':')
            }
            Self::Postgres => text.lines().any(|line| {
                let fields: Vec<_> = line.split(':').collect();
                !line.starts_with('#') && matches!(fields[..], [_, _, _, _, password] if is_literal(password))
            }),
        }
    }
}

/// `.env` and `.env.production`; what is named as an example is one.
fn is_settings(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(".env") else { return false };
    let words = ["example", "sample", "template", "dist", "defaults", "schema", "vault", "tpl"];
    rest.is_empty() || rest.starts_with('.') && !rest.split(['.', '-', '_']).any(|word| words.contains(&word))
}

/// An assignment of a value that is not for everybody.
fn is_setting(line: &str) -> bool {
    let line = line.trim().strip_prefix("export ").unwrap_or(line.trim());
    let Some((key, value)) = line.split_once('=') else { return false };
    let key = key.trim_end();
    let is_name = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let value = value.trim().trim_matches(['"', '\'']);
    is_name && !value.is_empty() && !value.starts_with('#') && !name::is_public(key)
}

fn is_key(name: &str) -> bool {
    let is_ssh = |name: &str| ["rsa", "dsa", "ecdsa", "ed25519", "ecdsa_sk", "ed25519_sk"].contains(&name);
    let is_host = name.strip_prefix("ssh_host_").and_then(|rest| rest.strip_suffix("_key"));
    let has_extension = [".pem", ".key", ".ppk"].iter().any(|end| name.ends_with(end));
    // Distributions make it when a package is installed, for tries.
    let is_snake_oil = name.contains("snakeoil");
    (name.strip_prefix("id_").or(is_host).is_some_and(is_ssh) || has_extension) && !is_snake_oil
}

/// The key of an account of Google Cloud, by the names that people give it.
fn is_account(name: &str) -> bool {
    let starts = ["service-account", "service_account", "serviceaccount", "gcp-key", "gcloud"];
    let Some(name) = name.strip_suffix(".json").map(str::to_ascii_lowercase) else { return false };
    starts.iter().any(|start| name.starts_with(start))
}

/// Packages of languages, which everybody can read where they were published.
fn is_published(folder: &str) -> bool {
    let is_package = |name: &str| matches!(name, "node_modules" | "site-packages" | "dist-packages" | "gems");
    folder.split('/').any(is_package)
        || ["go/pkg/mod/", "usr/local/go/", ".cargo/registry/", "usr/local/lib/python"]
            .iter()
            .any(|part| format!("{folder}/").contains(part))
}

/// Keys there are for trying.
fn is_for_tests(folder: &str) -> bool {
    let is_test = |name: &str| {
        matches!(name, "test" | "tests" | "testdata" | "test-data" | "fixtures" | "__tests__" | "spec")
    };
    folder.split('/').any(is_test)
}

/// `extraheader = AUTHORIZATION: basic ...`, as actions/checkout leaves it.
fn is_header(name: &str, value: &str) -> bool {
    name.eq_ignore_ascii_case("extraheader") && value.to_ascii_lowercase().starts_with("authorization:")
}

/// A login itself; one that a program keeps elsewhere is none.
fn holds_login(text: &str) -> bool {
    let Ok(Value::Object(file)) = serde_json::from_str(text) else { return false };
    let auths = file.get("auths").and_then(Value::as_object).unwrap_or(&file);
    let is_login = |login: &Value| {
        ["auth", "password", "identitytoken"]
            .iter()
            .any(|key| login.get(key).and_then(Value::as_str).is_some_and(|value| !value.is_empty()))
    };
    auths.values().any(is_login)
}
