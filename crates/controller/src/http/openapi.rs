//! The OpenAPI 3.1 description of the API: generated from the table of operations, the access rules, and the wire
//! types, so that it is always current.

mod links;
mod operations;

use axum::Json;
use domain::access::{AccessRule, rule};
use serde_json::{Map, Value, json};
use utoipa::OpenApi as _;

use operations::{BodyKind, FieldKind, OPERATIONS, Operation, ResponseKind};

/// Schemas of all answers.
#[derive(utoipa::OpenApi)]
#[openapi(components(schemas(
    api::Detail,
    api::apps::App,
    api::auth::Token,
    api::auto_certs::AutoCerts,
    api::auto_certs::AutoDomain,
    api::builds::Build,
    api::certs::Cert,
    api::config::Config,
    api::domains::Domain,
    api::keys::Key,
    api::logs::LogEvent,
    api::perms::Administrator,
    api::perms::Collaborators,
    api::pods::Pod,
    api::pods::Pods,
    api::releases::Release,
    api::releases::RolledBack,
    api::run::RunResult,
    api::services::Services,
    api::settings::Settings,
    api::tls::Tls,
    api::users::User,
    api::whitelist::Whitelist
)))]
struct Schemas;

/// `GET /v2/openapi.json`.
pub(crate) async fn document() -> Json<Value> {
    Json(described())
}

fn described() -> Value {
    let mut schemas = serde_json::to_value(Schemas::openapi()).unwrap_or_default();
    let mut components = schemas["components"].take();
    components["schemas"]["Error"] = error();
    components["securitySchemes"] = json!({"token": {
        "type": "apiKey", "in": "header", "name": "Authorization",
        "description": "`token <key>`, with the key that a login answers",
    }});
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Deis Workflow",
            "version": api::API_VERSION,
            "description": "Each path is also found with a trailing slash, unless it is written with one here. \
                            Errors are an object with `detail`, an object of messages by field, a list of \
                            messages, or a text.",
        },
        "paths": paths(),
        "components": components,
        "security": [{"token": []}],
    })
}

fn paths() -> Map<String, Value> {
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let path = operation.path.replace("{*", "{");
        let methods = paths.entry(path).or_insert_with(|| json!({}));
        methods[operation.method.to_ascii_lowercase()] = described_operation(operation);
    }
    paths
}

fn described_operation(operation: &Operation) -> Value {
    let Operation { method, path, summary, body, answers: _ } = operation;
    let rule = rule(method, path);
    let mut described = json!({
        "operationId": links::operation_id(operation),
        "summary": summary,
        "description": format!("For {}.", rule.map_or("nobody", whom)),
        "parameters": parameters(operation),
        "responses": responses(operation),
    });
    if rule == Some(AccessRule::Anyone) {
        described["security"] = json!([]);
    }
    if let Some(body) = described_body(body) {
        described["requestBody"] = body;
    }
    described
}

fn whom(rule: AccessRule) -> &'static str {
    match rule {
        AccessRule::Anyone => "everybody",
        AccessRule::User => "every user; what it shows and changes is the caller's own",
        AccessRule::Admin => "administrators",
        AccessRule::UseApp => "the app's owner, its collaborators and administrators",
        AccessRule::OwnApp => "the app's owner and administrators",
        AccessRule::OwnAppOrNamed => "the app's owner, administrators, and the user whom the path names",
        AccessRule::Builder => "the builder",
    }
}

fn parameters(operation: &Operation) -> Vec<Value> {
    let names = operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<_> = names
        .map(|name| name.trim_start_matches('*'))
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": path_text(name)}))
        .collect();
    let number =
        |name: &str| json!({"name": name, "in": "query", "schema": {"type": "integer", "minimum": 0}});
    for (_, answer) in operation.answers {
        match answer {
            ResponseKind::Page(_) => parameters.extend(["limit", "offset"].map(number)),
            ResponseKind::Lines => parameters.push(number("log_lines")),
            ResponseKind::Events(_) => parameters.extend(["log_lines", "after"].map(number)),
            _ => {}
        }
    }
    parameters
}

/// A part of a path, which is never empty; an app's has its own letters (docs/spec/api.md 1.2).
fn path_text(name: &str) -> Value {
    match name {
        "app" => json!({"type": "string", "pattern": "^[a-z0-9-]+$"}),
        _ => json!({"type": "string", "minLength": 1}),
    }
}

