//! `/etc/resolv.conf`: the servers that this machine asks (resolv.conf(5)).

use std::net::{IpAddr, SocketAddr};

/// The servers in the text of the file.
pub(crate) fn servers(text: &str) -> Result<Vec<SocketAddr>, String> {
    let mut servers = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut words = line.split_whitespace();
        let Some(server) = words.next().filter(|word| *word == "nameserver").and_then(|_| words.next())
        else {
            continue;
        };
        let ip: IpAddr = server.parse().map_err(|_no_address| {
            format!("names `{server}` in line {}, which is no IP address", index + 1)
        })?;
        let address = SocketAddr::new(ip, 53);
        if !servers.contains(&address) {
            servers.push(address);
        }
    }
    if servers.is_empty() { Err("names no server".to_owned()) } else { Ok(servers) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_each_once() {
        let text = "# nameserver 192.0.2.9\n; nameserver 192.0.2.8\nsearch example.com\nnameserver 192.0.2.1\n\
                    \tnameserver\t2001:db8::1  # ours\nnameserver 192.0.2.1\nnameserver\noptions ndots:5\n";
        let servers = servers(text).unwrap();
        assert_eq!(
            servers,
            ["192.0.2.1:53".parse().unwrap(), "[2001:db8::1]:53".parse::<SocketAddr>().unwrap()]
        );
    }

    #[test]
    fn a_file_that_names_no_server_is_told() {
        assert_eq!(servers("search example.com\n"), Err("names no server".to_owned()));
        let link = "\nnameserver fe80::1%eth0\n";
        assert_eq!(servers(link), Err("names `fe80::1%eth0` in line 2, which is no IP address".to_owned()));
    }
}
