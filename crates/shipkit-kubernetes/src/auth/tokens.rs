//! `Tokens`: the token that requests carry now. It is renewed before it expires, once at a time, and kept while that fails.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::http::HeaderValue;
use ::http::header::AUTHORIZATION;
use kube::Client;
use shipkit_core::Secret;
use tokio::sync::OwnedMutexGuard;
use tower::{BoxError, service_fn};

use super::error::AuthError;
use super::http::Http;
use super::{Login, Minted};

/// How long before its end a token is renewed at the earliest; of one that lives shortly, in the last quarter of its life.
const AHEAD: Duration = Duration::from_mins(5);
/// No token is held for longer, whatever is said about it.
const LONGEST: Duration = Duration::from_hours(24);
/// How long nobody asks again after a renewal that failed, as long as the token is good.
const PAUSE: Duration = Duration::from_secs(10);

/// A token that is renewed in time.
pub(crate) struct Tokens {
    login: Login,
    http: Http,
    held: Mutex<Held>,
    /// Whoever has it renews.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// A token, and until when it is good.
#[derive(Debug, Clone)]
struct Held {
    token: Secret,
    due: Instant,
    expires: Instant,
}

/// What is to be done with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It is used.
    Fresh,
    /// It is used, and a new one asked for.
    Due,
    /// A new one must be there first.
    Expired,
}

impl Held {
    fn new(minted: Minted, asked: Instant) -> Self {
        let life = LONGEST.min(minted.life);
        let due = asked + life.saturating_sub(AHEAD.min(life / 4));
        Self { token: minted.token, due, expires: asked + life }
    }

    fn stage(&self, now: Instant) -> Stage {
        if self.expires <= now {
            Stage::Expired
        } else if self.due <= now {
            Stage::Due
        } else {
            Stage::Fresh
        }
    }

    /// The same after a renewal that failed.
    fn postponed(&self, now: Instant) -> Self {
        Self { due: now + PAUSE, ..self.clone() }
    }
}

impl Tokens {
    /// Asks for the first token.
    pub(crate) async fn begin(login: Login, http: Http) -> Result<Arc<Self>, AuthError> {
        let asked = Instant::now();
        let held = Held::new(login.mint(&http).await?, asked);
        Ok(Arc::new(Self { login, http, held: Mutex::new(held), turn: Arc::default() }))
    }

    /// The token for a request that begins now.
    async fn token(self: &Arc<Self>) -> Result<Secret, AuthError> {
        let held = self.held();
        match held.stage(Instant::now()) {
            Stage::Fresh => Ok(held.token),
            Stage::Due => {
                if let Ok(turn) = Arc::clone(&self.turn).try_lock_owned() {
                    let tokens = Arc::clone(self);
                    // Nobody waits for it: the token at hand is good.
                    tokio::spawn(async move { tokens.renew_in_time(turn).await });
                }
                Ok(held.token)
            }
            Stage::Expired => {
                let _turn = self.turn.lock().await;
                // Whoever had the turn before has renewed it for all.
                let held = self.held();
                match held.stage(Instant::now()) {
                    Stage::Fresh | Stage::Due => Ok(held.token),
                    Stage::Expired => self.renew().await,
                }
            }
        }
    }

    async fn renew(&self) -> Result<Secret, AuthError> {
        let asked = Instant::now();
        let held = Held::new(self.login.mint(&self.http).await?, asked);
        let token = held.token.clone();
        self.hold(held);
        Ok(token)
    }

    async fn renew_in_time(&self, _turn: OwnedMutexGuard<()>) {
        // Whoever had the turn a moment before may have done it.
        let is_due = self.held().stage(Instant::now()) != Stage::Fresh;
        if is_due && let Err(error) = self.renew().await {
            tracing::warn!(%error, "the token for the cluster could not be renewed yet");
            self.hold(self.held().postponed(Instant::now()));
        }
    }

    fn held(&self) -> Held {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hold(&self, held: Held) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }

    /// The same client, each of whose requests carries the token that is good when it begins.
    pub(crate) fn carried_by(self: Arc<Self>, client: Client) -> Client {
        let namespace = client.default_namespace().to_owned();
        let service = service_fn(move |mut request: ::http::Request<kube::client::Body>| {
            let (tokens, client) = (Arc::clone(&self), client.clone());
            async move {
                let token = tokens.token().await?;
                let value = HeaderValue::try_from(format!("Bearer {}", token.reveal()));
                // The error quotes nothing, but says nothing either.
                let mut value = value.map_err(|_says_nothing| AuthError::BadCredentials {
                    what: "the token for the cluster".to_owned(),
                    why: "it has signs that no header may have".to_owned(),
                })?;
                value.set_sensitive(true);
                request.headers_mut().insert(AUTHORIZATION, value);
                Ok::<_, BoxError>(client.send(request).await?)
            }
        });
        Client::new(service, namespace)
    }
}

#[cfg(test)]
mod tests {
    use shipkit_core::Hint as _;
    use shipkit_core::exit::ExitCode;
    use shipkit_tests::server::cloud::{CLIENT_SECRET, FakeCloud};

    use super::*;
    use crate::auth::{Aks, AksCredentials};

