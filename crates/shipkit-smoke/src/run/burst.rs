//! Asks more often than a limit allows.

use futures_util::{StreamExt as _, stream};
use shipkit_core::Outcome;
use tokio::time::Instant;

use super::Session;
use super::log::Log;
use super::sender::Sender;
use crate::class::Class;
use crate::client::{Ask, Bad, Client, Reuse};
use crate::rate_limit::Burst;

/// How many requests are sent at most.
pub(crate) const BUDGET: u32 = 120;
/// How many of them at once, so that they are a burst however long the way is.
pub(crate) const AT_ONCE: usize = 16;

impl Session<'_> {
    /// Asks until a request is refused, on kept connections, as one client does. It is not tried again: what a limit allows is
    /// used up.
    pub(super) async fn burst(&self, ask: &Ask, log: &mut Log) -> Outcome {
        if self.options.is_production {
            return Outcome::skipped("no burst of requests is sent to an environment that people use");
        }
        let began = Instant::now();
        match self.bursting(ask).await {
            Ok(outcome) => {
                log.judged(began, Class::Body, &outcome);
                outcome
            }
            Err(bad) => {
                // What is bad about it stands in the log.
                log.take(began, Err(bad)).ok();
                self.give_up("", log).await
            }
        }
    }

    async fn bursting(&self, ask: &Ask) -> Result<Outcome, Bad> {
        let (ca_pem, timeout) = (self.options.ca_pem.as_deref(), self.options.timeout);
        let client = match Client::new(ca_pem, Reuse::Allowed, timeout) {
            Ok(client) => client,
            Err(error) => return Ok(Outcome::inconclusive(error.to_string())),
        };
        let sender = &Sender { client, ..self.sender.clone() };
        let requests = (0..BUDGET).map(|_| async move { sender.send(ask, Instant::now() + timeout).await });
        let mut answers = std::pin::pin!(stream::iter(requests).buffer_unordered(AT_ONCE));
        let mut burst = Burst::default();
        while let Some(answer) = answers.next().await {
            let after = |bad: Bad| Bad {
                detail: format!("after {} answers: {}", burst.answered(), bad.detail),
                ..bad
            };
            if burst.take(&answer.map_err(after)?) {
                break;
            }
        }
        Ok(burst.outcome())
    }
}
