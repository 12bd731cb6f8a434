//! Build plans: which of a group's buildpacks stay, and who supplies what.

use crate::failure::{LifecycleError, Result, code};
use crate::formats::group::{Group, GroupBuildpack};
use crate::formats::plan::{Plan, PlanEntry, PlanSections, Provider};

/// Combinations of alternatives that are tried.
const TRIALS_MAX: usize = 100_000;

/// One alternative of a buildpack's plan.
pub type Offer = PlanSections;

/// A buildpack that passed detection.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub buildpack: GroupBuildpack,
    pub is_optional: bool,
    /// At least one.
    pub offers: Vec<Offer>,
}

/// Finds the first combination of alternatives that fits, the last buildpack's alternatives changing first; `None` if
/// there is none.
pub fn agree(candidates: &[Candidate]) -> Result<Option<(Group, Plan)>> {
    if candidates.is_empty() {
        return Ok(None);
    }
    let mut choice = vec![0; candidates.len()];
    for _ in 0..TRIALS_MAX {
        if let Some(found) = trial(candidates, &choice) {
            return Ok(Some(found));
        }
        if !next(&mut choice, candidates) {
            return Ok(None);
        }
    }
    let message = format!("buildpacks have more than {TRIALS_MAX} combinations of build plans");
    Err(LifecycleError::new(code::DETECT, message))
}

fn next(choice: &mut [usize], candidates: &[Candidate]) -> bool {
    for (place, candidate) in candidates.iter().enumerate().rev() {
        choice[place] += 1;
        if choice[place] < candidate.offers.len() {
            return true;
        }
        choice[place] = 0;
    }
    false
}

struct Member<'a> {
    candidate: &'a Candidate,
    offer: &'a Offer,
}

/// Drops optional buildpacks whose needs are not met, or that nobody needs, until all are; a required one fails.
fn trial(candidates: &[Candidate], choice: &[usize]) -> Option<(Group, Plan)> {
    let chosen = candidates.iter().zip(choice);
    let mut members: Vec<_> =
        chosen.map(|(candidate, offer)| Member { candidate, offer: &candidate.offers[*offer] }).collect();
    while let Some(place) = (0..members.len()).find(|place| !is_met(&members, *place)) {
        if !members[place].candidate.is_optional {
            return None;
        }
        members.remove(place);
    }
    let group = members.iter().map(|it| it.candidate.buildpack.clone()).collect::<Vec<_>>();
    let group = Group { group, extensions: Vec::new() };
    (!members.is_empty()).then(|| (group, plan(&members)))
}

/// All that it requires is provided by itself or before it; all that it provides is required by itself or behind it.
fn is_met(members: &[Member<'_>], place: usize) -> bool {
    let offer = members[place].offer;
    let provided = |name: &str| members[..=place].iter().any(|it| it.provides(name));
    let required = |name: &str| members[place..].iter().any(|it| it.requires(name));
    offer.requires.iter().all(|it| provided(&it.name)) && offer.provides.iter().all(|it| required(&it.name))
}

impl Member<'_> {
    fn provides(&self, name: &str) -> bool {
        self.offer.provides.iter().any(|it| it.name == name)
    }

    fn requires(&self, name: &str) -> bool {
        self.offer.requires.iter().any(|it| it.name == name)
    }
}

/// One entry for each name, in the order in which the names are provided first.
fn plan(members: &[Member<'_>]) -> Plan {
    let mut names: Vec<&str> = Vec::new();
    for provide in members.iter().flat_map(|it| &it.offer.provides) {
        if !names.contains(&provide.name.as_str()) {
            names.push(&provide.name);
        }
    }
    let entry = |name: &str| {
        let providers = members.iter().filter(|it| it.provides(name));
        let provider = |it: &Member<'_>| {
            let GroupBuildpack { id, version, .. } = it.candidate.buildpack.clone();
            Provider { id, version }
        };
        let requires = members.iter().flat_map(|it| &it.offer.requires).filter(|it| it.name == name);
        PlanEntry { providers: providers.map(provider).collect(), requires: requires.cloned().collect() }
    };
    Plan { entries: names.into_iter().map(entry).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ApiVersion;
    use crate::formats::plan::{Provide, Require};

    /// `"A? -x +y | +z"`: buildpack A, optional, requires x and provides y, or provides z.
    fn candidate(text: &str) -> Candidate {
        let (id, offers) = text.split_once(' ').unwrap_or((text, ""));
        let named = |offer: &str, sign: char| {
            let names = offer.split_whitespace().filter_map(|word| word.strip_prefix(sign));
            names.map(str::to_owned).collect::<Vec<_>>()
        };
        let offer = |offer: &str| Offer {
            provides: named(offer, '+').into_iter().map(|name| Provide { name }).collect(),
            requires: named(offer, '-')
                .into_iter()
                .map(|name| Require { name, ..Require::default() })
                .collect(),
        };
        let id_alone = id.trim_end_matches('?').to_owned();
        let buildpack =
            GroupBuildpack { id: id_alone, version: "1".to_owned(), api: ApiVersion(0, 10), homepage: None };
        Candidate {
            buildpack,
            is_optional: id.ends_with('?'),
            offers: offers.split('|').map(offer).collect(),
        }
    }

    fn agreed(group: &[&str]) -> Option<String> {
        let candidates: Vec<_> = group.iter().map(|text| candidate(text)).collect();
        let (group, plan) = agree(&candidates).expect("few trials")?;
        let entry = |entry: &PlanEntry| {
            let providers: Vec<_> = entry.providers.iter().map(|it| it.id.as_str()).collect();
            format!("{}:{}*{}", entry.requires[0].name, providers.join("+"), entry.requires.len())
        };
        let entries: Vec<_> = plan.entries.iter().map(entry).collect();
        let ids: String = group.group.iter().map(|it| it.id.as_str()).collect();
        Some(format!("{ids} {}", entries.join(" ")))
    }

    #[test]
    fn what_is_required_must_be_provided_before_or_by_the_same() {
        assert_eq!(agreed(&["A +x", "B -x"]).as_deref(), Some("AB x:A*1"));
        assert_eq!(agreed(&["A +x -x", "B -x"]).as_deref(), Some("AB x:A*2"));
        assert_eq!(agreed(&["A -x", "B +x"]), None);
    }

    #[test]
    fn what_is_provided_must_be_required() {
        assert_eq!(agreed(&["A +x", "B"]), None);
        assert_eq!(agreed(&["A? +x", "B"]).as_deref(), Some("B "));
    }

    #[test]
    fn dropping_one_may_drop_another() {
        assert_eq!(agreed(&["A? +x", "B? -x -y", "C"]).as_deref(), Some("C "));
        assert_eq!(agreed(&["A +x", "B? -x -y"]), None);
        assert_eq!(agreed(&["A? -x"]), None);
    }

    #[test]
    fn alternatives_are_tried_from_the_last_buildpack_on() {
        assert_eq!(agreed(&["A +x | ", "B"]).as_deref(), Some("AB "));
        assert_eq!(agreed(&["A +x | +y", "B -z | -y"]).as_deref(), Some("AB y:A*1"));
    }

    #[test]
    fn several_may_provide_the_same() {
        assert_eq!(agreed(&["A +x", "B +x", "C -x"]).as_deref(), Some("ABC x:A+B*1"));
    }

    #[test]
    fn combinations_are_bounded() {
        let many = ["A -a | -b | -c | -d | -e | -f | -g | -h | -i | -j"; 6];
        let candidates: Vec<_> = many.iter().map(|text| candidate(text)).collect();

        assert!(agree(&candidates).expect_err("refused").message.contains("combinations"));
    }
}
