//! Whole files, what is made of them, and what is said.

use proptest::prelude::*;
use shipkit_core::Secret;
use shipkit_core::config::{Config, Needed};
use shipkit_smoke::{Given, Options, Shipped, configured, validate};

use super::note::Notes;
use super::*;

const HURL: &str = r#"# Login, then what needs it
POST https://shop.example.com/login
[Options]
retry: 4
verbose: true
{
  "user": "smoke",
  "password": "canary-1"
}
HTTP 201
[Captures]
user-id: jsonpath "$.user.id"
trace: header "X-Trace" redact
session: cookie "sid"

GET https://shop.example.com/users/{{user-id}}/orders
Accept: application/json
[Query]
page size: 10
after: {{day}}
HTTP/2 200
Content-Type: application/json
[Asserts]
jsonpath "$.orders" count == 3
jsonpath "$.orders[0].price" >= 1.5
jsonpath "$.orders" isCollection
jsonpath "$.owner.name" startsWith "A.n"
jsonpath "$.owner.id" == {{user-id}}
jsonpath "$.day" == {{day}}
body contains "one"
body contains "two"
header "Cache-Control" not contains "public"
duration < 800
xpath "string(//h1)" == "x"

GET https://other.example.com/ping
HTTP *
DELETE https://shop.example.com/cart
[BasicAuth]
ann: canary-2
[Cookies]
theme: dark
TRACE https://shop.example.com/
PUT https://shop.example.com/file
file,data.bin;
HTTP 200
"#;

const HURL_YAML: &str = r#"# url: https://shop.example.com
# variables of the environment: BASIC_AUTH, PASSWORD, day
smoke:
  # a.hurl, line 2
  - post: /login
    body: {user: smoke, password: "${PASSWORD}"}
    capture: {user_id: $.user.id, trace: {header: X-Trace}}
    expect: 201
    retries: 4
  # a.hurl, line 16
  - get: "/users/${user_id}/orders?page%20size=10&after=${day}"
    send: {Accept: application/json}
    headers: {Content-Type: application/json, Cache-Control: {not: {contains: public}}}
    expect: {status: 200, json: {orders: {count: 3}, "$.orders[0].price": {type: number, not: {under: 1.5}}, $.owner.name: {matches: "^A\\.n"}, $.owner.id: "${user_id}", $.day: {matches: "^${day}$"}}, body: [one, two], within: 800ms}
  # a.hurl, line 36
  - get: "https://other.example.com/ping"
    expect: {status: [1xx, 2xx, 3xx, 4xx, 5xx]}
  # a.hurl, line 38
  - delete: /cart
    send: {Cookie: theme=dark, Authorization: "Basic ${BASIC_AUTH}"}
    expect: {status: [1xx, 2xx, 3xx, 4xx, 5xx]}
"#;

const HURL_NOTES: &str = "\
a.hurl:1: the checks are asked side by side, without the cookies of answers before: only who uses what another one captures waits for it
a.hurl:2: `post` may change something: where people use the environment it needs `writes: true`, which is yours to say
a.hurl:2: a secret stands here, which is not repeated: it is the variable `PASSWORD`
a.hurl:2: what is captured as `user-id` is `user_id`
a.hurl:5: the option `verbose` means nothing here
a.hurl:14: left out: `session` is not captured: only `jsonpath` and `header` without filters can be captured
a.hurl:21: left out: the version `HTTP/2` of the answer
a.hurl:26: left out: `jsonpath \"$.orders\" isCollection`: `isCollection`
a.hurl:34: left out: `xpath \"string(//h1)\" ==`: checks do not look at `xpath`
a.hurl:36: nothing says which status is good, so any is, as there
a.hurl:38: `delete` may change something: where people use the environment it needs `writes: true`, which is yours to say
a.hurl:38: a secret stands here, which is not repeated: it is the variable `BASIC_AUTH`
a.hurl:38: nothing says which status is good, so any is, as there
a.hurl:38: what belongs into that variable is `user:password` in base64
a.hurl:43: left out: the request: checks have no method `TRACE`
a.hurl:44: left out: the request: its body is a file
";

