//! Links from a response to the operations on the resource that it created.
//!
//! Readers of the description see which operations belong together; a fuzzer finds existing resources.

use serde_json::{Map, Value, json};

use super::operations::{OPERATIONS, Operation};

/// Resources that POST creates: the path, the field of the response that names the new resource, and the parameter
/// of the paths below that takes the name.
const MADE: &[(&str, &str, &str)] = &[
    ("/v2/apps", "id", "app"),
    ("/v2/keys", "id", "id"),
    ("/v2/certs", "name", "name"),
    ("/v2/apps/{app}/domains", "domain", "domain"),
    ("/v2/apps/{app}/builds", "uuid", "uuid"),
];

/// `get_apps_app_config`, from the method and the path.
pub(super) fn operation_id(operation: &Operation) -> String {
    let words = operation.path.split(|letter: char| !letter.is_ascii_alphanumeric());
    let words = words.filter(|word| !word.is_empty() && *word != "v2").map(str::to_owned);
    let words = std::iter::once(operation.method.to_ascii_lowercase()).chain(words);
    words.collect::<Vec<_>>().join("_")
}

/// The links of a good answer, by the operation that each leads to.
pub(super) fn of(operation: &Operation) -> Map<String, Value> {
    let made = MADE.iter().find(|(path, ..)| operation.method == "POST" && operation.path == *path);
    let Some((path, field, parameter)) = made else { return Map::new() };
    let mut parameters = Map::new();
    for outer in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
        parameters.insert(outer.to_owned(), json!(format!("$request.path.{outer}")));
    }
    parameters.insert((*parameter).to_owned(), json!(format!("$response.body#/{field}")));
    let below = [format!("{path}/{{{parameter}}}"), format!("{path}/{{*{parameter}}}")];
    let leads = |to: &&Operation| {
        let rest = below.iter().find_map(|below| to.path.strip_prefix(below.as_str()));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let ids = OPERATIONS.iter().filter(leads).map(operation_id);
    ids.map(|id| (id.clone(), json!({"operationId": id, "parameters": parameters}))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn posted(path: &str) -> Map<String, Value> {
        let operation = OPERATIONS.iter().find(|it| it.method == "POST" && it.path == path);
        of(operation.expect("it is in the table"))
    }

    #[test]
    fn operations_have_ids_of_their_own() {
        let ids: BTreeSet<_> = OPERATIONS.iter().map(operation_id).collect();

        assert_eq!(ids.len(), OPERATIONS.len());
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
