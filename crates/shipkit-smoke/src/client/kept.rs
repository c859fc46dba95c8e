//! `Kept`: connections that may serve another request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::connect::{Connection, Place};

/// Connections that wait, by where they lead. There are as many as ever were in use at once.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<HashMap<Arc<Place>, Vec<Connection>>>);

impl Kept {
    /// The one that was used last.
    pub(super) fn take(&self, place: &Place) -> Option<Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(place)?.pop()
    }

    pub(super) fn put(&self, place: Arc<Place>, connection: Connection) {
        if !connection.requests.is_closed() {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(place).or_default().push(connection);
        }
    }
}
