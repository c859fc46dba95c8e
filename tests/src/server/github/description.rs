//! `Description`: GitHub's own description of its API, and whether a request or an answer fits it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use jsonschema::{Draft, Validator};
use serde_json::{Value, json};

/// The operations about deployments.
pub(crate) struct Description {
    operations: Vec<Operation>,
}

/// One method on one path.
pub(crate) struct Operation {
    method: String,
    path: String,
    query: BTreeMap<String, Parameter>,
    body: Option<Body>,
    answers: BTreeMap<u16, Option<Validator>>,
}

struct Parameter {
    is_integer: bool,
    is_required: bool,
    schema: Validator,
}

struct Body {
    keys: Vec<String>,
    schema: Validator,
}

impl Description {
    /// The description that `scripts/fetch-openapi` fetched, or the file named by `SHIPKIT_GITHUB_OPENAPI`.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Description> = OnceLock::new();
        SHARED.get_or_init(|| Self::read(&file()))
    }

    fn read(file: &Path) -> Self {
        let text = std::fs::read(file).unwrap_or_else(|error| {
            panic!(
                "GitHub's description of its API is missing: run `scripts/fetch-openapi` ({}: {error})",
                file.display()
            )
        });
        let whole: Value = serde_json::from_slice(&text).expect("the description is JSON");
        let mut operations = Vec::new();
        for (path, methods) in whole["paths"].as_object().expect("the description has paths") {
            for (method, operation) in methods.as_object().expect("a path has methods") {
                operations.push(Operation::read(method, path, operation));
            }
        }
        assert!(!operations.is_empty(), "the description has no operation");
        Self { operations }
    }

    /// The operation that a request asks for.
    ///
    /// # Errors
    /// A sentence, if GitHub does not describe this request.
    pub(crate) fn allows(
        &self,
        method: &str,
        path: &str,
        query: &str,
        body: &[u8],
    ) -> Result<&Operation, String> {
        let operation = self
            .operations
            .iter()
            .find(|operation| operation.method == method.to_lowercase() && fits(&operation.path, path))
            .ok_or_else(|| format!("there is no `{method} {path}`"))?;
        operation.check_query(query)?;
        operation.check_body(body)?;
        Ok(operation)
    }
}

impl Operation {
    fn read(method: &str, path: &str, operation: &Value) -> Self {
        let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
        let query = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "query")
            .map(|parameter| {
                let name = parameter["name"].as_str().expect("a parameter has a name").to_owned();
                let read = Parameter {
                    is_integer: parameter["schema"]["type"] == "integer",
                    is_required: parameter["required"] == true,
                    schema: compile(&parameter["schema"]),
                };
                (name, read)
            })
            .collect();
        let body =
            operation["requestBody"]["content"]["application/json"]["schema"].as_object().map(|schema| {
                let keys = schema["properties"]
                    .as_object()
                    .expect("a body has properties")
                    .keys()
                    .cloned()
                    .collect();
                Body { keys, schema: compile(&Value::Object(schema.clone())) }
            });
        let answers = operation["responses"].as_object().expect("an operation has answers").iter();
        let answers = answers.filter_map(|(status, answer)| {
            let schema = answer["content"]["application/json"].get("schema").map(compile);
            Some((status.parse().ok()?, schema))
        });
        Self { method: method.to_owned(), path: path.to_owned(), query, body, answers: answers.collect() }
    }

    /// The method and the path with its placeholders.
    pub(crate) fn name(&self) -> (&str, &str) {
        (&self.method, self.path.trim_start_matches("/repos/{owner}/{repo}"))
    }

    fn check_query(&self, query: &str) -> Result<(), String> {
        let given = pairs(query);
        for (name, value) in &given {
            let parameter = self.query.get(name).ok_or_else(|| format!("`{name}` is no parameter"))?;
            let value = match value.parse::<i64>() {
                Ok(number) if parameter.is_integer => json!(number),
                _ => json!(value),
            };
            complaint(&parameter.schema, &value).map_or(Ok(()), |why| Err(format!("`{name}`: {why}")))?;
        }
        let is_missing = |name: &&String| !given.contains_key(*name);
        match self.query.iter().filter(|(_, p)| p.is_required).map(|(name, _)| name).find(is_missing) {
            Some(name) => Err(format!("`{name}` is missing")),
            None => Ok(()),
        }
    }

    fn check_body(&self, bytes: &[u8]) -> Result<(), String> {
        let Some(body) = &self.body else {
            return if bytes.is_empty() { Ok(()) } else { Err("no body belongs here".to_owned()) };
        };
        let value: Value =
            serde_json::from_slice(bytes).map_err(|error| format!("the body is not JSON: {error}"))?;
        if let Some(why) = complaint(&body.schema, &value) {
            return Err(why);
        }
        // The schemas leave other keys open; GitHub ignores them, and a misspelt key would go unseen.
        let known = |key: &&String| body.keys.contains(key);
        match value.as_object().and_then(|object| object.keys().find(|key| !known(key))) {
            Some(key) => Err(format!("`{key}` is no key of the body")),
            None => Ok(()),
        }
    }

    /// Stops the test if the fake's own answer is not one that GitHub describes.
    pub(crate) fn check_answer(&self, status: u16, answer: &Value) {
        let schema =
            self.answers.get(&status).unwrap_or_else(|| panic!("{status} is no answer of {:?}", self.name()));
        if let Some(why) = schema.as_ref().and_then(|schema| complaint(schema, answer)) {
            panic!("the fake's answer {answer} is not GitHub's: {why}");
        }
    }
}

/// The names and values of a query.
pub(crate) fn pairs(query: &str) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

fn file() -> PathBuf {
    std::env::var_os("SHIPKIT_GITHUB_OPENAPI").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/openapi/deployments.json"),
        PathBuf::from,
    )
}

fn fits(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len()
        && template.iter().zip(path).all(|(wanted, part)| {
            if wanted.ends_with("_id}") {
                part.parse::<u64>().is_ok()
            } else {
                wanted.starts_with('{') && !part.is_empty() || *wanted == part
            }
        })
}

fn complaint(schema: &Validator, value: &Value) -> Option<String> {
    schema.iter_errors(value).next().map(|error| format!("{error} at `{}`", error.instance_path()))
}

fn compile(schema: &Value) -> Validator {
    let mut schema = schema.clone();
    say_null(&mut schema);
    // OpenAPI 3.0 schemas come from an early draft: `exclusiveMinimum` is a boolean. GitHub answers with empty texts
    // where its own description promises URLs.
    jsonschema::options()
        .with_draft(Draft::Draft4)
        .should_validate_formats(false)
        .build(&schema)
        .expect("GitHub's schema is a schema")
}

/// Writes OpenAPI's `nullable` as JSON Schema does.
fn say_null(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.values_mut().for_each(say_null);
            if object.get("nullable") == Some(&Value::Bool(true)) {
                object.remove("nullable");
                *schema = json!({ "anyOf": [{ "type": "null" }, schema.take()] });
            }
        }
        Value::Array(items) => items.iter_mut().for_each(say_null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
