//! The OpenAPI 3.1 description of the API: generated from the operations and the wire types, so that it is always
//! current.

mod links;

use std::collections::BTreeMap;

use axum::Json;
use domain::access::AccessRule::{self, Anyone};
use domain::access::{Role, Scope};
use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};

use super::operation::{Content, Operation, TypeSchema, get};

pub(super) fn operations() -> Vec<Operation> {
    vec![get(api::OPENAPI_PATH, Anyone, "Describes the API", document).any()]
}

/// `GET /v2/openapi.json`.
async fn document() -> Json<Value> {
    Json(described(&super::public()))
}

fn described(operations: &[Operation]) -> Value {
    let token = json!({
        "type": "apiKey", "in": "header", "name": "Authorization",
        "description": "`token <key>`, with the key that a login answers",
    });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Deis Workflow",
            "version": api::API_VERSION,
            "description": "Each path is also found with a trailing slash, unless it is written with one here. \
                            Errors are an object with `detail`, an object of messages by field, a list of \
                            messages, or a text.",
        },
        "paths": paths(operations),
        "components": {"schemas": schemas(operations), "securitySchemes": {"token": token}},
        "security": [{"token": []}],
    })
}

fn paths(operations: &[Operation]) -> Map<String, Value> {
    let mut paths = Map::new();
    for operation in operations {
        let path = operation.path.replace("{*", "{");
        let methods = paths.entry(path).or_insert_with(|| json!({}));
        methods[operation.method.to_ascii_lowercase()] = described_operation(operation, operations);
    }
    paths
}

/// Types of responses, and those that they or bodies refer to.
fn schemas(operations: &[Operation]) -> BTreeMap<String, Value> {
    let mut schemas = vec![named(TypeSchema::of::<api::Detail>())];
    for operation in operations {
        for (_, content) in &operation.responses {
            if let Some(schema) = content.schema() {
                schemas.push(named(schema));
                (schema.referenced)(&mut schemas);
            }
        }
        if let Some(body) = operation.body {
            (body.referenced)(&mut schemas);
        }
    }
    let mut schemas: BTreeMap<_, _> =
        schemas.into_iter().map(|(name, schema)| (name, json!(schema))).collect();
    schemas.insert("Error".to_owned(), error());
    schemas
}

fn named(schema: TypeSchema) -> (String, RefOr<Schema>) {
    ((schema.name)().into_owned(), (schema.schema)())
}

fn described_operation(operation: &Operation, all: &[Operation]) -> Value {
    let mut described = json!({
        "operationId": links::operation_id(operation),
        "summary": operation.summary,
        "description": format!("For {}.", whom(operation.rule)),
        "parameters": parameters(operation),
        "responses": responses(operation, all),
    });
    if operation.rule == Anyone {
        described["security"] = json!([]);
    }
    if let Some(body) = operation.body {
        described["requestBody"] = json!({"content": {"application/json": {"schema": (body.schema)()}}});
    }
    described
}

fn whom(rule: AccessRule) -> &'static str {
    match (rule, rule.scope()) {
        (Anyone, _) => "everybody",
        (AccessRule::Builder, _) | (_, None) => "the builder",
        (AccessRule::NeedsUnlessNamed(_), _) => {
            "the app's owner, administrators, and the user whom the path names"
        }
        (_, Some(Scope::Own)) => "every user; what it shows and changes is the caller's own",
        (_, Some(Scope::Platform)) => "administrators",
        (_, Some(Scope::App)) if rule.admits(&[Role::Collaborator]) => {
            "the app's owner, its collaborators and administrators"
        }
        (_, Some(Scope::App)) => "the app's owner and administrators",
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
    for (_, content) in &operation.responses {
        match content {
            Content::Page(_) => parameters.extend(["limit", "offset"].map(number)),
            Content::Lines => parameters.push(number("log_lines")),
            Content::Events(_) => parameters.extend(["log_lines", "after"].map(number)),
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

fn responses(operation: &Operation, all: &[Operation]) -> Value {
    let links = links::of(operation, all);
    let mut responses = Map::new();
    for (status, content) in &operation.responses {
        let mut response = json!({"description": "done", "headers": headers()});
        if let Some(content) = described_content(*content) {
            response["content"] = content;
        }
        if !links.is_empty() {
            response["links"] = json!(links);
        }
        responses.insert(status.as_str().to_owned(), response);
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

fn described_content(content: Content) -> Option<Value> {
    let named = |schema: TypeSchema| json!({"$ref": format!("#/components/schemas/{}", (schema.name)())});
    let list = |schema: TypeSchema| json!({"type": "array", "items": named(schema)});
    let schema = match content {
        Content::Empty => return None,
        Content::Lines => return Some(json!({"text/plain": {"schema": {"type": "string"}}})),
        Content::Events(schema) => {
            return Some(json!({"application/x-ndjson": {"schema": named(schema)}}));
        }
        Content::Any => json!({}),
        Content::One(schema) => named(schema),
        Content::List(schema) => list(schema),
        Content::Page(schema) => json!({
            "type": "object",
            "properties": {
                "count": {"type": "integer", "minimum": 0},
                "next": {"type": ["string", "null"]},
                "previous": {"type": ["string", "null"]},
                "results": list(schema),
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
        let document = described(&crate::http::public());
        let paths = document["paths"].as_object().expect("paths");
        let described: BTreeSet<_> = paths
            .iter()
            .flat_map(|(path, methods)| {
                methods
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(move |(method, _)| (method.as_str(), path.as_str()))
            })
            .map(|(method, path)| (method.to_ascii_uppercase(), path.to_owned()))
            .collect();

        let rows = crate::public_operations();
        assert_eq!(described.len(), rows.len());
        assert_eq!(described, rows.iter().map(|row| (row.0.to_owned(), row.1.replace("{*", "{"))).collect());
    }

    #[test]
    fn every_schema_that_is_named_is_there() {
        let document = described(&crate::http::public());
        let schemas = document["components"]["schemas"].as_object().expect("schemas");
        let text = document.to_string();
        let named = text.split("#/components/schemas/").skip(1);
        for name in named.map(|rest| rest.split('"').next().unwrap_or_default()) {
            assert!(schemas.contains_key(name), "{name}");
        }
        assert!(schemas.len() >= 20, "{schemas:?}");
    }
}
