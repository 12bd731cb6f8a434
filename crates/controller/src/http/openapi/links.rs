//! Links from a response to the operations on the resource that it created.
//!
//! Readers of the description see which operations belong together; a fuzzer finds existing resources.

use serde_json::{Map, Value, json};

use crate::http::operation::Operation;

/// `get_apps_app_config`, from the method and the path.
pub(super) fn operation_id(operation: &Operation) -> String {
    let words = operation.path.split(|letter: char| !letter.is_ascii_alphanumeric());
    let words = words.filter(|word| !word.is_empty() && *word != "v2").map(str::to_owned);
    let words = std::iter::once(operation.method.to_ascii_lowercase()).chain(words);
    words.collect::<Vec<_>>().join("_")
}

/// Links of a successful response, by the operation that each leads to.
pub(super) fn of(operation: &Operation, all: &[Operation]) -> Map<String, Value> {
    let Some(field) = operation.key else { return Map::new() };
    let below = all.iter().filter_map(|to| Some((parameter_below(operation.path, to.path)?, to)));
    let link = |(parameter, to): (&str, &Operation)| {
        let mut parameters = Map::new();
        for outer in operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
            parameters.insert(outer.to_owned(), json!(format!("$request.path.{outer}")));
        }
        parameters.insert(parameter.to_owned(), json!(format!("$response.body#/{field}")));
        let id = operation_id(to);
        (id.clone(), json!({"operationId": id, "parameters": parameters}))
    };
    below.map(link).collect()
}

/// The parameter that follows `path` in `below`, which names one of the resources in `path`.
fn parameter_below<'a>(path: &str, below: &'a str) -> Option<&'a str> {
    let part = below.strip_prefix(path)?.strip_prefix('/')?.split('/').next()?;
    Some(part.strip_prefix('{')?.strip_suffix('}')?.trim_start_matches('*'))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn posted(path: &str) -> Map<String, Value> {
        let all = crate::http::public();
        let operation = all.iter().find(|it| it.method == "POST" && it.path == path);
        of(operation.expect("it is there"), &all)
    }

    #[test]
    fn operations_have_ids_of_their_own() {
        let all = crate::http::public();
        let ids: BTreeSet<_> = all.iter().map(operation_id).collect();

        assert_eq!(ids.len(), all.len());
        assert!(ids.contains("get_apps_app_config") && ids.contains("get"), "{ids:?}");
    }

    #[test]
    fn what_was_made_is_found_below_its_name() {
        let app = posted("/v2/apps");
        assert_eq!(app["delete_apps_app"]["parameters"], json!({"app": "$response.body#/id"}));
        assert!(app.contains_key("post_apps_app_pods_type_name_restart"));

        let domain = posted("/v2/apps/{app}/domains");
        let parameters = json!({"app": "$request.path.app", "domain": "$response.body#/domain"});
        assert_eq!(domain["delete_apps_app_domains_domain"]["parameters"], parameters);
        assert_eq!((domain.len(), posted("/v2/keys").len(), posted("/v2/auth/register").len()), (1, 2, 0));
    }
}
