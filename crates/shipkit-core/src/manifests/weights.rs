//! How a release gets its share of the requests that come by a route of the Gateway API: the route weighs two Services, its own one,
//! which selects the pods of the old slot, and a second one for those of the new slot, which is there for as long as that lasts.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Rendered;
use super::colour::sends_to;
use super::error::BadManifests;
use super::object::{Id, Kind, Object};

/// The annotation of a route that weighs the slots: the percentage of requests that goes to the new one.
pub const SHARE: &str = "shipkit.dev/canary";

/// The group of the Gateway API, and its kinds whose backends have weights and that carry whole requests.
const GROUP: &str = "gateway.networking.k8s.io";
const ROUTES: [&str; 2] = ["GRPCRoute", "HTTPRoute"];
/// How the name of a second Service ends.
const SECOND: &str = "-canary";
/// The longest name of a Service.
const LONGEST: usize = 63;
/// A weight is at most a million, and all of them are multiplied by a hundred.
const HEAVIEST: u64 = 10_000;
/// What of a Service its second one has as well. How it is reached from outside is left out: routes do not ask that.
const SAME: [&str; 8] = [
    "internalTrafficPolicy",
    "ipFamilies",
    "ipFamilyPolicy",
    "ports",
    "publishNotReadyAddresses",
    "selector",
    "sessionAffinity",
    "sessionAffinityConfig",
];

/// What those who carry the requests of a route say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// All of them do as it says.
    Yes,
    /// Not yet, or there is nobody.
    NotYet,
    /// Somebody does not: why.
    No(String),
}

impl Rendered {
    /// The routes that send requests to Services with slots.
    pub fn routes(&self) -> impl Iterator<Item = &Object> {
        let fronts: BTreeSet<&str> = self.fronts().map(|id| id.name.as_str()).collect();
        let sends = move |object: &&Object| {
            is_route(object.id()) && backends(object.value()).any(|one| fronts.contains(self.service(one)))
        };
        self.objects.iter().filter(sends)
    }

    /// The names of the Services with slots that routes send requests to.
    #[must_use]
    pub fn routed(&self) -> BTreeSet<&str> {
        let fronts: BTreeSet<&str> = self.fronts().map(|id| id.name.as_str()).collect();
        let sent = self.routes().flat_map(|route| backends(route.value()));
        let named: BTreeSet<&str> = sent.map(|one| self.service(one)).collect();
        named.intersection(&fronts).copied().collect()
    }

    /// The second Service of each that routes send requests to.
    ///
    /// # Errors
    /// When none can have its name.
    pub fn seconds(&self) -> Result<Vec<Object>, BadManifests> {
        let routed = self.routed();
        let fronts = self
            .objects
            .iter()
            .filter(|object| object.id().is("", "Service") && routed.contains(object.id().name.as_str()));
        fronts.map(|front| self.second(front)).collect()
    }

    /// Whether all requests that come to a deployment by a Service come to that by a route.
    #[must_use]
    pub fn is_weighed(&self, deployment: &Object) -> bool {
        let routed = self.routed();
        let mut fronts = self.objects.iter().filter(|front| sends_to(front, deployment)).peekable();
        fronts.peek().is_some() && fronts.all(|front| routed.contains(front.id().name.as_str()))
    }

