//! `Store`: what the registry keeps, and what it answers by the distribution-spec.

use std::collections::BTreeMap;
use std::time::Instant;

use axum::http::{HeaderMap, Method, Uri};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use shipkit_core::Digest;

use super::{Auth, Broken, Fault, IDENTITY, Kind, Options, PASSWORD, Request, USERNAME};

const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) host: String,
    pub(super) options: Options,
    pub(super) repositories: BTreeMap<String, Repository>,
    pub(super) uploads: u64,
    pub(super) tokens: BTreeMap<String, (Instant, Vec<String>)>,
    pub(super) requests: Vec<Request>,
}

#[derive(Debug, Default)]
pub(super) struct Repository {
    pub(super) blobs: BTreeMap<String, Bytes>,
    pub(super) manifests: BTreeMap<String, (String, Bytes)>,
    pub(super) tags: BTreeMap<String, String>,
}

/// One request, read.
pub(super) struct Asked<'a> {
    pub(super) method: Method,
    pub(super) name: &'a str,
    pub(super) rest: &'a str,
    pub(super) query: BTreeMap<String, String>,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: Bytes,
}

#[derive(Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
}

/// Decodes `a=b&c=d` into pairs, keeping their order.
pub(super) fn pairs(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
            match (first, hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
                (b'%', Some(byte)) => {
                    bytes.push(byte);
                    rest = after.get(2..).unwrap_or_default();
                }
                (b'+', _) => {
                    bytes.push(b' ');
                    rest = after;
                }
                (byte, _) => {
                    bytes.push(*byte);
                    rest = after;
                }
            }
        }
        String::from_utf8(bytes).unwrap_or_default()
    };
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key), decode(value))
    };
    query.split('&').filter(|part| !part.is_empty()).map(pair).collect()
}

impl Reply {
    pub(super) fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(super) fn containing(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    fn json(self, body: &Value) -> Self {
        self.with("content-type", "application/json").containing(body.to_string())
    }

    pub(super) fn error(status: u16, code: &str) -> Self {
        Self::new(status).json(&json!({"errors": [{"code": code, "message": code.to_lowercase()}]}))
    }
}

impl Store {
    pub(super) fn fault(&mut self, method: &Method, kind: Kind) -> Option<Broken> {
        let fits = |fault: &&mut Fault| fault.method == *method && fault.kind == kind && 0 < fault.times;
        let fault = self.options.faults.iter_mut().find(fits)?;
        if 0 < fault.skip {
            fault.skip -= 1;
            return None;
        }
        fault.times -= 1;
        Some(fault.what.clone())
    }

    pub(super) fn reply(&mut self, method: &Method, uri: &Uri, headers: &HeaderMap, body: Bytes) -> Reply {
        let query = uri.query().unwrap_or_default();
        if uri.path() == "/token" {
            let form = String::from_utf8_lossy(&body).into_owned();
            return self.token(query, &form, headers);
        }
        let Some(path) = uri.path().strip_prefix("/v2/") else { return Reply::new(404) };
        let markers = ["/manifests/", "/blobs/uploads/", "/blobs/", "/referrers/", "/tags/"];
        let parted = markers.iter().find_map(|m| path.rsplit_once(m).map(|(name, rest)| (*m, name, rest)));
        let (marker, name, rest) = parted.unwrap_or(("", "", path));
        let query = pairs(query).into_iter().collect();
        let asked = Asked { method: method.clone(), name, rest, query, headers, body };
        if let Err(refusal) = self.admit(&asked) {
            return refusal;
        }
        match (marker, method.as_str()) {
            ("", "GET") => Reply::new(200).json(&json!({})),
            ("/manifests/", "GET" | "HEAD") => self.get_manifest(&asked),
            ("/manifests/", "PUT") => self.put_manifest(&asked),
            ("/manifests/", "DELETE") => self.delete_manifest(&asked),
            ("/blobs/", "GET" | "HEAD") => self.get_blob(&asked),
            ("/blobs/uploads/", "POST") => self.begin_upload(&asked),
            ("/blobs/uploads/", "PUT") => self.end_upload(&asked),
            ("/referrers/", "GET") if self.options.referrers => self.referrers(&asked),
            ("/tags/", "GET") => self.list_tags(&asked),
            _ => Reply::new(404).containing("404 page not found"),
        }
    }

