//! `Place`: a host, and the folder of its user, which is one of the test's own.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use shipkit_docker::Host;
use shipkit_tests::server::sshd::{Sshd, until};
use tempfile::TempDir;

use crate::client::connect;

pub(crate) struct Place {
    pub(crate) host: Host,
    pub(crate) home: PathBuf,
    /// How the host is called in a sentence.
    pub(crate) name: String,
    pub(crate) sshd: Option<Sshd>,
    _folder: Option<TempDir>,
}

impl Place {
    pub(crate) fn here() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_owned();
        let host = Host::here(home.to_str().unwrap()).unwrap();
        Self { host, home, name: "on this machine".to_owned(), sshd: None, _folder: Some(folder) }
    }

    pub(crate) async fn over_ssh() -> Self {
        // The first line of its kind is the one that counts.
        let sshd = Sshd::with("SetEnv SHLVL=9 PATH=FOLDER/bin:/usr/bin:/bin HOME=FOLDER/home");
        let home = sshd.path("home");
        fs::create_dir(&home).unwrap();
        let host = Host::over(connect(&sshd).await).await.unwrap();
        Self { host, home, name: format!("on `{}`", sshd.host()), sshd: Some(sshd), _folder: None }
    }

    /// One of each kind.
    pub(crate) async fn both() -> [Self; 2] {
        [Self::here(), Self::over_ssh().await]
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// The same as a text.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }
}

/// The names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Keeps the lock of the stack until somebody waits for it, and then `sees` what they have not done yet.
pub(crate) async fn while_locked(place: &Place, sees: impl FnOnce()) {
    let lock = File::open(place.path(".shipkit/shop-staging/lock")).unwrap();
    lock.lock().unwrap();
    let inode = format!(":{} ", lock.metadata().unwrap().ino());
    let is_waiting = |line: &str| line.contains("-> FLOCK") && line.contains(&inode);
    until("somebody waits for the lock", || {
        fs::read_to_string("/proc/locks").unwrap().lines().any(is_waiting)
    })
    .await;
    sees();
    lock.unlock().unwrap();
}
