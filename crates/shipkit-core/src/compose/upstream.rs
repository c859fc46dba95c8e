//! The file by which nginx knows who gets the traffic of a service. It is also the truth of it: what stands there is read
//! back, whoever wrote it.

use std::fmt::Write as _;

/// Somebody who gets traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Which instance it is: written as a comment, for a name may be given again to another container.
    pub instance: String,
    /// The name by which nginx finds it.
    pub host: String,
}

/// The text of the file: an `upstream` with the name of the service. With nobody in it nginx answers 502.
#[must_use]
pub fn upstream(service: &str, port: u16, servers: &[Server]) -> String {
    let mut text =
        format!("# Written by shipkit: who gets the traffic of {service}.\nupstream {service} {{\n");
    if servers.is_empty() {
        text.push_str("    server 127.0.0.1:9 down;\n");
    }
    for Server { instance, host } in servers {
        // Writing to a String cannot fail.
        writeln!(text, "    server {host}:{port}; # {instance}").ok();
    }
    text.push_str("}\n");
    text
}

/// The instances that a file names, in its order. A server that somebody else wrote there is named as it stands.
#[must_use]
pub fn instances(text: &str) -> Vec<String> {
    let server = |line: &str| {
        let (directive, comment) = line.split_once('#').unwrap_or((line, ""));
        let rest = directive.trim().strip_prefix("server ")?.trim_end_matches([';', ' ']).trim();
        let is_down = rest.split_whitespace().any(|word| word == "down");
        let name = if comment.trim().is_empty() { rest } else { comment.trim() };
        (!is_down).then(|| name.to_owned())
    };
    text.lines().filter_map(server).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str) -> Server {
        Server { instance: format!("{name}@id"), host: format!("shop-{name}") }
    }

    #[test]
    fn each_server_has_its_name_its_port_and_who_it_is() {
        let text = upstream("api", 8080, &[server("api-1"), server("api-2")]);
        let expected = "# Written by shipkit: who gets the traffic of api.\n\
                        upstream api {\n    \
                            server shop-api-1:8080; # api-1@id\n    \
                            server shop-api-2:8080; # api-2@id\n\
                        }\n";
        assert_eq!(text, expected);
        assert_eq!(instances(&text), ["api-1@id", "api-2@id"]);
    }

    #[test]
    fn nobody_is_a_server_that_is_down() {
        let text = upstream("api", 8080, &[]);
        assert!(text.contains("server 127.0.0.1:9 down;"));
        assert!(instances(&text).is_empty());
    }

    #[test]
    fn what_others_wrote_is_read_and_what_is_no_server_is_not() {
        let text = "upstream api {\n  server 10.0.0.1:80 weight=2;\n  server x:1;# \n # server y:1;\n keepalive 8;\n}";
        assert_eq!(instances(text), ["10.0.0.1:80 weight=2", "x:1"]);
        assert!(instances("").is_empty());
    }
}
