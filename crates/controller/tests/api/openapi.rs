//! `/v2/openapi.json`: what it says is what the API answers.

use serde_json::{Map, Value};

use crate::certs;
use crate::world::World;

/// Says what about `value` is not as `schema` has it.
pub fn fault(document: &Value, schema: &Value, value: &Value) -> Option<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let named = document.pointer(name.trim_start_matches('#')).expect("a schema that is named is there");
        return fault(document, named, value);
    }
    let kinds = match &schema["type"] {
        Value::Null => return None,
        Value::Array(kinds) => kinds.clone(),
        kind => vec![kind.clone()],
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !kinds.contains(&kind.into()) {
        return Some(format!("{value} is no {kinds:?}"));
    }
    match value {
        Value::Array(items) => items.iter().find_map(|item| fault(document, &schema["items"], item)),
        Value::Object(fields) => fields_fault(document, schema, fields),
        _ => None,
    }
}

fn fields_fault(document: &Value, schema: &Value, fields: &Map<String, Value>) -> Option<String> {
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    if let Some(missing) = required.into_iter().find(|name| !fields.contains_key(*name)) {
        return Some(format!("{missing} is missing"));
    }
    let properties = schema["properties"].as_object()?;
    fields.iter().find_map(|(name, value)| match properties.get(name) {
        None => Some(format!("{name} is not described")),
        Some(schema) => fault(document, schema, value).map(|fault| format!("{name}: {fault}")),
    })
}

#[tokio::test]
async fn anyone_reads_it_and_it_is_openapi_3_1() {
    let world = World::new().await;

    let answer = world.platform.get("/v2/openapi.json", "").await;

    assert_eq!(answer.status, 200);
    let document = answer.json();
    assert_eq!((&document["openapi"], &document["info"]["version"]), (&"3.1.0".into(), &"2.3".into()));
    assert!(document["paths"]["/v2/keys/{id}"]["delete"].is_object());
    assert!(document["paths"].as_object().expect("paths").keys().all(|path| !path.contains("hooks")));
}

#[tokio::test]
async fn what_is_read_is_as_described() {
    let world = World::new().await;
    let document = world.platform.get("/v2/openapi.json", "").await.json();
    world.deploy("blog", "example/web").await;
    let key = r#"{"id":"laptop","public":"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHs9Jk1cpUwvlw3wUqOm2aX5zqIBIFmV1qWjs1yS0yEF"}"#;
    assert_eq!(world.post("/v2/keys/", key).await.status, 201);
    assert_eq!(certs::add_as(&world, &world.alice, "foo", "www.foo.com").await.status, 201);
    let service = r#"{"procfile_type":"web","path_pattern":"/a"}"#;
    assert_eq!(world.post("/v2/apps/blog/services/", service).await.status, 201);
    let build = world.get("/v2/apps/blog/builds/").await.json()["results"][0]["uuid"].clone();
    let build = build.as_str().expect("a build").to_owned();
    let mut read = 0;

    for (path, methods) in document["paths"].as_object().expect("paths") {
        let schema = &methods["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        if schema.is_null() || path.ends_with("/logs") {
            continue;
        }
        let parts = path.split('/').map(|part| match part {
            "{app}" => "blog",
            "{id}" => "laptop",
            "{name}" => "foo",
            "{version}" => "v2",
            "{uuid}" => &build,
            "{type}" => "cmd",
            part => part,
        });
        let path = parts.collect::<Vec<_>>().join("/");
        let token =
            if path.contains("users") || path.contains("admin") { &world.admin } else { &world.alice };
        let answer = world.platform.get(&path, token).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(fault(&document, schema, &answer.json()), None, "{path}: {}", answer.text());
        read += 1;
    }
    assert!(read > 20, "{read}");
}
