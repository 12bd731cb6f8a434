//! Decides what is restored, by the types that layers had in the last build (Buildpack API, "Layer Types").

use std::collections::BTreeMap;

use serde_json::Value;

use super::RestoreSettings;
use crate::cache::CacheMetadata;
use crate::labels::{BuildpackLayers, LayerMetadata, LifecycleMetadata};

#[derive(Debug, Clone, PartialEq)]
pub struct RestoredBuildpack {
    pub id: String,
    pub layers: Vec<RestoredLayer>,
    /// Metadata of `store.toml`.
    pub store: Option<Value>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct RestoredLayer {
    pub name: String,
    pub data: Value,
    /// Digest of the cached layer whose content is restored too.
    pub content: Option<String>,
}

/// Chooses for each buildpack of the group; `is_cached` tells which layers the cache really has.
pub fn choose(
    app: Option<&LifecycleMetadata>,
    cache: &CacheMetadata,
    settings: &RestoreSettings,
    is_cached: &dyn Fn(&str) -> bool,
) -> Vec<RestoredBuildpack> {
    let app = app.filter(|app| same_exec_env(&app.exec_env, &settings.exec_env));
    let is_same = same_exec_env(&cache.exec_env, &settings.exec_env);
    let cached: &[BuildpackLayers] = if is_same { &cache.buildpacks } else { &[] };
    let of = |all: &[BuildpackLayers], id: &str| all.iter().find(|it| it.key == id).cloned();
    let buildpack = |id: &String| {
        let in_app = app.and_then(|app| of(&app.buildpacks, id)).unwrap_or_default();
        let in_cache = of(cached, id).unwrap_or_default();
        let store = in_app.store.or(in_cache.store).map(|store| store.metadata);
        let layers = match settings.skips_layers {
            true => Vec::new(),
            false => layers(&in_app.layers, &in_cache.layers, settings.needs_launch_layers, is_cached),
        };
        RestoredBuildpack { id: id.clone(), layers, store }
    };
    settings.group.group.iter().map(|it| buildpack(&it.id)).collect()
}

fn same_exec_env(one: &Option<String>, other: &Option<String>) -> bool {
    one.as_deref().unwrap_or("production") == other.as_deref().unwrap_or("production")
}

/// Cached layers come from the cache, with the metadata that was stored with them: both or neither. Of other launch
/// layers the metadata alone is restored, unless they were for builds too.
fn layers(
    app: &BTreeMap<String, LayerMetadata>,
    cache: &BTreeMap<String, LayerMetadata>,
    needs_launch_layers: bool,
    is_cached: &dyn Fn(&str) -> bool,
) -> Vec<RestoredLayer> {
    let is_launch_only = |layer: &LayerMetadata| {
        layer.launch && !layer.build && !layer.cache && (!needs_launch_layers || is_cached(&layer.sha))
    };
    let of_app = app.iter().filter(|(_, layer)| is_launch_only(layer));
    let of_app = of_app.map(|(name, layer)| (name, layer, None));
    let of_cache = cache.iter().filter(|(name, layer)| {
        layer.cache && is_cached(&layer.sha) && app.get(*name).is_none_or(|in_app| in_app.cache)
    });
    let of_cache = of_cache.map(|(name, layer)| (name, layer, Some(layer.sha.clone())));
    let restored = of_app.chain(of_cache);
    let mut restored: Vec<_> = restored
        .map(|(name, layer, content)| RestoredLayer { name: name.clone(), data: layer.data.clone(), content })
        .collect();
    restored.sort_by(|a, b| a.name.cmp(&b.name));
    restored
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(types: &str, sha: &str) -> LayerMetadata {
        LayerMetadata {
            sha: sha.to_owned(),
            data: Value::Null,
            build: types.contains('b'),
            launch: types.contains('l'),
            cache: types.contains('c'),
        }
    }

    fn map(layers: &[(&str, &str)]) -> BTreeMap<String, LayerMetadata> {
        layers.iter().map(|(types, sha)| ((*types).to_owned(), layer(types, sha))).collect()
    }

    /// Names of layers are their types; of the cached ones the digest stands behind them.
    fn restored(app: &[(&str, &str)], cache: &[(&str, &str)], needs: bool, there: &[&str]) -> Vec<String> {
        let layers = layers(&map(app), &map(cache), needs, &|sha| there.contains(&sha));
        layers
            .into_iter()
            .map(|it| format!("{}{}", it.name, it.content.map_or(String::new(), |sha| format!(" {sha}"))))
            .collect()
    }

    #[test]
    fn each_combination_of_types_follows_the_table_of_the_specification() {
        let app = [("bcl", "1"), ("bl", "2"), ("cl", "3"), ("l", "4")];
        let cache = [("bcl", "1"), ("bc", "5"), ("cl", "3"), ("c", "6")];

        let restored = restored(&app, &cache, false, &["1", "3", "5", "6"]);

        assert_eq!(restored, ["bc 5", "bcl 1", "c 6", "cl 3", "l"]);
    }

    #[test]
    fn a_cached_layer_whose_content_is_lost_loses_its_metadata_too() {
        assert_eq!(restored(&[("cl", "1")], &[("cl", "1")], false, &[]), Vec::<String>::new());
        assert_eq!(restored(&[("cl", "1")], &[], false, &["1"]), Vec::<String>::new());
    }

    #[test]
    fn a_launch_layer_that_cannot_be_written_again_is_not_offered_where_it_must_be() {
        assert_eq!(restored(&[("l", "1")], &[], true, &[]), Vec::<String>::new());
        assert_eq!(restored(&[("l", "1")], &[], true, &["1"]), ["l"]);
    }

    #[test]
    fn another_execution_environment_has_other_layers() {
        let staging = Some("test".to_owned());
        assert!(same_exec_env(&None, &Some("production".to_owned())));
        assert!(!same_exec_env(&None, &staging));
    }
}
