//! Names that only secrets have.

/// What stands before `KEY` in the name of a secret one: a key alone may as well be public, such as `GPG_KEY`.
const KEYS: [&str; 17] = [
    "SECRET",
    "API",
    "ACCESS",
    "PRIVATE",
    "ENCRYPTION",
    "SIGNING",
    "MASTER",
    "AUTH",
    "SESSION",
    "COOKIE",
    "JWT",
    "HMAC",
    "DEPLOY",
    "ACCOUNT",
    "STORAGE",
    "SSH",
    "APP",
];
/// What stands at the end of a name that is about a secret, and not for one.
const ABOUT: [&str; 26] = [
    "FILE",
    "PATH",
    "DIR",
    "NAME",
    "NAMES",
    "ID",
    "ARN",
    "URL",
    "URI",
    "HOST",
    "PORT",
    "MOUNT",
    "TYPE",
    "VERSION",
    "LENGTH",
    "TTL",
    "BACKEND",
    "PROVIDER",
    "STORE",
    "ENGINE",
    "ENABLED",
    "DUMMY",
    "PREFIX",
    "NAMESPACE",
    "REF",
    "REGION",
];
/// How names begin whose values are given to every browser on purpose.
const PUBLIC: [&str; 7] =
    ["NEXT_PUBLIC_", "NUXT_PUBLIC_", "EXPO_PUBLIC_", "PUBLIC_", "VITE_", "REACT_APP_", "GATSBY_"];

/// Whether a variable, label or option of this name holds a secret.
pub(super) fn is_secret(name: &str) -> bool {
    if is_public(name) {
        return false;
    }
    let words = words(name);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match &words[..] {
        [.., "PASSWORD" | "PASSWD" | "PASSPHRASE" | "TOKEN" | "SECRET" | "APIKEY" | "CREDENTIALS"]
        | [_, .., "PASS" | "PWD"]
        | [.., "SECRET", "KEY", "BASE"] => true,
        [.., before, "KEY"] => KEYS.contains(before),
        [.., last] => words.contains(&"SECRET") && !ABOUT.contains(last),
        [] => false,
    }
}

/// Whether the value of a variable of this name is meant for everybody.
pub(super) fn is_public(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    PUBLIC.iter().any(|start| name.starts_with(start)) || name.contains("PUBLISHABLE")
}

/// The words of a name in upper case, without numbers at its end: `dbPassword_2` is `DB`, `PASSWORD`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for char in name.chars() {
        let is_next = !char.is_ascii_alphanumeric() || was_lower && char.is_ascii_uppercase();
        if is_next {
            words.push(String::new());
        }
        if let (true, Some(word)) = (char.is_ascii_alphanumeric(), words.last_mut()) {
            word.push(char.to_ascii_uppercase());
        }
        was_lower = char.is_ascii_lowercase();
    }
    for word in &mut words {
        word.truncate(word.trim_end_matches(|char: char| char.is_ascii_digit()).len());
    }
    words.retain(|word| !word.is_empty());
    words
}