fn described_body(body: &BodyKind) -> Option<Value> {
    let schema = match body {
        BodyKind::None => return None,
        BodyKind::Scale => {
            json!({"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}})
        }
        BodyKind::Fields(fields) => {
            let properties: Map<_, _> =
                fields.iter().map(|field| (field.name.to_owned(), kind(field.kind))).collect();
            let required: Vec<_> =
                fields.iter().filter(|field| field.required).map(|field| field.name).collect();
            json!({"type": "object", "properties": properties, "required": required})
        }
    };
    Some(json!({"content": {"application/json": {"schema": schema}}}))
}

fn kind(kind: FieldKind) -> Value {
    match kind {
        FieldKind::Text => json!({"type": "string"}),
        FieldKind::Number => json!({"type": "integer"}),
        FieldKind::Boolean => json!({"type": ["boolean", "null"]}),
        FieldKind::Object => json!({"type": "object"}),
        FieldKind::Texts => json!({"type": "array", "items": {"type": "string"}}),
        FieldKind::Numbers => json!({"type": "array", "items": {"type": "integer"}}),
    }
}

fn responses(operation: &Operation) -> Value {
    let links = links::of(operation);
    let mut responses = Map::new();
    for (status, answer) in operation.answers {
        let mut response = json!({"description": "done", "headers": headers()});
        if let Some(content) = content(*answer) {
            response["content"] = content;
        }
        if !links.is_empty() {
            response["links"] = json!(links);
        }
        responses.insert(status.to_string(), response);
    }
    for (statuses, description) in [("4XX", "why not"), ("5XX", "what is out of order")] {
        let named = json!({"schema": {"$ref": "#/components/schemas/Error"}});
        let content = json!({"application/json": named, "text/html": {}, "text/plain": {}});
        let error = json!({"description": description, "headers": headers(), "content": content});
        responses.insert(statuses.to_owned(), error);
    }
    Value::Object(responses)
}

/// Headers of every response.
fn headers() -> Value {
    let version = json!({"required": true, "schema": {"type": "string"}});
    json!({"DEIS_API_VERSION": version, "DEIS_PLATFORM_VERSION": version})
}

/// The shapes of errors (docs/spec/api.md 1.6).
fn error() -> Value {
    let texts = json!({"type": "array", "items": {"type": "string"}});
    json!({
        "description": "What is wrong: in a word, by field, as a list, or as a text",
        "anyOf": [
            {"$ref": "#/components/schemas/Detail"},
            {"type": "object", "additionalProperties": texts},
            texts,
            {"type": "string"},
        ],
    })
}

fn content(answer: ResponseKind) -> Option<Value> {
    let named = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let list = |name: &str| json!({"type": "array", "items": named(name)});
    let schema = match answer {
        ResponseKind::Empty => return None,
        ResponseKind::Lines => return Some(json!({"text/plain": {"schema": {"type": "string"}}})),
        ResponseKind::Events(name) => return Some(json!({"application/x-ndjson": {"schema": named(name)}})),
        ResponseKind::Any => json!({}),
        ResponseKind::One(name) => named(name),
        ResponseKind::List(name) => list(name),
        ResponseKind::Page(name) => json!({
            "type": "object",
            "properties": {
                "count": {"type": "integer", "minimum": 0},
                "next": {"type": ["string", "null"]},
                "previous": {"type": ["string", "null"]},
                "results": list(name),
            },
            "required": ["count", "next", "previous", "results"],
        }),
    };
    Some(json!({"application/json": {"schema": schema}}))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_url_that_users_reach_is_described_and_nothing_else_is() {
        let described: BTreeSet<_> =
            OPERATIONS.iter().map(|operation| (operation.method, operation.path)).collect();

        assert_eq!(described, crate::public_methods().into_iter().collect());
        assert_eq!(described.len(), OPERATIONS.len());
    }

    #[test]
    fn every_schema_that_is_named_is_there() {
        let document = described();
        let schemas = document["components"]["schemas"].as_object().expect("schemas");
        let text = document.to_string();
        let named = text.split("#/components/schemas/").skip(1);
        for name in named.map(|rest| rest.split('"').next().unwrap_or_default()) {
            assert!(schemas.contains_key(name), "{name}");
        }
        assert!(schemas.len() >= 20, "{schemas:?}");
    }
}
