//! `Api`: what a description of an HTTP API lets anybody ask without an effect, and what the answers have to be (`OpenAPI` 3.0 and 3.1).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use shipkit_core::Secret;

use crate::variable::as_part;

/// How deep references and schemas are followed.
const DEPTH: usize = 64;

/// What can be asked of an API by its description.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Api {
    /// One example request of each operation that reads and needs nothing that is not described.
    pub operations: Vec<Operation>,
    /// The other operations that read, and why they are not asked: `GET /me` needs a login.
    pub left_out: Vec<String>,
    /// Headers to send with each of them, in which there may be variables as in those of [`Http`](crate::Http).
    pub send: BTreeMap<String, String>,
    /// Values for names that no check captures. No report shows them.
    pub variables: BTreeMap<String, Secret>,
}

/// A request for an operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// As the description has it: `/rooms/{id}`.
    pub template: String,
    /// The path and the query to ask, below the base address.
    pub path: String,
    /// Headers to send.
    pub headers: BTreeMap<String, String>,
    /// By status (`200`), class (`2XX`) or `default`: the JSON Schema (2020-12) of the body, if one is described.
    pub answers: BTreeMap<String, Option<Value>>,
}

impl Api {
    /// Reads a description. With headers to send, operations that need a login are asked as well.
    ///
    /// # Errors
    /// With the reason, when it is no description of `OpenAPI` 3.
    pub fn read(document: &Value, send: BTreeMap<String, String>) -> Result<Self, String> {
        let version = document.get("openapi").and_then(Value::as_str).unwrap_or_default();
        if !version.starts_with("3.") {
            return Err(format!("it is no OpenAPI 3 document: `openapi` is `{version}`"));
        }
        let paths = document.get("paths").and_then(Value::as_object).ok_or("it has no `paths`")?;
        let prefix = prefix(document);
        let mut api = Self { send, ..Self::default() };
        for (template, item) in paths {
            let item = resolved(document, item);
            let Some(operation) = item.get("get") else { continue };
            match read_one(document, &prefix, template, (item, operation), &api.send) {
                Ok(operation) => api.operations.push(operation),
                Err(why) => api.left_out.push(format!("`GET {template}` {why}")),
            }
        }
        Ok(api)
    }
}

impl Operation {
    /// What is described for a status: exactly, by its class, or for all others (`OpenAPI` 3.1.1, 4.8.16).
    pub(crate) fn answer<T>(answers: &BTreeMap<String, T>, status: u16) -> Option<&T> {
        let class = format!("{}XX", status / 100);
        [status.to_string(), class, "default".to_owned()].iter().find_map(|key| answers.get(key))
    }
}

/// The path of the first server, which stands before all others: `https://api.example.com/v1` and `/v1` are the same here.
fn prefix(document: &Value) -> String {
    let server = document.pointer("/servers/0");
    let mut url = server.and_then(|server| server.get("url")?.as_str()).unwrap_or_default().to_owned();
    let variables = server.and_then(|server| server.get("variables")?.as_object());
    for (name, variable) in variables.into_iter().flatten() {
        let default = variable.get("default").and_then(Value::as_str).unwrap_or_default();
        url = url.replace(&format!("{{{name}}}"), default);
    }
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default(),
        None => &url,
    };
    let path = path.trim_end_matches('/');
    if path.is_empty() || path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

fn read_one(
    document: &Value,
    prefix: &str,
    template: &str,
    (item, operation): (&Value, &Value),
    send: &BTreeMap<String, String>,
) -> Result<Operation, String> {
    if send.is_empty() && needs_login(document, operation) {
        return Err("needs a login".to_owned());
    }
    let mut path = format!("{prefix}{template}");
    let mut query = Vec::new();
    let mut headers = BTreeMap::new();
    for ((place, name), parameter) in parameters(document, item, operation) {
        let is_required = place == "path" || parameter.get("required") == Some(&Value::Bool(true));
        let is_sent = place == "header" && send.keys().any(|known| known.eq_ignore_ascii_case(&name));
        if !is_required || is_sent {
            continue;
        }
        let value = example(document, parameter).ok_or_else(|| format!("has no example of `{name}`"))?;
        let part =
            as_part(&value).ok_or_else(|| format!("has an example of `{name}` that is no part of a path"));
        match place.as_str() {
            "path" => path = path.replace(&format!("{{{name}}}"), &part?),
            "query" => query.push(format!("{}={}", as_part(&name).unwrap_or_default(), part?)),
            "header" => drop(headers.insert(name, value)),
            _ => return Err(format!("needs the cookie `{name}`")),
        }
    }
    if path.contains('{') {
        return Err("has a part of its path that it does not describe".to_owned());
    }
    if !query.is_empty() {
        path = format!("{path}?{}", query.join("&"));
    }
    let answers = answers(document, operation);
    if answers.is_empty() {
        return Err("describes no answer".to_owned());
    }
    Ok(Operation { template: template.to_owned(), path, headers, answers })
}

