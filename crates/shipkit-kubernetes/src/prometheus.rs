//! Prometheus in the cluster, through the API server's proxy to its Service: with the cluster's own credentials, and from
//! wherever the API server can be reached.

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;
use kube::client::Body;
use shipkit_core::prometheus::{PrometheusError, Samples, ServiceAddress, read};
use tokio::time::timeout;
use url::form_urlencoded::Serializer;

use crate::cluster::{Cluster, TIME_LIMIT};
use crate::error::{ClusterError, causes};

/// What is read of an answer.
const LIMIT: usize = 1024 * 1024;

impl Cluster {
    /// Whether these credentials may ask a Service through the API server.
    ///
    /// # Errors
    /// When they may not, or the cluster cannot be asked.
    pub async fn may_ask(&self, service: &ServiceAddress) -> Result<(), ClusterError> {
        let text = |text: &str| Some(text.to_owned());
        let wanted = ResourceAttributes {
            namespace: text(service.namespace()),
            group: text(""),
            resource: text("services"),
            subresource: text("proxy"),
            name: text(service.name()),
            verb: text("get"),
            ..ResourceAttributes::default()
        };
        let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(wanted), ..Default::default() };
        let question = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
        let reviews: Api<SelfSubjectAccessReview> = Api::all(self.client.clone());
        let how = PostParams::default();
        let answer = self.ask("review its own access", reviews.create(&how, &question)).await?;
        if answer.status.is_some_and(|status| status.allowed) {
            return Ok(());
        }
        let (namespace, missing) = (service.namespace().to_owned(), vec!["get services/proxy".to_owned()]);
        Err(ClusterError::Forbidden { namespace, missing })
    }

    /// What `query` gives now at a Prometheus behind a Service.
    ///
    /// # Errors
    /// When Prometheus cannot be reached, or cannot answer that.
    pub async fn prometheus(
        &self,
        service: &ServiceAddress,
        query: &str,
    ) -> Result<Samples, PrometheusError> {
        let at = service.to_string();
        let unreachable = |reason: String| PrometheusError::Unreachable { at: at.clone(), reason };
        let pairs = Serializer::new(String::new()).append_pair("query", query).finish();
        // Sent by GET, so that whoever deploys needs no permission to send anything else through the proxy.
        let path = format!("{}?{pairs}", service.proxied("/api/v1/query"));
        let ask = ::http::Request::get(path).body(Body::empty());
        let ask = ask.map_err(|error| unreachable(error.to_string()))?;
        let exchange = async {
            let answer = self.client.send(ask).await.map_err(|error| unreachable(causes(&error)))?;
            let status = answer.status().as_u16();
            match Limited::new(answer.into_body(), LIMIT).collect().await {
                Ok(body) => Ok((status, body.to_bytes())),
                Err(error) if error.is::<LengthLimitError>() => {
                    Err(PrometheusError::TooLarge { query: query.to_owned(), mib: LIMIT >> 20 })
                }
                Err(error) => Err(unreachable(causes(&*error))),
            }
        };
        let (status, body) = timeout(TIME_LIMIT, exchange)
            .await
            .map_err(|_elapsed| unreachable(format!("nothing within {} s", TIME_LIMIT.as_secs())))??;
        read(&at, query, status, &body)
    }
}
