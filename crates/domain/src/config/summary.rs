//! Differences between two configs, in the wording of release summaries (docs/spec/api.md 4.9).

use std::collections::BTreeMap;

use super::Config;

/// One part per kind of change, each without the user's name: `added A, deleted B`.
pub(crate) fn changes(before: &Config, after: &Config) -> Vec<String> {
    let Config {
        values,
        memory,
        lifecycle_post_start,
        lifecycle_pre_stop,
        cpu,
        tags,
        registry,
        healthcheck,
        termination_grace_period,
    } = after;
    let limits = [("memory", memory != &before.memory), ("cpu", cpu != &before.cpu)];
    let limits: Vec<_> = limits.iter().filter(|(_, changed)| *changed).map(|(name, _)| *name).collect();
    [
        difference(&before.values, values, ""),
        (!limits.is_empty()).then(|| format!("changed limits for {}", limits.join(", "))),
        difference(&before.lifecycle_post_start, lifecycle_post_start, "lifecycle_post_start "),
        difference(&before.lifecycle_pre_stop, lifecycle_pre_stop, "lifecycle_pre_stop "),
        (termination_grace_period != &before.termination_grace_period)
            .then(|| "changed timeouts for termination_grace_period".to_owned()),
        difference(&before.tags, tags, "tag "),
        difference(&before.registry, registry, "registry info "),
        difference(&before.healthcheck, healthcheck, "healthcheck info for proc type "),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn difference<V: PartialEq>(
    before: &BTreeMap<String, V>,
    after: &BTreeMap<String, V>,
    what: &str,
) -> Option<String> {
    let added: Vec<_> = after.keys().filter(|key| !before.contains_key(*key)).collect();
    let changed: Vec<_> =
        after.iter().filter(|(key, value)| before.get(*key).is_some_and(|old| old != *value)).collect();
    let changed: Vec<_> = changed.into_iter().map(|(key, _)| key).collect();
    let deleted: Vec<_> = before.keys().filter(|key| !after.contains_key(*key)).collect();
    let parts: Vec<_> = [("added", added), ("changed", changed), ("deleted", deleted)]
        .into_iter()
        .filter(|(_, keys)| !keys.is_empty())
        .map(|(verb, keys)| {
            let keys: Vec<_> = keys.into_iter().map(String::as_str).collect();
            format!("{verb} {what}{}", keys.join(", "))
        })
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}