const POSTMAN: &str = r#"{
  "info": {"name": "Shop", "schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"},
  "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}"}]},
  "variable": [{"key": "baseUrl", "value": "https://shop.example.com/v1"}, {"key": "apiKey", "value": "canary-3"}],
  "event": [{"listen": "prerequest", "script": {"exec": ["pm.variables.set('x', 1)"]}}],
  "item": [
    {
      "name": "Log in",
      "event": [{"listen": "test", "script": {"exec": [
        "const jsonData = pm.response.json();",
        "pm.test(\"ok\", function () {",
        "  pm.response.to.have.status(200);",
        "  pm.expect(jsonData.user.name).to.eql('Ann');",
        "  pm.expect(pm.response.responseTime).to.be.below(500);",
        "});",
        "if (jsonData.token) {",
        "  pm.environment.set('never', jsonData.never);",
        "}",
        "pm.environment.set(\"token\", jsonData.token);",
        "pm.sendRequest('https://shop.example.com/canary-4');"
      ]}}],
      "request": {
        "method": "POST", "auth": {"type": "noauth"},
        "header": [{"key": "X-Off", "value": "1", "disabled": true}],
        "body": {"mode": "raw", "raw": "{\"name\": \"ann\", \"password\": \"canary-5\"}", "options": {"raw": {"language": "json"}}},
        "url": {"raw": "{{baseUrl}}/login", "host": ["{{baseUrl}}"], "path": ["login"]}
      }
    },
    {
      "name": "Orders",
      "item": [
        {
          "name": "One",
          "event": [{"listen": "test", "script": {"exec": "pm.test('a', () => pm.response.to.be.success);\npm.expect(pm.response.json().items[0].tags).to.include('new');\npm.expect(pm.response.headers.get('X-A')).to.match(/^b\\/c$/i);"}}],
          "request": {
            "method": "GET",
            "url": {"raw": "{{baseUrl}}/orders/:id?full=true", "variable": [{"key": "id", "value": "7"}]}
          }
        },
        {"name": "Upload", "request": {"method": "POST", "url": "{{baseUrl}}/files", "body": {"mode": "formdata", "formdata": []}}},
        {"name": "Random", "request": "{{baseUrl}}/{{$guid}}"}
      ]
    }
  ]
}"#;

const POSTMAN_YAML: &str = r#"# url: https://shop.example.com
# variables of the environment: PASSWORD
smoke:
  # b.json, line 7
  - name: Log in
    post: /v1/login
    body: {name: ann, password: "${PASSWORD}"}
    capture: {token: $.token}
    expect: {status: 200, json: {$.user.name: Ann}, within: 500ms}
  # b.json, line 32
  - name: One
    get: /v1/orders/7?full=true
    send: {Authorization: "Bearer ${token}"}
    headers: {X-A: {matches: "(?i)^b/c$"}}
    expect: {json: {"$.items[0].tags": {contains: new}}}
"#;

const POSTMAN_NOTES: &str = "\
b.json:1: the checks are asked side by side, without the cookies of answers before: only who uses what another one captures waits for it
b.json:1: the value of `apiKey` in the collection is not repeated: the environment has to give it
b.json:5: left out: the `prerequest` script of the collection
b.json:7: `post` may change something: where people use the environment it needs `writes: true`, which is yours to say
b.json:7: a secret stands here, which is not repeated: it is the variable `PASSWORD`
b.json:16: left out: of the test script: `if (jsonData.token)`, and all that is in it
b.json:20: left out: of the test script: `pm.sendRequest(...`
b.json:40: left out: the request: its body is of the kind `formdata`
b.json:41: left out: the request, which needs `{{$guid}}`, a new value each time
b.json:41: no test says which status is good, so any is, as there; redirects are not followed here
";

/// What is written, and what is said, a line each.
fn imported(files: &[(&str, &str)]) -> Result<(String, String), Broken> {
    let mut notes = Notes::default();
    let mut drafts = Vec::new();
    for (number, (_, text)) in files.iter().enumerate() {
        drafts.extend(if text.trim_start().starts_with('{') {
            postman::read(text, number, &mut notes)?
        } else {
            hurl::read(text, number, &mut notes)?
        });
    }
    let names: Vec<String> = files.iter().map(|(name, _)| (*name).to_owned()).collect();
    let written = written::all(drafts, &names, &mut notes);
    let line = |note: &note::Note| format!("{}:{}: {}\n", names[note.place.file], note.place.line, note.text);
    Ok((written.yaml, notes.sorted().iter().map(line).collect()))
}

/// How many checks an environment with this has; everything is checked as before a run.
fn accepted(yaml: &str) -> usize {
    let smoke: String = yaml.lines().flat_map(|line| ["    ", line, "\n"]).collect();
    let config = format!(
        "version: 1\nname: shop\nservices: {{api: {{build: {{}}}}}}\nenvironments:\n  staging:\n    url: https://staging.example.com\n{smoke}  production: {{needs: staging}}\n"
    );
    let config = Config::parse("shipkit.yml", &config, &|_| None, Needed::Names).unwrap();
    let files = |_: &_| Err(std::io::ErrorKind::NotFound.into());
    let given = Given { shipped: Shipped::Unknown, variables: &|_| Some(Secret::from("x")), files: &files };
    let checks = configured(&config.environments[0].smoke, &given).unwrap();
    validate(&"https://staging.example.com".parse().unwrap(), &checks, &Options::default()).unwrap();
    checks.len()
}

#[test]
fn a_hurl_file_becomes_checks_and_what_does_not_is_told() {
    let (yaml, notes) = imported(&[("a.hurl", HURL)]).unwrap();
    assert_eq!(yaml, HURL_YAML);
    assert_eq!(notes, HURL_NOTES);
    assert_eq!(accepted(&yaml), 4);
}

