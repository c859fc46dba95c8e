//! `Preview`: a new container before any traffic goes to it, and how it is asked from here.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use super::Compose;
use super::container::Container;
use super::error::ComposeError;
use crate::host::{Host, Reached};
use crate::rollout::text;
use crate::spec::{at, items};

/// A new container that is well, and to which no traffic goes yet.
#[derive(Debug, Clone)]
pub struct Preview {
    instance: String,
    ip: Option<IpAddr>,
    host: Host,
    serving: Option<Box<Self>>,
}

impl Preview {
    /// The name by which it is known in the rollout.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// A container of the release that serves meanwhile, which can be asked in the same way; `None` where none does.
    #[must_use]
    pub fn serving(&self) -> Option<&Self> {
        self.serving.as_deref()
    }

    /// Where one of its ports answers from here, as long as what this gives is kept.
    ///
    /// # Errors
    /// When it has no address, or its host lets nobody through.
    pub async fn reach(&self, port: u16) -> Result<Reached, ComposeError> {
        let ip = self.ip.ok_or_else(|| ComposeError::NoAddress(self.instance.clone()))?;
        Ok(self.host.reach(SocketAddr::new(ip, port)).await?)
    }
}

impl Compose {
    /// Whether new containers have addresses at which they can be asked. Those of a rootless engine, or of one in a virtual
    /// machine of its own, have none that their host sees.
    ///
    /// # Errors
    /// When the engine cannot be asked.
    pub async fn has_addresses(&self) -> Result<bool, ComposeError> {
        Ok(!is_apart(&self.engine.get("describe itself", "/info").await?))
    }

    pub(super) fn preview(&self, container: &Container, serving: Option<&Container>) -> Preview {
        let serving = serving.map(|one| Box::new(self.preview(one, None)));
        Preview { instance: container.instance(), ip: container.ip(), host: self.host.clone(), serving }
    }
}

/// Whether the networks of an engine are not those of its host.
fn is_apart(info: &Value) -> bool {
    let mut options = items(at(info, &["SecurityOptions"])).filter_map(Value::as_str);
    options.any(|option| option == "name=rootless") || text(info, &["OperatingSystem"]) == "Docker Desktop"
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn containers_of_a_rootless_engine_and_of_a_virtual_machine_have_no_address_on_the_host() {
        for (info, expected) in [
            (json!({"SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]}), true),
            (json!({"SecurityOptions": ["name=seccomp,profile=default"]}), false),
            (json!({"OperatingSystem": "Docker Desktop"}), true),
            (json!({"OperatingSystem": "Debian GNU/Linux 12"}), false),
        ] {
            assert_eq!(is_apart(&info), expected, "{info}");
        }
    }
}