    fn second(&self, front: &Object) -> Result<Object, BadManifests> {
        let name = second_name(&front.id().name);
        let is_taken = self.objects.iter().any(|one| one.id().is("", "Service") && one.id().name == name);
        if is_taken || LONGEST < name.len() {
            return Err(BadManifests::NoSecond { service: front.id().name.clone(), second: name, is_taken });
        }
        let mut second = front.clone();
        second.rename(&name);
        if let Some(metadata) = second.value_mut().get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("annotations");
        }
        if let Some(spec) = second.value_mut().get_mut("spec").and_then(Value::as_object_mut) {
            spec.retain(|key, value| {
                SAME.contains(&key.as_str()) || key == "clusterIP" && value.as_str() == Some("None")
            });
            for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(port) = port.as_object_mut() {
                    port.remove("nodePort");
                }
            }
        }
        Ok(second)
    }

    /// What makes a route weigh the slots, so that so many percent of the requests go to the new one: its rules, and the annotation
    /// that says so.
    #[must_use]
    pub fn weighed(&self, route: &Object, percent: u8) -> Value {
        let routed = self.routed();
        let mut rules = route.value().pointer("/spec/rules").cloned().unwrap_or_else(|| json!([]));
        for rule in rules.as_array_mut().into_iter().flatten() {
            let Some(refs) = rule.get_mut("backendRefs").and_then(Value::as_array_mut) else { continue };
            if refs.iter().any(|one| routed.contains(self.service(one))) {
                let weighed = self.backends_weighed(refs, &routed, percent);
                *refs = weighed;
            }
        }
        let Id { name, .. } = route.id();
        json!({
            "apiVersion": route.kind().api_version(), "kind": route.kind().kind,
            "metadata": {"name": name, "annotations": {SHARE: percent.to_string()}}, "spec": {"rules": rules},
        })
    }

    /// The backends of a rule, each Service with slots beside its second one. What each of the others gets stays the same.
    fn backends_weighed(&self, refs: &[Value], routed: &BTreeSet<&str>, percent: u8) -> Vec<Value> {
        let divisor = refs.iter().map(weight).max().unwrap_or_default().div_ceil(HEAVIEST).max(1);
        let mut weighed = Vec::new();
        for one in refs {
            let weight = weight(one).div_ceil(divisor);
            let mut push = |name: Option<String>, percent: u8| {
                let mut one = one.clone();
                if let Some(fields) = one.as_object_mut() {
                    fields.insert("weight".to_owned(), json!(weight.saturating_mul(percent.into())));
                    fields.extend(name.map(|name| ("name".to_owned(), json!(name))));
                }
                weighed.push(one);
            };
            let service = self.service(one);
            if routed.contains(service) {
                push(None, 100_u8.saturating_sub(percent));
                push(Some(second_name(service)), percent);
            } else {
                push(None, 100);
            }
        }
        weighed
    }

    /// The name of the Service in the namespace of the set that a backend is; empty if it is something else.
    fn service<'a>(&self, backend: &'a Value) -> &'a str {
        let text = |key: &str| backend.get(key).and_then(Value::as_str).unwrap_or_default();
        let is_service = text("group").is_empty() && matches!(text("kind"), "" | "Service");
        let is_here = text("namespace").is_empty() || text("namespace") == self.namespace;
        if is_service && is_here { text("name") } else { "" }
    }
}

/// The name of the second Service of one.
#[must_use]
pub fn second_name(service: &str) -> String {
    format!("{service}{SECOND}")
}

/// The percentage of requests that a route sends to the second Services; `None` where it does not weigh slots.
#[must_use]
pub fn share(route: &Value) -> Option<u8> {
    route.pointer("/metadata/annotations")?.get(SHARE)?.as_str()?.parse().ok().filter(|share| *share <= 100)
}

/// The kinds of routes whose backends have weights.
#[must_use]
pub fn route_kinds() -> [Kind; 2] {
    ROUTES.map(|kind| Kind::of(&format!("{GROUP}/v1"), kind))
}

/// Whether an object is a route whose backends have weights.
#[must_use]
pub fn is_route(id: &Id) -> bool {
    ROUTES.iter().any(|kind| id.is(GROUP, kind))
}

/// What those who carry the requests of a route say about it as it is now: Gateway API, `RouteParentStatus`. What a controller said
/// about it as it was before counts for nothing.
#[must_use]
pub fn taken(route: &Value) -> Taken {
    let generation = route.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or_default();
    let parents = route.pointer("/status/parents").and_then(Value::as_array);
    let mut all = Taken::NotYet;
    for parent in parents.into_iter().flatten() {
        for wanted in ["Accepted", "ResolvedRefs"] {
            let conditions = parent.get("conditions").and_then(Value::as_array).into_iter().flatten();
            let mut conditions = conditions.filter(|one| one.get("type").is_some_and(|name| name == wanted));
            let Some(condition) = conditions.next() else { return Taken::NotYet };
            let of = condition.get("observedGeneration").and_then(Value::as_i64).unwrap_or_default();
            let text = |key: &str| condition.get(key).and_then(Value::as_str).unwrap_or_default();
            if of < generation || text("status") == "Unknown" {
                return Taken::NotYet;
            }
            if text("status") != "True" {
                return Taken::No(format!("{}, {}", text("reason"), text("message")));
            }
        }
        all = Taken::Yes;
    }
    all
}

fn backends(route: &Value) -> impl Iterator<Item = &Value> {
    let rules = route.pointer("/spec/rules").and_then(Value::as_array).into_iter().flatten();
    rules.filter_map(|rule| rule.get("backendRefs")?.as_array()).flatten()
}

