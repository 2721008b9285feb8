//! The schemas, compiled once per process, with formats asserted.

use std::sync::OnceLock;

use idaas_bridge::schema::Schema;
use jsonschema::Validator;
use serde_json::Value;

/// The schemas of records: all documents but the AsyncAPI one.
pub(crate) fn record_schemas() -> impl Iterator<Item = Schema> {
    Schema::ALL.into_iter().filter(|schema| *schema != Schema::Asyncapi)
}

/// A schema as JSON.
pub(crate) fn document(schema: Schema) -> Value {
    serde_json::from_str(schema.text()).expect("a schema is JSON")
}

/// The schema as consumers have it: unknown members are allowed.
pub(crate) fn validator(schema: Schema) -> &'static Validator {
    static COMPILED: OnceLock<Vec<(Schema, Validator)>> = OnceLock::new();
    pick(COMPILED.get_or_init(|| record_schemas().map(|schema| (schema, compile(&document(schema)))).collect()), schema)
}

/// The schema as we must keep it: a member that is not described is refused, but inside free-form ones.
pub(crate) fn closed_validator(schema: Schema) -> &'static Validator {
    static COMPILED: OnceLock<Vec<(Schema, Validator)>> = OnceLock::new();
    let compiled = || record_schemas().map(|schema| (schema, compile(&closed(document(schema))))).collect();
    pick(COMPILED.get_or_init(compiled), schema)
}

/// Whether a text has the form that our times have.
pub(crate) fn is_time(text: &str) -> bool {
    static COMPILED: OnceLock<Validator> = OnceLock::new();
    let form = serde_json::json!({
        "format": "date-time",
        "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$",
    });
    COMPILED.get_or_init(|| compile(&form)).is_valid(&Value::from(text))
}

fn compile(schema: &Value) -> Validator {
    jsonschema::draft202012::options().should_validate_formats(true).build(schema).expect("a schema compiles")
}

fn pick(compiled: &'static [(Schema, Validator)], schema: Schema) -> &'static Validator {
    compiled.iter().find_map(|(own, validator)| (*own == schema).then_some(validator)).expect("a schema of records")
}

fn closed(schema: Value) -> Value {
    match schema {
        Value::Object(keywords) => {
            let describes_members = keywords.contains_key("properties");
            keywords
                .into_iter()
                .map(|(keyword, value)| {
                    let opens = keyword == "additionalProperties" && value == true;
                    if opens && describes_members { (keyword, Value::Bool(false)) } else { (keyword, closed(value)) }
                })
                .collect()
        }
        Value::Array(values) => values.into_iter().map(closed).collect(),
        scalar @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => scalar,
    }
}