    fn admit(&mut self, asked: &Asked<'_>) -> Result<(), Reply> {
        let authorization = asked.headers.get("authorization").and_then(|value| value.to_str().ok());
        let refusal =
            |challenge: String| Reply::error(401, "UNAUTHORIZED").with("www-authenticate", challenge);
        match self.options.auth {
            Auth::None => Ok(()),
            Auth::Basic if authorization == Some(&self.basic()) => Ok(()),
            Auth::Basic => Err(refusal("Basic realm=\"registry\"".to_owned())),
            Auth::Bearer { .. } => {
                let is_read = matches!(asked.method, Method::GET | Method::HEAD);
                let actions = if is_read { "pull" } else { "pull,push" };
                let scope = format!("repository:{}:{actions}", asked.name);
                let token = authorization.and_then(|value| value.strip_prefix("Bearer "));
                let granted = token.and_then(|token| self.tokens.get(token));
                let allows = |scopes: &Vec<String>| {
                    let wider = format!("repository:{}:pull,push", asked.name);
                    let own = scopes.iter().any(|s| *s == scope || *s == wider);
                    let from = asked.query.get("from").map(|from| format!("repository:{from}:pull"));
                    own && from.is_none_or(|from| scopes.iter().any(|s| s.starts_with(&from)))
                };
                match granted {
                    Some((expires, scopes)) if Instant::now() < *expires && allows(scopes) => Ok(()),
                    _ => Err(refusal(format!(
                        "Bearer realm=\"http://{}/token\",service=\"in-test\",scope=\"{scope}\"",
                        self.host
                    ))),
                }
            }
        }
    }

    /// What the user sends where a password is asked for.
    fn basic(&self) -> String {
        let password = self.options.password.unwrap_or(PASSWORD);
        format!("Basic {}", BASE64_STANDARD.encode(format!("{USERNAME}:{password}")))
    }

    fn token(&mut self, query: &str, form: &str, headers: &HeaderMap) -> Reply {
        let Auth::Bearer { ttl } = self.options.auth else { return Reply::new(404) };
        let form: BTreeMap<String, String> = pairs(form).into_iter().collect();
        let is_known = form.get("refresh_token").map_or_else(
            || headers.get("authorization").is_some_and(|value| *value == self.basic()),
            |token| token == IDENTITY && form.get("grant_type").is_some_and(|kind| kind == "refresh_token"),
        );
        if !is_known {
            return Reply::error(401, "UNAUTHORIZED");
        }
        let asked = pairs(query).into_iter().filter(|(key, _)| key == "scope").map(|(_, value)| value);
        let in_form = form.get("scope").into_iter().flat_map(|scope| scope.split(' ')).map(str::to_owned);
        let scopes: Vec<String> = asked.chain(in_form).collect();
        if self.options.narrow && 1 < scopes.len() {
            return Reply::error(403, "DENIED");
        }
        // No registry takes the token of another one.
        let token = format!("token-{}-{}", self.host, self.requests.len());
        self.tokens.insert(token.clone(), (Instant::now() + ttl, scopes));
        Reply::new(200).json(&json!({"token": token, "expires_in": ttl.as_secs()}))
    }

    fn get_manifest(&self, asked: &Asked<'_>) -> Reply {
        let Some(repository) = self.repositories.get(asked.name) else {
            return Reply::error(404, "NAME_UNKNOWN");
        };
        let digest = repository.tags.get(asked.rest).map_or(asked.rest, String::as_str);
        let Some((media_type, bytes)) = repository.manifests.get(digest) else {
            return Reply::error(404, "MANIFEST_UNKNOWN");
        };
        let reply = Reply::new(200).with("content-type", media_type).with("docker-content-digest", digest);
        asked.sending(reply, bytes)
    }