/// Whether each of the ways to be let in asks for something.
fn needs_login(document: &Value, operation: &Value) -> bool {
    let ways = operation.get("security").or_else(|| document.get("security")).and_then(Value::as_array);
    let is_open = |way: &Value| way.as_object().is_none_or(Map::is_empty);
    ways.is_some_and(|ways| !ways.is_empty() && !ways.iter().any(is_open))
}

/// The parameters by place and name; those of the operation stand for those of its path.
fn parameters<'a>(
    document: &'a Value,
    item: &'a Value,
    operation: &'a Value,
) -> BTreeMap<(String, String), &'a Value> {
    let lists = [item, operation].map(|holder| holder.get("parameters").and_then(Value::as_array));
    let all = lists.into_iter().flatten().flatten().map(|parameter| resolved(document, parameter));
    let text =
        |parameter: &Value, key| parameter.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    all.map(|parameter| ((text(parameter, "in"), text(parameter, "name")), parameter)).collect()
}

/// A value that the description gives as an example, or that a schema has beside others.
fn example(document: &Value, parameter: &Value) -> Option<String> {
    let schema = resolved(document, parameter.get("schema").unwrap_or(&Value::Null));
    let named = parameter.get("examples").and_then(Value::as_object);
    let named = named.and_then(|examples| resolved(document, examples.values().next()?).get("value"));
    let first = |key| schema.get(key).and_then(Value::as_array).and_then(|values| values.first());
    let value = parameter
        .get("example")
        .or(named)
        .or_else(|| schema.get("example"))
        .or_else(|| first("examples"))
        .or_else(|| schema.get("default"))
        .or_else(|| first("enum"))?;
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn answers(document: &Value, operation: &Value) -> BTreeMap<String, Option<Value>> {
    let responses = operation.get("responses").and_then(Value::as_object);
    let described = responses.into_iter().flatten().map(|(status, response)| {
        let content = resolved(document, response).get("content").and_then(Value::as_object);
        let is_json = |kind: &str| {
            let kind = kind.split(';').next().unwrap_or_default().trim();
            kind == "application/json" || kind.ends_with("+json")
        };
        let mut kinds = content.into_iter().flatten();
        let schema = kinds.find(|(kind, _)| is_json(kind)).and_then(|(_, media)| media.get("schema"));
        (
            status.to_ascii_uppercase().replace("DEFAULT", "default"),
            schema.map(|schema| whole(document, schema)),
        )
    });
    described.collect()
}

/// A schema that stands alone, with all that it may refer to.
fn whole(document: &Value, schema: &Value) -> Value {
    let components =
        document.get("components").and_then(|all| all.get("schemas")).cloned().unwrap_or_default();
    let is_old =
        document.get("openapi").and_then(Value::as_str).is_some_and(|version| version.starts_with("3.0"));
    let (mut schema, mut schemas) = (schema.clone(), components);
    if is_old {
        modern(&mut schema, DEPTH);
        for schema in schemas.as_object_mut().into_iter().flat_map(Map::values_mut) {
            modern(schema, DEPTH);
        }
    }
    json!({"allOf": [schema], "components": {"schemas": schemas}})
}

/// Says in the words of JSON Schema 2020-12 what `OpenAPI` 3.0 says in its own: `nullable`, and limits that are excluded.
fn modern(schema: &mut Value, depth: usize) {
    let Some(left) = depth.checked_sub(1) else { return };
    if let Value::Array(items) = schema {
        for item in items {
            modern(item, left);
        }
        return;
    }
    let Value::Object(fields) = schema else { return };
    for (limit, excluded) in [("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")] {
        match fields.get(excluded) {
            Some(Value::Bool(true)) => {
                let value = fields.remove(limit).unwrap_or_default();
                fields.insert(excluded.to_owned(), value);
            }
            Some(Value::Bool(false)) => drop(fields.remove(excluded)),
            Some(_) | None => {}
        }
    }
    for (key, inner) in fields.iter_mut() {
        // What these hold is data and no schema.
        if !matches!(key.as_str(), "example" | "default" | "enum" | "const") {
            modern(inner, left);
        }
    }
    if fields.get("nullable") == Some(&Value::Bool(true)) {
        fields.remove("nullable");
        let not_null = std::mem::take(schema);
        *schema = json!({"anyOf": [not_null, {"type": "null"}]});
    }
}

/// The object itself, or what it refers to in the same document.
fn resolved<'a>(document: &'a Value, object: &'a Value) -> &'a Value {
    let mut found = object;
    for _ in 0..DEPTH {
        let reference = found.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix('#'));
        match reference.and_then(|pointer| document.pointer(pointer)) {
            Some(next) => found = next,
            None => break,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::schema::JsonSchema;

    fn api(document: &Value) -> Api {
        Api::read(document, BTreeMap::new()).unwrap()
    }

    /// A document of one path with this item, and these components.
    fn with(template: &str, item: Value, components: Value) -> Value {
        let mut document = json!({"openapi": "3.1.0", "paths": {}});
        document["paths"][template] = item;
        document["components"] = components;
        document
    }

    #[track_caller]
    fn check(document: &Value, paths: &[&str], left_out: &[&str]) {
        let api = api(document);
        assert_eq!(api.operations.iter().map(|one| one.path.as_str()).collect::<Vec<_>>(), paths);
        assert_eq!(api.left_out, left_out);
    }

    fn ok() -> Value {
        json!({"200": {"description": "ok"}})
    }

    #[test]
    fn only_what_reads_is_asked() {
        let item =
            json!({"get": {"responses": ok()}, "post": {"responses": ok()}, "delete": {"responses": ok()}});
        check(&with("/rooms", item, json!({})), &["/rooms"], &[]);
        check(&with("/rooms", json!({"post": {"responses": ok()}}), json!({})), &[], &[]);
        check(&with("/rooms", json!({"get": {}}), json!({})), &[], &["`GET /rooms` describes no answer"]);
    }

    #[test]
    fn examples_take_the_place_of_what_is_required() {
        let id = |more: Value| {
            let mut parameter = json!({"name": "id", "in": "path", "required": true});
            parameter.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            with(
                "/rooms/{id}",
                json!({"parameters": [parameter], "get": {"responses": ok()}}),
                json!({
                    "schemas": {"Id": {"type": "string", "example": "r/1"}}
                }),
            )
        };
        check(&id(json!({"example": 7})), &["/rooms/7"], &[]);
        check(&id(json!({"examples": {"a": {"value": "x y"}}})), &["/rooms/x%20y"], &[]);
        check(&id(json!({"schema": {"$ref": "#/components/schemas/Id"}})), &["/rooms/r%2F1"], &[]);
        check(&id(json!({"schema": {"examples": ["e"]}})), &["/rooms/e"], &[]);
        check(&id(json!({"schema": {"default": "d", "enum": ["a"]}})), &["/rooms/d"], &[]);
        check(&id(json!({"schema": {"enum": ["a"]}})), &["/rooms/a"], &[]);
        check(&id(json!({})), &[], &["`GET /rooms/{id}` has no example of `id`"]);
        check(
            &id(json!({"example": ".."})),
            &[],
            &["`GET /rooms/{id}` has an example of `id` that is no part of a path"],
        );
        let undescribed = with("/rooms/{id}", json!({"get": {"responses": ok()}}), json!({}));
        check(&undescribed, &[], &["`GET /rooms/{id}` has a part of its path that it does not describe"]);
    }

    #[test]
    fn queries_and_headers_are_sent_where_they_are_required() {
        let parameters = json!([
            {"name": "q", "in": "query", "required": true, "example": "a&b"},
            {"name": "page", "in": "query", "example": 2},
            {"name": "X-Shop", "in": "header", "required": true, "example": "eu"}
        ]);
        let document =
            with("/find", json!({"get": {"parameters": parameters, "responses": ok()}}), json!({}));
        check(&document, &["/find?q=a%26b"], &[]);
        assert_eq!(
            api(&document).operations[0].headers,
            BTreeMap::from([("X-Shop".to_owned(), "eu".to_owned())])
        );
        let cookie = json!([{"name": "sid", "in": "cookie", "required": true, "example": "1"}]);
        let document = with("/find", json!({"get": {"parameters": cookie, "responses": ok()}}), json!({}));
        check(&document, &[], &["`GET /find` needs the cookie `sid`"]);
    }

    #[test]
    fn who_needs_a_login_is_left_out() {
        let document = |root: Value, own: Option<Value>| {
            let mut get = json!({"responses": ok()});
            if let Some(own) = own {
                get["security"] = own;
            }
            let mut document = with("/me", json!({ "get": get }), json!({}));
            document["security"] = root;
            document
        };
        let left_out = ["`GET /me` needs a login"];
        check(&document(json!([{"bearer": []}]), None), &[], &left_out);
        check(&document(json!([]), Some(json!([{"bearer": []}]))), &[], &left_out);
        check(&document(json!([{"bearer": []}]), Some(json!([]))), &["/me"], &[]);
        check(&document(json!([{"bearer": []}, {}]), None), &["/me"], &[]);
        let send = BTreeMap::from([("Authorization".to_owned(), "Bearer ${token}".to_owned())]);
        let api = Api::read(&document(json!([{"bearer": []}]), None), send.clone()).unwrap();
        assert_eq!((api.operations.len(), api.left_out.len(), api.send), (1, 0, send));
    }

    #[test]
    fn the_path_of_the_server_stands_before_all_others() {
        for (server, path) in [
            (json!({"url": "https://api.example.com/v1/"}), "/v1/rooms"),
            (json!({"url": "/v2"}), "/v2/rooms"),
            (json!({"url": "https://api.example.com"}), "/rooms"),
            (json!({"url": "https://x/{v}", "variables": {"v": {"default": "v3"}}}), "/v3/rooms"),
        ] {
            let mut document = with("/rooms", json!({"get": {"responses": ok()}}), json!({}));
            document["servers"] = json!([server]);
            check(&document, &[path], &[]);
        }
    }

    #[test]
    fn a_status_is_described_exactly_by_its_class_or_for_all_others() {
        let answers = BTreeMap::from(
            [("200", 1), ("4XX", 2), ("default", 3)].map(|(key, value)| (key.to_owned(), value)),
        );
        let found = [200, 404, 500].map(|status| Operation::answer(&answers, status).copied());
        assert_eq!(found, [Some(1), Some(2), Some(3)]);
        assert_eq!(Operation::answer(&BTreeMap::from([("200".to_owned(), 1)]), 404), None);
    }

    /// The schema of the answer 200 of the only operation.
    fn schema(version: &str, schema: &Value) -> JsonSchema {
        let content = json!({"200": {"content": {"application/json; charset=utf-8": {"schema": schema}}}});
        let mut document = with(
            "/a",
            json!({"get": {"responses": content}}),
            json!({
                "schemas": {"Room": {"type": "object", "required": ["id"], "properties": {"topic": {"type": "string", "nullable": true}}}}
            }),
        );
        document["openapi"] = Value::from(version);
        JsonSchema::read(api(&document).operations[0].answers["200"].as_ref().unwrap()).unwrap()
    }

    #[test]
    fn answers_fit_the_schemas_that_are_described() {
        let rooms = json!({"type": "array", "items": {"$ref": "#/components/schemas/Room"}});
        let fits = |schema: &JsonSchema, body: Value| schema.wrong(&body, &str::to_owned).is_none();
        let old = schema("3.0.3", &rooms);
        assert!(fits(&old, json!([{"id": 1, "topic": null}, {"id": 2, "topic": "x"}])));
        assert!(!fits(&old, json!([{"topic": "x"}])) && !fits(&old, json!([{"id": 1, "topic": 5}])));
        assert!(!fits(&schema("3.1.0", &rooms), json!([{"id": 1, "topic": null}])));
        let limits = json!({"minimum": 1, "exclusiveMinimum": true, "maximum": 3, "exclusiveMaximum": false});
        let limits = schema("3.0.3", &limits);
        assert_eq!([1, 2, 3, 4].map(|number| fits(&limits, json!(number))), [false, true, true, false]);
    }

    #[test]
    fn what_is_no_description_is_refused() {
        assert!(
            Api::read(&json!({"swagger": "2.0"}), BTreeMap::new())
                .unwrap_err()
                .starts_with("it is no OpenAPI 3 document")
        );
        assert_eq!(
            Api::read(&json!({"openapi": "3.1.0"}), BTreeMap::new()).unwrap_err(),
            "it has no `paths`"
        );
        let round = with("/a", json!({"$ref": "#/paths/~1a"}), json!({}));
        check(&round, &[], &[]);
    }

    proptest! {
        #[test]
        fn any_text_in_any_place_is_read(template in "[/a-z{}%. ]{0,12}", value in any::<String>(), name in "[a-z{}]{0,4}") {
            let parameter = json!({"name": name, "in": "path", "example": value});
            let document = with(&template, json!({"parameters": [parameter], "get": {"responses": ok()}}), json!({}));
            prop_assert_eq!(api(&document).operations.len() + api(&document).left_out.len(), 1);
        }
    }
}
