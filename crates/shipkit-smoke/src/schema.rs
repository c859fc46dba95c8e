//! `JsonSchema`: the form that a JSON body has to have (JSON Schema 2020-12).

use std::sync::Arc;

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

/// How many faults are named.
const NAMED: usize = 3;

/// A schema that is ready to be compared with.
#[derive(Debug, Clone)]
pub(crate) struct JsonSchema(Arc<Validator>);

impl JsonSchema {
    /// Reads a schema. It stands alone: nothing that it refers to is fetched. Patterns are those that take linear time, whatever
    /// text they meet.
    pub(crate) fn read(schema: &Value) -> Result<Self, String> {
        let options = jsonschema::options().with_draft(Draft::Draft202012);
        let validator = options.with_pattern_options(PatternOptions::regex()).build(schema);
        validator.map(|validator| Self(Arc::new(validator))).map_err(|error| error.to_string())
    }

    /// What is wrong with a body.
    pub(crate) fn wrong(&self, body: &Value, cut: &dyn Fn(&str) -> String) -> Option<String> {
        let fault = |fault: jsonschema::ValidationError<'_>| {
            let place = fault.instance_path().to_string();
            let place = if place.is_empty() { "the body".to_owned() } else { format!("`{}`", cut(&place)) };
            format!("{place} does not fit the schema: {}", cut(&fault.to_string()))
        };
        let faults: Vec<String> = self.0.iter_errors(body).take(NAMED).map(fault).collect();
        (!faults.is_empty()).then(|| faults.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_body_fits_or_the_first_faults_are_named() {
        let schema = JsonSchema::read(&json!({
            "$ref": "#/$defs/orders",
            "$defs": {"orders": {"type": "array", "prefixItems": [{"type": "string"}], "items": {"required": ["id"]}}}
        }))
        .unwrap();
        let wrong = |body: Value| schema.wrong(&body, &str::to_owned);
        assert_eq!(wrong(json!(["a", {"id": 1}])), None);
        let faults = wrong(json!([1, {}, {}, {}])).unwrap();
        assert_eq!(faults.matches("does not fit the schema").count(), NAMED, "{faults}");
        assert!(wrong(json!([1])).unwrap().starts_with("`/0` does not fit the schema: 1 is not of type"));
        assert!(wrong(json!({})).unwrap().starts_with("the body does not fit the schema: "));
    }

    #[test]
    fn what_is_no_schema_or_lies_elsewhere_is_refused() {
        let elsewhere = ["http://127.0.0.1:1/schema.json", "file:///etc/hostname"];
        for schema in [json!({"type": "text"}), json!({"$ref": elsewhere[0]}), json!({"$ref": elsewhere[1]})]
        {
            assert!(JsonSchema::read(&schema).is_err(), "{schema}");
        }
    }
}