    fn put_manifest(&mut self, asked: &Asked<'_>) -> Reply {
        let digest = Digest::of(&asked.body).to_string();
        let is_digest = asked.rest.contains(':');
        let media_type = asked.headers.get("content-type").and_then(|value| value.to_str().ok());
        let Ok(manifest) = serde_json::from_slice::<Value>(&asked.body) else {
            return Reply::error(400, "MANIFEST_INVALID");
        };
        let stated = manifest.get("mediaType").and_then(Value::as_str);
        if media_type.is_none() || stated.is_some_and(|stated| Some(stated) != media_type) {
            return Reply::error(400, "MANIFEST_INVALID");
        }
        if is_digest && asked.rest != digest {
            return Reply::error(400, "DIGEST_INVALID");
        }
        let repository = self.repositories.entry(asked.name.to_owned()).or_default();
        let missing: Vec<Value> = repository
            .missing(&manifest)
            .into_iter()
            .map(|digest| json!({"code": "MANIFEST_BLOB_UNKNOWN", "detail": {"digest": digest}}))
            .collect();
        if !missing.is_empty() {
            return Reply::new(400).json(&json!({"errors": missing}));
        }
        let kept = (media_type.unwrap_or_default().to_owned(), asked.body.clone());
        repository.manifests.insert(digest.clone(), kept);
        if !is_digest {
            repository.tags.insert(asked.rest.to_owned(), digest.clone());
        }
        let reply = Reply::new(201)
            .with("location", format!("/v2/{}/manifests/{digest}", asked.name))
            .with("docker-content-digest", &digest);
        match manifest.pointer("/subject/digest").and_then(Value::as_str) {
            Some(subject) if self.options.referrers => reply.with("oci-subject", subject),
            _ => reply,
        }
    }

    fn delete_manifest(&mut self, asked: &Asked<'_>) -> Reply {
        let Some(repository) = self.repositories.get_mut(asked.name) else {
            return Reply::error(404, "NAME_UNKNOWN");
        };
        if repository.tags.remove(asked.rest).is_some() {
            return Reply::new(202);
        }
        if repository.manifests.remove(asked.rest).is_none() {
            return Reply::error(404, "MANIFEST_UNKNOWN");
        }
        repository.tags.retain(|_, digest| digest != asked.rest);
        Reply::new(202)
    }

    /// A page of tags in their order; like most registries it may give fewer than were asked for.
    fn list_tags(&self, asked: &Asked<'_>) -> Reply {
        let Some(repository) = self.repositories.get(asked.name) else {
            return Reply::error(404, "NAME_UNKNOWN");
        };
        let wanted = asked.query.get("n").and_then(|n| n.parse().ok()).unwrap_or(usize::MAX);
        let page = self.options.page.unwrap_or(usize::MAX).min(wanted);
        let rest =
            || repository.tags.keys().filter(|tag| asked.query.get("last").is_none_or(|last| last < *tag));
        let tags: Vec<_> = rest().take(page).collect();
        let reply = Reply::new(200).json(&json!({"name": asked.name, "tags": tags}));
        match tags.last().filter(|_| page < rest().count()) {
            Some(last) => {
                let path = format!("/v2/{}/tags/list", asked.name);
                reply.with("link", format!("<{path}?n={wanted}&last={last}>; rel=\"next\""))
            }
            None => reply,
        }
    }

    fn get_blob(&self, asked: &Asked<'_>) -> Reply {
        match self.repositories.get(asked.name).and_then(|r| r.blobs.get(asked.rest)) {
            None => Reply::error(404, "BLOB_UNKNOWN"),
            Some(bytes) => {
                let reply = Reply::new(200)
                    .with("content-type", "application/octet-stream")
                    .with("docker-content-digest", asked.rest);
                asked.sending(reply, bytes)
            }
        }
    }

