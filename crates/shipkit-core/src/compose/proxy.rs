//! What passes requests on, and the file by which nginx and Traefik know who gets the traffic of a service. It is also the
//! truth of it: what stands there is read back, whoever wrote it. What kamal-proxy is told is in `kamal`.

use std::fmt::Write as _;

/// What passes requests on to the services of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyKind {
    /// nginx, which includes files with an `upstream` each when it is told to reload.
    Nginx,
    /// Traefik, whose file provider watches a folder for files with a service each.
    Traefik,
    /// kamal-proxy, which is told by its own commands and keeps a file of its own.
    KamalProxy,
}

/// A proxy that takes who gets traffic from a file for each service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyFile {
    /// An `upstream` of nginx.
    Nginx,
    /// A service of Traefik.
    Traefik,
}

/// Somebody who gets traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Which instance it is: a comment in a file, for a name may be given again to another container.
    pub instance: String,
    /// The name by which the proxy finds it.
    pub host: String,
}

impl ProxyKind {
    /// Its name, for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Traefik => "Traefik",
            Self::KamalProxy => "kamal-proxy",
        }
    }

    /// The key in the configuration that names its service.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Traefik => "traefik",
            Self::KamalProxy => "kamal-proxy",
        }
    }

    /// The folder in its container where the files lie, or its own one, where nothing else is said.
    #[must_use]
    pub const fn directory(self) -> &'static str {
        match self {
            Self::Nginx => "/etc/nginx/shipkit",
            Self::Traefik => "/etc/traefik/shipkit",
            Self::KamalProxy => "/home/kamal-proxy/.config/kamal-proxy",
        }
    }

    /// The file that it reads for each service, if it does.
    #[must_use]
    pub const fn file(self) -> Option<ProxyFile> {
        match self {
            Self::Nginx => Some(ProxyFile::Nginx),
            Self::Traefik => Some(ProxyFile::Traefik),
            Self::KamalProxy => None,
        }
    }
}

impl ProxyFile {
    /// The ending of the files that it reads.
    #[must_use]
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Nginx => "conf",
            Self::Traefik => "yml",
        }
    }

    /// The text of the file of a service: nginx's `upstream` or Traefik's service (`<service>@file`) of its name. With nobody
    /// in it requests are answered with 502 or 503.
    #[must_use]
    pub fn text(self, service: &str, port: u16, servers: &[Server]) -> String {
        let mut text = format!("# Written by shipkit: who gets the traffic of {service}.\n");
        match self {
            Self::Nginx => upstream(&mut text, service, port, servers),
            Self::Traefik => load_balancer(&mut text, service, port, servers),
        }
        text
    }

    /// The instances that a file names, in its order. A server that somebody else wrote there is named as it stands.
    #[must_use]
    pub fn instances(self, text: &str) -> Vec<String> {
        let server = |line: &str| {
            let (said, comment) = line.split_once('#').unwrap_or((line, ""));
            let server = match self {
                Self::Nginx => upstream_server(said)?,
                Self::Traefik => said.trim().trim_start_matches("- ").strip_prefix("url:")?.trim(),
            };
            let name = if comment.trim().is_empty() { server } else { comment.trim() };
            Some(name.to_owned())
        };
        text.lines().filter_map(server).collect()
    }
}

// Writing to a String cannot fail.
fn upstream(text: &mut String, service: &str, port: u16, servers: &[Server]) {
    writeln!(text, "upstream {service} {{").ok();
    if servers.is_empty() {
        text.push_str("    server 127.0.0.1:9 down;\n");
    }
    for Server { instance, host } in servers {
        writeln!(text, "    server {host}:{port}; # {instance}").ok();
    }
    text.push_str("}\n");
}

fn upstream_server(said: &str) -> Option<&str> {
    let server = said.trim().strip_prefix("server ")?.trim_end_matches([';', ' ']).trim();
    let is_down = server.split_whitespace().any(|word| word == "down");
    (!is_down).then_some(server)
}

fn load_balancer(text: &mut String, service: &str, port: u16, servers: &[Server]) {
    let none = if servers.is_empty() { " []" } else { "" };
    writeln!(text, "http:\n  services:\n    {service}:\n      loadBalancer:\n        servers:{none}").ok();
    for Server { instance, host } in servers {
        writeln!(text, "          - url: http://{host}:{port} # {instance}").ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str) -> Server {
        Server { instance: format!("{name}@id"), host: format!("shop-{name}") }
    }

    #[test]
    fn each_server_has_its_name_its_port_and_who_it_is() {
        let text = ProxyFile::Nginx.text("api", 8080, &[server("api-1"), server("api-2")]);
        let expected = "# Written by shipkit: who gets the traffic of api.\n\
                        upstream api {\n    \
                            server shop-api-1:8080; # api-1@id\n    \
                            server shop-api-2:8080; # api-2@id\n\
                        }\n";
        assert_eq!(text, expected);
        assert_eq!(ProxyFile::Nginx.instances(&text), ["api-1@id", "api-2@id"]);

        let text = ProxyFile::Traefik.text("api", 8080, &[server("api-1"), server("api-2")]);
        let expected = "# Written by shipkit: who gets the traffic of api.\n\
                        http:\n  services:\n    api:\n      loadBalancer:\n        servers:\n          \
                            - url: http://shop-api-1:8080 # api-1@id\n          \
                            - url: http://shop-api-2:8080 # api-2@id\n";
        assert_eq!(text, expected);
        assert_eq!(ProxyFile::Traefik.instances(&text), ["api-1@id", "api-2@id"]);
    }

    #[test]
    fn with_nobody_in_it_a_file_names_nobody() {
        let text = ProxyFile::Nginx.text("api", 8080, &[]);
        assert!(text.contains("server 127.0.0.1:9 down;"));
        assert!(ProxyFile::Nginx.instances(&text).is_empty());
        let text = ProxyFile::Traefik.text("api", 8080, &[]);
        assert!(text.ends_with("        servers: []\n"));
        assert!(ProxyFile::Traefik.instances(&text).is_empty());
    }

    #[test]
    fn what_others_wrote_is_read_and_what_is_no_server_is_not() {
        let text = "upstream api {\n  server 10.0.0.1:80 weight=2;\n  server x:1;# \n # server y:1;\n keepalive 8;\n}";
        assert_eq!(ProxyFile::Nginx.instances(text), ["10.0.0.1:80 weight=2", "x:1"]);
        let text = "servers:\n - url: http://x:1\n   weight: 2\n - weight: 1\n   url: http://y:1#\n # - url: http://z";
        assert_eq!(ProxyFile::Traefik.instances(text), ["http://x:1", "http://y:1"]);
        assert!(ProxyFile::Nginx.instances("").is_empty() && ProxyFile::Traefik.instances("").is_empty());
    }
}