    #[track_caller]
    fn check(life: u64, stages: &[(u64, Stage)]) {
        let asked = Instant::now();
        let minted = Minted { token: Secret::new("one"), life: Duration::from_secs(life) };
        let held = Held::new(minted, asked);
        for (second, stage) in stages {
            assert_eq!(held.stage(asked + Duration::from_secs(*second)), *stage, "{second} s of {life}");
        }
    }

    #[test]
    fn a_token_is_renewed_five_minutes_before_its_end() {
        check(3600, &[(0, Stage::Fresh), (3299, Stage::Fresh), (3300, Stage::Due), (3600, Stage::Expired)]);
    }

    #[test]
    fn a_token_that_lives_shortly_is_renewed_in_its_last_quarter() {
        check(840, &[(629, Stage::Fresh), (630, Stage::Due), (839, Stage::Due), (840, Stage::Expired)]);
        check(4, &[(2, Stage::Fresh), (3, Stage::Due), (4, Stage::Expired)]);
        check(0, &[(0, Stage::Expired)]);
    }

    #[test]
    fn after_a_renewal_that_failed_nobody_asks_for_a_while_but_it_still_expires() {
        let asked = Instant::now();
        let minted = Minted { token: Secret::new("one"), life: Duration::from_mins(14) };
        let at = |second| asked + Duration::from_secs(second);
        let held = Held::new(minted, asked).postponed(at(700));
        let stages = [700, 709, 710, 840].map(|second| held.stage(at(second)));
        assert_eq!(stages, [Stage::Fresh, Stage::Fresh, Stage::Due, Stage::Expired]);
        let late = held.postponed(at(835));
        assert_eq!([839, 840].map(|second| late.stage(at(second))), [Stage::Fresh, Stage::Expired]);
    }

    /// Tokens of Entra ID, the one at hand at this stage, and the fake that gives the next.
    async fn tokens(due: Duration, expires: Duration) -> (FakeCloud, Arc<Tokens>) {
        let cloud = FakeCloud::start();
        let login = Login::Aks(Aks {
            tenant: "tenant-1".to_owned(),
            client: "client-1".to_owned(),
            credentials: AksCredentials::Secret(Secret::new(CLIENT_SECRET)),
            authority: Some(cloud.url()),
        });
        let tokens = Tokens::begin(login, Http::new().unwrap()).await.unwrap();
        let now = Instant::now();
        tokens.hold(Held { due: now + due, expires: now + expires, ..tokens.held() });
        cloud.gives("two", 3600);
        (cloud, tokens)
    }

    const HOUR: Duration = Duration::from_hours(1);

    async fn shown(tokens: &Arc<Tokens>) -> String {
        tokens.token().await.unwrap().reveal().to_owned()
    }

    #[tokio::test]
    async fn nobody_waits_for_a_renewal_while_the_old_token_is_good() {
        let (cloud, tokens) = tokens(Duration::ZERO, HOUR).await;
        assert_eq!(shown(&tokens).await, "one");
        // The task that renews has the turn until it is done.
        drop(tokens.turn.lock().await);
        assert_eq!(shown(&tokens).await, "two");
        assert_eq!(cloud.requests().len(), 2);
    }

    #[tokio::test]
    async fn an_expired_token_is_renewed_once_for_all_who_wait() {
        let (cloud, tokens) = tokens(Duration::ZERO, Duration::ZERO).await;
        let all = futures_util::future::join_all((0..20).map(|_| shown(&tokens))).await;
        assert!(all.iter().all(|one| one == "two"), "{all:?}");
        assert_eq!(cloud.requests().len(), 2, "one for the first token, one for the second");
    }

    #[tokio::test]
    async fn a_token_is_kept_while_its_renewal_fails_and_is_of_no_use_once_it_has_expired() {
        let (cloud, tokens) = tokens(Duration::ZERO, HOUR).await;
        let said = r#"{"error": "invalid_client", "error_description": "AADSTS7000222: the-client-secret has expired."}"#;
        cloud.refuses("/tenant-1/oauth2/v2.0/token", 401, said, usize::MAX);
        for _ in 0..3 {
            assert_eq!(shown(&tokens).await, "one");
            drop(tokens.turn.lock().await);
        }
        assert_eq!(cloud.requests().len(), 2, "nobody asks again at once");
        tokens.hold(Held { expires: Instant::now(), ..tokens.held() });
        let error = tokens.token().await.unwrap_err();
        let host = cloud.url().replace("http://", "");
        assert_eq!(
            error.to_string(),
            format!(
                "`{host}` refused to give a token for AKS: invalid_client: AADSTS7000222: *** has expired. (status 401)"
            )
        );
        assert!(error.hint().unwrap().contains("federated credential"), "{error:?}");
        assert_eq!(error.exit_code(), ExitCode::Unknown);
    }

    #[tokio::test]
    async fn what_passes_is_asked_again() {
        let (cloud, tokens) = tokens(Duration::ZERO, Duration::ZERO).await;
        cloud.refuses("/tenant-1/oauth2/v2.0/token", 503, "{}", 1);
        assert_eq!(shown(&tokens).await, "two");
        assert_eq!(cloud.requests().len(), 3);
    }
}