#[test]
fn a_collection_becomes_checks_and_what_does_not_is_told() {
    let (yaml, notes) = imported(&[("b.json", POSTMAN)]).unwrap();
    assert_eq!(yaml, POSTMAN_YAML);
    assert_eq!(notes, POSTMAN_NOTES);
    assert_eq!(accepted(&yaml), 2);
}

#[test]
fn files_together_are_one_list_in_which_each_keeps_its_captures() {
    let one =
        "GET http://a/1\nHTTP 200\n[Captures]\ntoken: jsonpath \"$.a\"\nGET http://a/2/{{token}}\nHTTP 200\n";
    let (yaml, _) =
        imported(&[("1.hurl", one), ("2.hurl", one), ("3.hurl", "GET http://a/{{token}}\nHTTP 200")])
            .unwrap();
    assert_eq!(accepted(&yaml), 5);
    for part in [
        "# variables of the environment: token\n",
        "capture: {token_2: $.a}",
        "/2/${token_2}",
        "/2/${token_3}",
        "\"/${token}\"",
    ] {
        assert!(yaml.contains(part), "{part}: {yaml}");
    }
}

#[test]
fn no_secret_is_written_and_none_is_told() {
    let (yaml, notes) = imported(&[("a.hurl", HURL), ("b.json", POSTMAN)]).unwrap();
    let more = r#"GET http://u:canary-6@a.example/?access_token=canary-7
Authorization: Bearer canary-8
Cookie: sid=canary-9; lang=en
X-Api-Key: canary-10
HTTP 200
[Asserts]
jsonpath "$.you" == "canary-8"
body contains "canary-8"
xpath "//a" == "canary-8"
POST http://a.example/form
[Form]
client_secret: canary-11
name: canary-8
POST http://a.example/xml
<login><password>canary-12</password></login>
"#;
    let key = r#"{"info": {"schema": "/v2.1.0/"}, "item": [{"name": "with canary-13", "request": {"url": "http://a.example/canary-13",
      "auth": {"type": "apikey", "apikey": [{"key": "key", "value": "X-Shop"}, {"key": "value", "value": "canary-13"}]}}},
      {"request": {"method": "POST", "url": "http://a.example/", "auth": {"type": "basic", "basic": [{"key": "username", "value": "ann"}, {"key": "password", "value": "canary-14"}]}}}]}"#;
    let (more_yaml, more_notes) = imported(&[("c.hurl", more), ("d.json", key)]).unwrap();
    assert_eq!(accepted(&more_yaml), 4);
    for text in [yaml, notes, more_yaml, more_notes] {
        assert!(!text.contains("canary"), "{text}");
    }
}

#[test]
fn an_expectation_that_the_configuration_refuses_is_left_out_alone() {
    let text = "GET http://a/\nHTTP 200\n[Asserts]\njsonpath \"$.a\" == 1\njsonpath \"$.b[\" exists\nbody matches /(?=x)/\n";
    let (yaml, notes) = imported(&[("a.hurl", text)]).unwrap();
    assert!(yaml.contains("expect: {status: 200, json: {$.a: 1}}"), "{yaml}");
    assert!(notes.contains("a.hurl:5: left out: ") && notes.contains("a.hurl:6: left out: "), "{notes}");
}

#[test]
fn what_is_neither_is_told_with_its_line() {
    for (text, line) in [
        ("hello\n", 1),
        ("{", 1),
        ("{\"a\":\n1}", 2),
        ("{\"info\": {\"schema\": \"/v2.0.0/\"}, \"item\": []}", 1),
        ("{\"info\": {\"schema\": \"/v2.1.0/\"}, \"item\": [\n\n1]}", 3),
    ] {
        assert_eq!(imported(&[("x", text)]).map_err(|broken| broken.line), Err(line), "{text}");
    }
}

#[test]
fn folders_in_folders_have_an_end() {
    let deep = |depth: usize| {
        let folders = "{\"item\": [".repeat(depth);
        format!("{{\"info\": {{\"schema\": \"/v2.1.0/\"}}, \"item\": [{folders}{}]}}", "]}".repeat(depth))
    };
    assert!(imported(&[("x", &deep(32))]).is_ok());
    assert!(imported(&[("x", &deep(33))]).is_err());
    assert!(imported(&[("x", &deep(50_000))]).is_err());
}

/// A file in which a piece is missing, doubled or something else.
fn broken(text: &'static str) -> impl Strategy<Value = String> {
    let places = (0..=text.len(), 0..=text.len(), "[ -~]{0,8}|\\PC{0,4}");
    places.prop_filter_map("not between characters", move |(end, start, between)| {
        Some(format!("{}{between}{}", text.get(..end)?, text.get(start..)?))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn whatever_the_file_is_what_comes_of_it_is_taken(hurl in broken(HURL), postman in broken(POSTMAN), any in any::<String>()) {
        for text in [hurl, postman, any] {
            if let Ok((yaml, _)) = imported(&[("x", &text)]) && yaml.contains("  - ") {
                prop_assert!(0 < accepted(&yaml));
            }
        }
    }
}
