//! `SshAddress`: where a Docker host is reached over SSH; `shell_line`: a command for the shell on the other side.

use std::fmt;
use std::str::FromStr;

/// Who logs in where no user is named, as with most tools that deploy over SSH.
const USER: &str = "root";
const PORT: u16 = 22;
const SOCKET: &str = "/var/run/docker.sock";

/// A Docker host that is reached over SSH: `ssh://[user@]host[:port][/path/of/docker.sock]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshAddress {
    user: String,
    host: String,
    port: u16,
    socket: String,
}

/// A text that is not the address of an SSH server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an SSH address: {reason}")]
pub struct NotAnSshAddress {
    /// The text, without a password.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl SshAddress {
    /// Who logs in; `root` where the address names nobody.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The name or address of the server, in lower case and without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 22 where the address names none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path of Docker's socket on the server; `/var/run/docker.sock` where the address names none.
    #[must_use]
    pub fn socket(&self) -> &str {
        &self.socket
    }

    /// The server as `known_hosts` names it: the host alone at port 22, else `[host]:port`.
    #[must_use]
    pub fn known_as(&self) -> String {
        if self.port == PORT { self.host.clone() } else { format!("[{}]:{}", self.host, self.port) }
    }
}

impl FromStr for SshAddress {
    type Err = NotAnSshAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|reason| NotAnSshAddress { text: without_password(text), reason })
    }
}

/// The user and the server, as a person would write them: the port only where it is not 22, the socket never.
impl fmt::Display for SshAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ssh://{}@", self.user)?;
        match (self.host.contains(':'), self.port) {
            (false, PORT) => write!(f, "{}", self.host),
            (false, port) => write!(f, "{}:{port}", self.host),
            (true, PORT) => write!(f, "[{}]", self.host),
            (true, port) => write!(f, "[{}]:{port}", self.host),
        }
    }
}

fn parse(text: &str) -> Result<SshAddress, &'static str> {
    let rest = text.strip_prefix("ssh://").ok_or("it does not begin with `ssh://`")?;
    if rest.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '%')) {
        return Err("it has a space, `?`, `#` or `%` in it");
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, server) = authority.rsplit_once('@').unwrap_or((USER, authority));
    if user.contains(':') {
        return Err("a password has no place in it; log in with a key");
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if user.is_empty() || user.starts_with('-') || !user.chars().all(|c| plain(c) || c == '+') {
        return Err("what stands before `@` is not the name of a user");
    }
    let (host, port) = match server.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or("the bracket is not closed")?,
        None => server.split_at(server.find(':').unwrap_or(server.len())),
    };
    let is_v6 = server.starts_with('[');
    let is_host = |c: char| if is_v6 { c.is_ascii_hexdigit() || matches!(c, ':' | '.') } else { plain(c) };
    if host.is_empty() || host.starts_with('-') || !host.chars().all(is_host) {
        return Err("it names no host");
    }
    let port = match port.strip_prefix(':') {
        Some(number) => number.parse().ok().filter(|port| *port != 0),
        None if port.is_empty() => Some(PORT),
        None => None,
    };
    Ok(SshAddress {
        user: user.to_owned(),
        host: host.to_ascii_lowercase(),
        port: port
            .ok_or("what follows the host is not `:` and a port (an IPv6 address stands in brackets)")?,
        socket: if path.is_empty() { SOCKET.to_owned() } else { format!("/{path}") },
    })
}

fn without_password(text: &str) -> String {
    let Some((before, after)) = text.rsplit_once('@') else { return text.to_owned() };
    let start = before.find("://").map_or(0, |at| at + 3);
    let (scheme, user) = before.split_at(start);
    match user.split_once(':') {
        Some((name, _)) => format!("{scheme}{name}:***@{after}"),
        None => text.to_owned(),
    }
}

/// One line that makes a POSIX shell run exactly this program with exactly these arguments. `None` if there is no
/// program, or an argument holds a NUL byte, which no program can be given.
#[must_use]
pub fn shell_line(argv: &[&str]) -> Option<String> {
    if argv.is_empty() || argv.iter().any(|word| word.contains('\0')) {
        return None;
    }
    // Every word is quoted, so that none is taken for a keyword, an alias or an assignment.
    let words: Vec<String> = argv.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
    Some(words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, user: &str, known_as: &str, socket: &str) {
        let address: SshAddress = text.parse().unwrap();
        assert_eq!((address.user(), address.known_as().as_str(), address.socket()), (user, known_as, socket));
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        check("ssh://host", "root", "host", "/var/run/docker.sock");
        check("ssh://deploy@host/", "deploy", "host", "/var/run/docker.sock");
        check("ssh://deploy@Host.example:22", "deploy", "host.example", "/var/run/docker.sock");
        check(
            "ssh://a@10.0.0.1:2222/run/user/1000/docker.sock",
            "a",
            "[10.0.0.1]:2222",
            "/run/user/1000/docker.sock",
        );
        check("ssh://[::1]", "root", "::1", "/var/run/docker.sock");
        check("ssh://a.b-c_d@[FE80::1]:2222", "a.b-c_d", "[fe80::1]:2222", "/var/run/docker.sock");
    }

    #[test]
    fn an_address_is_shown_as_a_person_would_write_it() {
        let shown = |text: &str| text.parse::<SshAddress>().unwrap().to_string();
        assert_eq!(shown("ssh://host:22/x.sock"), "ssh://root@host");
        assert_eq!(shown("ssh://a@[::1]:2222"), "ssh://a@[::1]:2222");
    }

    #[track_caller]
    fn refuse(text: &str, why: &str) {
        let error = text.parse::<SshAddress>().unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_reason() {
        refuse("host", "does not begin with `ssh://`");
        refuse("ssh://", "names no host");
        refuse("ssh://user@", "names no host");
        refuse("ssh://-oProxyCommand=x", "names no host");
        refuse("ssh://@host", "not the name of a user");
        refuse("ssh://-l@host", "not the name of a user");
        refuse("ssh://a@b@host", "not the name of a user");
        refuse("ssh://host:", "a port");
        refuse("ssh://host:0", "a port");
        refuse("ssh://host:65536", "a port");
        refuse("ssh://::1", "names no host");
        refuse("ssh://fe80::1", "a port");
        refuse("ssh://[::1", "not closed");
        refuse("ssh://[::1]2", "a port");
        refuse("ssh://[host]", "names no host");
        refuse("ssh://host name", "a space");
        refuse("ssh://host?x", "`?`");
    }

    #[test]
    fn a_password_is_refused_and_not_repeated() {
        let error = "ssh://user:s3cret@host".parse::<SshAddress>().unwrap_err();
        assert_eq!(error.text, "ssh://user:***@host");
        assert!(error.to_string().contains("log in with a key"), "{error}");
    }

    #[test]
    fn every_word_of_a_command_is_quoted() {
        assert_eq!(
            shell_line(&["a=b", "it's", "-x", "", "$(id)\n"]).unwrap(),
            "'a=b' 'it'\\''s' '-x' '' '$(id)\n'"
        );
        assert_eq!(shell_line(&[]), None);
        assert_eq!(shell_line(&["a", "b\0c"]), None);
    }
}
