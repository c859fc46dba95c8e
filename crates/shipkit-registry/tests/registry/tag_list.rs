//! Lists of tags.

use shipkit_core::Digest;
use shipkit_registry::Error;
use shipkit_tests::server::registry::{Broken, Fault, Kind, Options, Registry};

use crate::{anonymous, repository};

/// A repository with 25 tags at a registry that gives so many at once.
fn server(page: Option<usize>) -> Registry {
    let server = Registry::start(Options { page, ..Options::default() });
    for number in 0..25 {
        server.set_tag("acme/api", &format!("1.{number}.0"), &Digest::of(b"x"));
    }
    server
}

fn lists(server: &Registry) -> usize {
    server.requests().iter().filter(|request| request.path.ends_with("/tags/list")).count()
}

#[tokio::test]
async fn a_list_of_several_pages_is_read_to_its_end() {
    for (page, requests) in [(None, 1), (Some(25), 1), (Some(10), 3), (Some(1), 25)] {
        let server = server(page);
        let tags = anonymous().tags(&repository(&server, "acme/api")).await.unwrap();
        assert_eq!(tags.len(), 25, "{page:?}");
        assert!(tags.contains(&"1.24.0".parse().unwrap()));
        assert_eq!(lists(&server), requests, "{page:?}");
    }
}

#[tokio::test]
async fn a_repository_that_is_not_there_has_no_tags() {
    let server = server(None);
    assert!(anonymous().tags(&repository(&server, "acme/new")).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_list_that_is_not_whole_is_an_error_and_never_a_short_list() {
    for what in [
        Broken::Status(404, vec![]),
        Broken::Status(403, vec![]),
        Broken::Status(405, vec![]),
        Broken::Body("text/html", "<html>".to_owned()),
        Broken::Header("link", "<http://127.0.0.1:1/v2/acme/api/tags/list?last=a>; rel=\"next\"".to_owned()),
        Broken::Header("link", "<//127.0.0.1:1/>; rel=\"next\"".to_owned()),
    ] {
        for good in [0, 1] {
            let server = server(Some(10));
            let said = format!("{what:?} after {good} pages");
            server.fail(Fault::new("GET", Kind::Tags, what.clone()).after(good));
            let error = anonymous().tags(&repository(&server, "acme/api")).await.unwrap_err();
            let is_told =
                matches!(error, Error::Status { .. } | Error::Denied { .. } | Error::Protocol { .. });
            assert!(is_told, "{said}: {error}");
        }
    }
}

#[tokio::test]
async fn a_list_without_end_is_given_up() {
    let server = server(None);
    let mut number = 0;
    // Every page names another one as the next.
    for _ in 0..1001 {
        number += 1;
        let next = format!("</v2/acme/api/tags/list?last={number}>; rel=\"next\"");
        server.fail(Fault::new("GET", Kind::Tags, Broken::Header("link", next)));
    }
    let error = anonymous().tags(&repository(&server, "acme/api")).await.unwrap_err();
    assert!(error.to_string().contains("more than 1000 pages"), "{error}");
}

#[tokio::test]
async fn what_is_no_tag_and_a_list_of_null_are_left_out() {
    let server = server(None);
    for (body, expected) in
        [(r#"{"name":"a","tags":["ok","not ok","-x"]}"#, 1), (r#"{"name":"a","tags":null}"#, 0)]
    {
        server.fail(Fault::new("GET", Kind::Tags, Broken::Body("application/json", body.to_owned())));
        assert_eq!(
            anonymous().tags(&repository(&server, "acme/api")).await.unwrap().len(),
            expected,
            "{body}"
        );
    }
}
