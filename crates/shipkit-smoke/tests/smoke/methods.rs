//! What requests of each method look like at the server, and which of them are sent twice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::fixture::{serve, status};
use serde_json::json;
use shipkit_core::Verdict;
use shipkit_smoke::{Check, Http, Kind, Method, Options};

fn check(method: Method) -> Check {
    let headers = BTreeMap::from([("Authorization".to_owned(), "Bearer w0rd".to_owned())]);
    let body = (!method.is_safe()).then(|| json!({"a": 1}));
    Check::new(
        method.key(),
        Kind::Http(Http { method, path: "/x".to_owned(), headers, body, ..Http::default() }),
    )
}

#[tokio::test]
async fn every_method_is_sent_as_it_is_called_with_its_headers() {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = heads.clone();
    let server = serve(move |_, head| {
        seen.lock().unwrap().push(head.to_owned());
        status(204)
    })
    .await;
    for method in Method::ALL {
        let report = shipkit_smoke::run(&server.url, vec![check(method)], &Options::default()).await.unwrap();
        assert_eq!(report.outcome.verdict, Verdict::Pass, "{report:?}");
        assert!(!serde_json::to_string(&report).unwrap().contains("w0rd"), "what is sent is not shown");
        let head = heads.lock().unwrap().pop().unwrap().to_ascii_lowercase();
        assert!(head.starts_with(&format!("{} /x http/1.1\r\n", method.key())), "{head}");
        assert!(head.contains("\r\nauthorization: bearer w0rd\r\n"), "{head}");
        assert_eq!(head.contains("\r\ncontent-type: application/json\r\n"), !method.is_safe(), "{head}");
        let flag = match method {
            Method::Get => " -H 'authorization: ...'".to_owned(),
            Method::Head => " --head -H".to_owned(),
            Method::Options | Method::Post | Method::Put | Method::Patch | Method::Delete => {
                format!(" -X {} -H", method.word())
            }
        };
        assert!(report.checks[0].repeat.contains(&flag), "{}", report.checks[0].repeat);
    }
}

#[tokio::test]
async fn only_what_may_be_sent_twice_is() {
    for (method, asked) in Method::ALL.into_iter().zip([3, 3, 3, 1, 3, 1, 1]) {
        let server = serve(|_, _| status(500)).await;
        shipkit_smoke::run(&server.url, vec![check(method)], &Options::default()).await.unwrap();
        assert_eq!(server.asked(), asked, "{method:?}");
    }
}