    fn begin_upload(&mut self, asked: &Asked<'_>) -> Reply {
        let mounted = asked.query.get("mount").zip(asked.query.get("from")).filter(|_| self.options.mount);
        if let Some((digest, from)) = mounted
            && let Some(bytes) = self.repositories.get(from).and_then(|r| r.blobs.get(digest)).cloned()
        {
            self.repositories.entry(asked.name.to_owned()).or_default().blobs.insert(digest.clone(), bytes);
            return Reply::new(201).with("location", format!("/v2/{}/blobs/{digest}", asked.name));
        }
        self.uploads += 1;
        // With a query of its own, as docker-registry has one.
        Reply::new(202)
            .with("location", format!("/v2/{}/blobs/uploads/{}?_state=x%2Fy", asked.name, self.uploads))
    }

    fn end_upload(&mut self, asked: &Asked<'_>) -> Reply {
        let is_open = asked.rest.parse::<u64>().is_ok_and(|upload| upload <= self.uploads);
        if !is_open || asked.query.get("_state").is_none_or(|state| state != "x/y") {
            return Reply::error(404, "BLOB_UPLOAD_UNKNOWN");
        }
        let digest = Digest::of(&asked.body).to_string();
        if asked.query.get("digest") != Some(&digest) {
            return Reply::error(400, "DIGEST_INVALID");
        }
        let repository = self.repositories.entry(asked.name.to_owned()).or_default();
        repository.blobs.insert(digest.clone(), asked.body.clone());
        Reply::new(201)
            .with("location", format!("/v2/{}/blobs/{digest}", asked.name))
            .with("docker-content-digest", digest)
    }

    fn referrers(&self, asked: &Asked<'_>) -> Reply {
        let manifests = self.repositories.get(asked.name).map(|r| &r.manifests);
        let all: Vec<Value> = manifests
            .into_iter()
            .flatten()
            .filter_map(|(digest, (media_type, bytes))| {
                let manifest: Value = serde_json::from_slice(bytes).ok()?;
                let subject = manifest.pointer("/subject/digest")?.as_str()?;
                (subject == asked.rest).then(|| {
                    json!({
                        "mediaType": media_type, "digest": digest, "size": bytes.len(),
                        "artifactType": manifest.get("artifactType"), "annotations": manifest.get("annotations"),
                    })
                })
            })
            .collect();
        let from = asked.query.get("from").and_then(|from| from.parse().ok()).unwrap_or(0);
        let page = self.options.page.unwrap_or(usize::MAX);
        let manifests: Vec<Value> = all.iter().skip(from).take(page).cloned().collect();
        let next = from.saturating_add(page);
        let reply = Reply::new(200);
        let reply = if next < all.len() {
            let path = format!("/v2/{}/referrers/{}", asked.name, asked.rest);
            reply.with("link", format!("<{path}?from={next}>; rel=\"next\""))
        } else {
            reply
        };
        let index = json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests});
        reply.with("content-type", INDEX_TYPE).containing(index.to_string())
    }
}

impl Repository {
    /// What a manifest points at and is not here. Its subject need not be (distribution-spec, "Pushing Manifests with
    /// Subject").
    fn missing(&self, manifest: &Value) -> Vec<String> {
        let digest = |descriptor: &Value| descriptor.get("digest").and_then(Value::as_str).map(str::to_owned);
        let list = |key| manifest.get(key).and_then(Value::as_array).into_iter().flatten();
        let blobs = manifest.get("config").into_iter().chain(list("layers")).filter_map(digest);
        let children = list("manifests").filter_map(digest);
        blobs
            .filter(|digest| !self.blobs.contains_key(digest))
            .chain(children.filter(|digest| !self.manifests.contains_key(digest)))
            .collect()
    }
}

impl Asked<'_> {
    fn sending(&self, reply: Reply, bytes: &Bytes) -> Reply {
        if self.method == Method::HEAD {
            return reply.with("content-length", bytes.len().to_string());
        }
        reply.containing(bytes.clone())
    }
}
