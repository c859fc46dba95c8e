//! `Sender`: how requests of a run go out.

use tokio::time::Instant;

use crate::client::{Answer, Ask, BODY_LIMIT, Bad, Client, Upgraded};
use crate::marked::Marks;

/// The client of a run, and for whom its requests are.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    pub(super) client: Client,
    pub(super) marks: Option<Marks>,
}

impl Sender {
    /// Sends one request; what another than the one that is meant answers is no answer.
    pub(super) async fn send(&self, ask: &Ask, end: Instant) -> Result<Answer, Bad> {
        self.send_up_to(BODY_LIMIT, ask, end).await
    }

    /// The same, and more or less of the body is read.
    pub(super) async fn send_up_to(&self, limit: usize, ask: &Ask, end: Instant) -> Result<Answer, Bad> {
        match &self.marks {
            Some(marks) => marks.checked(self.client.ask_up_to(limit, &marks.on(ask), end).await?),
            None => self.client.ask_up_to(limit, ask, end).await,
        }
    }

    /// Asks for another protocol.
    pub(super) async fn upgrade(&self, ask: &Ask, end: Instant) -> Result<(Answer, Option<Upgraded>), Bad> {
        match &self.marks {
            Some(marks) => {
                let (answer, connection) = self.client.upgrade(&marks.on(ask), end).await?;
                Ok((marks.checked(answer)?, connection))
            }
            None => self.client.upgrade(ask, end).await,
        }
    }
}