/// Nothing said is one.
fn weight(backend: &Value) -> u64 {
    backend.get("weight").map_or(1, |weight| weight.as_u64().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::Scope;
    use super::super::colour::{Colour, SLOT};
    use super::super::sample::{FILES, Given, object};
    use super::*;

    const ROUTE: &str = r"apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, annotations: {team: web}}
spec:
  parentRefs: [{name: edge}]
  rules:
    - matches: [{path: {value: /api}}]
      backendRefs: [{name: api, namespace: shop, port: 80, weight: 3}, {name: legacy, port: 80}]
    - backendRefs:
        - {name: api, port: 80, namespace: other}
        - {name: api, port: 80, kind: Bucket}
        - {name: api, port: 80, group: storage.example}
    - filters: [{type: RequestRedirect}]
";

    fn green(more: &str) -> Rendered {
        given(&["api", "web"])
            .render(&[FILES[0], FILES[1], FILES[2], ("route.yaml", more)])
            .unwrap()
            .in_slot(Colour::Green)
            .0
    }

    fn given(services: &[&str]) -> Given {
        let mut given = Given::default().shifted(services);
        for kind in ["HTTPRoute", "GRPCRoute", "TCPRoute"] {
            given.scopes.insert(Kind::of("gateway.networking.k8s.io/v1", kind), Scope::Namespaced);
        }
        given
    }

    fn route(rendered: &Rendered) -> &Object {
        rendered.routes().next().unwrap()
    }

    #[test]
    fn a_route_weighs_two_services_and_gives_others_what_they_had() {
        let rendered = green(ROUTE);
        assert_eq!(rendered.routed(), BTreeSet::from(["api"]));
        let weighed = rendered.weighed(route(&rendered), 25);
        let refs = weighed.pointer("/spec/rules/0/backendRefs").unwrap();
        let expected = json!([
            {"name": "api", "namespace": "shop", "port": 80, "weight": 225},
            {"name": "api-canary", "namespace": "shop", "port": 80, "weight": 75},
            {"name": "legacy", "port": 80, "weight": 100},
        ]);
        assert_eq!(*refs, expected);
        // Those of other namespaces and kinds are no Services of the set.
        let own = object(&rendered, "HTTPRoute", "shop");
        for rule in [1, 2] {
            let rule = format!("/spec/rules/{rule}");
            assert_eq!(weighed.pointer(&rule), own.pointer(&rule));
        }
        assert_eq!(weighed.pointer("/spec/parentRefs"), None);
        assert_eq!(weighed["metadata"], json!({"name": "shop", "annotations": {SHARE: "25"}}));
        assert_eq!((share(&weighed), share(own)), (Some(25), None));
        assert_eq!(share(&json!({"metadata": {"annotations": {SHARE: "101"}}})), None);
    }

    #[test]
    fn routes_that_carry_whole_requests_weigh_slots() {
        for (kind, routes) in [("HTTPRoute", 1), ("GRPCRoute", 1), ("TCPRoute", 0)] {
            assert_eq!(green(&ROUTE.replace("HTTPRoute", kind)).routes().count(), routes, "{kind}");
        }
    }

    #[test]
    fn weights_stay_below_what_a_route_may_have() {
        for (heavy, light, expected) in [
            (10_000, 1, [700_000, 300_000, 100]),
            (1_000_000, 500_000, [700_000, 300_000, 500_000]),
            (10_001, 0, [5001 * 70, 5001 * 30, 0]),
            (0, 1, [0, 0, 100]),
            (0, 0, [0, 0, 0]),
        ] {
            let rule = format!(
                "    - backendRefs: [{{name: api, port: 80, weight: {heavy}}}, {{name: x, port: 80, weight: {light}}}]\n"
            );
            let rendered = green(&ROUTE.replace("    - filters: [{type: RequestRedirect}]\n", &rule));
            let weighed = rendered.weighed(route(&rendered), 30);
            let refs = weighed.pointer("/spec/rules/2/backendRefs").and_then(Value::as_array).unwrap();
            assert_eq!(refs.iter().map(weight).collect::<Vec<_>>(), expected, "{heavy} {light}");
        }
    }

    #[test]
    fn a_second_service_means_the_new_slot_and_is_reached_only_from_inside() {
        let rendered = green(ROUTE);
        let [second] = rendered.seconds().unwrap().try_into().unwrap();
        assert_eq!(second.id().name, "api-canary");
        let spec =
            json!({"selector": {"app": "api", SLOT: "green"}, "ports": [{"port": 80, "targetPort": 8080}]});
        assert_eq!(second.value()["spec"], spec);
        let outside = "apiVersion: v1\nkind: Service\nmetadata: {name: web, annotations: {lb: x}}\nspec: {selector: {app: web}, type: LoadBalancer, \
                       clusterIP: 10.0.0.1, loadBalancerClass: x, ports: [{port: 80, nodePort: 30080}]}\n";
        let base = FILES[0].1.replacen("apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n", outside, 1);
        let route = ROUTE.replace("name: api", "name: web");
        let rendered = given(&["web"])
            .render(&[("base.yaml", &base), FILES[1], FILES[2], ("route.yaml", &route)])
            .unwrap();
        let second = rendered.seconds().unwrap().remove(0);
        assert_eq!(
            second.value()["spec"],
            json!({"selector": {"app": "web", SLOT: "blue"}, "ports": [{"port": 80}]})
        );
        assert_eq!(second.value().pointer("/metadata/annotations"), None);
    }

    #[test]
    fn a_second_service_of_one_without_an_address_has_none_either() {
        let base = FILES[0].1.replacen(
            "spec: {selector: {app: api}",
            "spec: {clusterIP: None, selector: {app: api}",
            1,
        );
        let files = [("base.yaml", base.as_str()), FILES[1], FILES[2], ("route.yaml", ROUTE)];
        let second = given(&["api", "web"]).render(&files).unwrap().seconds().unwrap().remove(0);
        assert_eq!(second.value().pointer("/spec/clusterIP"), Some(&json!("None")));
    }

    #[test]
    fn a_deployment_is_weighed_where_all_its_requests_come_by_routes() {
        let is_weighed = |rendered: &Rendered, name: &str| {
            let deployment =
                rendered.objects().iter().find(|one| one.id().kind != "Service" && one.id().name == name);
            rendered.is_weighed(deployment.unwrap())
        };
        let by_route = green(ROUTE);
        let admin = "---\napiVersion: v1\nkind: Service\nmetadata: {name: admin}\nspec: {selector: {app: api}, ports: [{port: 81}]}\n";
        let by_both = green(&format!("{ROUTE}{admin}"));
        // No Service sends any to the last.
        let all = ["api-green", "web-green", "postgres"];
        assert_eq!(all.map(|name| is_weighed(&by_route, name)), [true, false, false]);
        assert_eq!(all.map(|name| is_weighed(&by_both, name)), [false; 3]);
    }

    #[test]
    fn a_second_service_needs_a_name_that_is_free() {
        let taken = format!(
            "{ROUTE}---\napiVersion: v1\nkind: Service\nmetadata: {{name: api-canary}}\nspec: {{ports: [{{port: 80}}]}}\n"
        );
        let error = green(&taken).seconds().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`Service/api` would get its share by weights, beside a Service `api-canary`, which the manifests have, too"
        );
    }

    #[test]
    fn a_second_service_needs_a_name_that_fits() {
        for (length, why_not) in [(56, None), (57, Some("a name that is too long for one"))] {
            let name = "a".repeat(length);
            let front = |name: &str| format!("metadata: {{name: {name}}}\nspec: {{selector: {{app: api}}");
            let base = FILES[0].1.replacen(&front("api"), &front(&name), 1);
            let route = ROUTE.replace("name: api", &format!("name: {name}"));
            let files = [("base.yaml", base.as_str()), FILES[1], FILES[2], ("route.yaml", &route)];
            let rendered = given(&["api"]).render(&files).unwrap().in_slot(Colour::Green).0;
            assert_eq!(rendered.routed(), BTreeSet::from([name.as_str()]));
            let told = rendered.seconds().err().map(|error| error.to_string());
            assert_eq!(told.is_some(), why_not.is_some(), "{told:?}");
            assert!(told.is_none_or(|told| why_not.is_some_and(|why| told.ends_with(why))));
        }
    }

    #[test]
    fn a_route_is_taken_once_all_have_said_so_of_what_it_is_now() {
        let condition = |name: &str, status: &str, of: i64| json!({"type": name, "status": status, "observedGeneration": of, "reason": "Why", "message": "because"});
        let both = |status: &str, of: i64| {
            json!([condition("Accepted", "True", of), condition("ResolvedRefs", status, of)])
        };
        let no = Taken::No("Why, because".to_owned());
        for (parents, expected) in [
            (json!([]), Taken::NotYet),
            (json!([{"conditions": []}]), Taken::NotYet),
            (json!([{"conditions": both("True", 2)}]), Taken::Yes),
            (json!([{"conditions": both("True", 1)}]), Taken::NotYet),
            (json!([{"conditions": both("False", 1)}]), Taken::NotYet),
            (json!([{"conditions": both("False", 2)}]), no.clone()),
            (json!([{"conditions": both("Unknown", 2)}]), Taken::NotYet),
            (json!([{"conditions": both("True", 2)}, {"conditions": both("True", 1)}]), Taken::NotYet),
            (json!([{"conditions": both("True", 2)}, {"conditions": both("False", 3)}]), no),
            (json!([{"conditions": [condition("Accepted", "True", 2)]}]), Taken::NotYet),
            (json!([{"conditions": [condition("ResolvedRefs", "True", 2)]}]), Taken::NotYet),
        ] {
            let route = json!({"metadata": {"generation": 2}, "status": {"parents": parents}});
            assert_eq!(taken(&route), expected, "{route}");
        }
        assert_eq!(taken(&json!({"metadata": {"generation": 1}})), Taken::NotYet);
    }
}
