//! Order resolution: groups with composite buildpacks become groups of component buildpacks.

use crate::buildpacks::Buildpacks;
use crate::failure::{LifecycleError, Result, code};
use crate::formats::order::{OrderElement, OrderGroup};

/// Groups after resolution, and orders inside each other.
const GROUPS_MAX: usize = 10_000;
const DEPTH_MAX: usize = 20;

/// Resolves an order, depth first, from left to right.
pub fn flat_groups(order: &[OrderGroup], buildpacks: &mut Buildpacks) -> Result<Vec<Vec<OrderElement>>> {
    resolved(order, buildpacks, DEPTH_MAX)
}

fn resolved(
    order: &[OrderGroup],
    buildpacks: &mut Buildpacks,
    depth: usize,
) -> Result<Vec<Vec<OrderElement>>> {
    let mut groups = Vec::new();
    for group in order {
        groups.extend(resolved_group(&group.group, buildpacks, depth)?);
        check(groups.len())?;
    }
    Ok(groups)
}

fn resolved_group(
    group: &[OrderElement],
    buildpacks: &mut Buildpacks,
    depth: usize,
) -> Result<Vec<Vec<OrderElement>>> {
    let mut begun: Vec<Vec<OrderElement>> = vec![Vec::new()];
    for element in group {
        let alternatives = alternatives(element, buildpacks, depth)?;
        check(begun.len() * alternatives.len())?;
        let followed = |group: &Vec<OrderElement>| {
            alternatives.iter().map(|it| [&group[..], it].concat()).collect::<Vec<_>>()
        };
        begun = begun.iter().flat_map(followed).collect();
    }
    Ok(begun)
}

/// Lists that one element stands for; an optional composite buildpack may be left out.
fn alternatives(
    element: &OrderElement,
    buildpacks: &mut Buildpacks,
    depth: usize,
) -> Result<Vec<Vec<OrderElement>>> {
    let descriptor = buildpacks.find(&element.id, &element.version)?.descriptor.clone();
    if !descriptor.is_composite() {
        return Ok(vec![vec![element.clone()]]);
    }
    if depth == 0 {
        return Err(refused(format!("buildpack {} has orders inside each other without end", element.id)));
    }
    let mut lists = resolved(&descriptor.order, buildpacks, depth - 1)?;
    if element.optional {
        lists.push(Vec::new());
    }
    Ok(lists)
}

fn check(groups: usize) -> Result<()> {
    match groups > GROUPS_MAX {
        true => Err(refused(format!("the order has more than {GROUPS_MAX} groups"))),
        false => Ok(()),
    }
}

fn refused(message: String) -> LifecycleError {
    LifecycleError::new(code::DETECT, message)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn buildpack(root: &Path, id: &str, order: &str) {
        let folder = root.join(id).join("1");
        fs::create_dir_all(&folder).expect("a folder");
        let text = format!("api = \"0.10\"\n[buildpack]\nid = \"{id}\"\nversion = \"1\"\n{order}");
        fs::write(folder.join("buildpack.toml"), text).expect("a descriptor");
    }

    fn order(groups: &[&[&str]]) -> Vec<OrderGroup> {
        let element = |id: &&str| OrderElement {
            id: id.trim_end_matches('?').to_owned(),
            version: "1".to_owned(),
            optional: id.ends_with('?'),
            exec_env: Vec::new(),
        };
        groups.iter().map(|group| OrderGroup { group: group.iter().map(element).collect() }).collect()
    }

    fn flat(groups: &[&[&str]]) -> Vec<String> {
        let dir = tempfile::tempdir().expect("a folder");
        for id in ["A", "B", "C", "D", "E", "F"] {
            buildpack(dir.path(), id, "");
        }
        let group = |one: &str, other: &str| {
            format!(
                "[[order]]\ngroup = [{{id = \"{one}\", version = \"1\"}}, {{id = \"{other}\", version = \"1\"}}]\n"
            )
        };
        buildpack(dir.path(), "O", &format!("{}{}", group("A", "B"), group("C", "D")));
        buildpack(dir.path(), "L", &group("L", "A"));
        let groups = flat_groups(&order(groups), &mut Buildpacks::open(dir.path()));
        match groups {
            Ok(groups) => groups.iter().map(|it| it.iter().map(|it| it.id.as_str()).collect()).collect(),
            Err(error) => vec![error.message],
        }
    }

    #[test]
    fn composite_buildpacks_are_expanded_from_left_to_right() {
        assert_eq!(flat(&[&["E", "O", "F"]]), ["EABF", "ECDF"]);
        assert_eq!(flat(&[&["O", "O"]]), ["ABAB", "ABCD", "CDAB", "CDCD"]);
        assert_eq!(flat(&[&["E"], &["O"]]), ["E", "AB", "CD"]);
    }

    #[test]
    fn an_optional_composite_buildpack_may_be_left_out() {
        assert_eq!(flat(&[&["E", "O?", "F"]]), ["EABF", "ECDF", "EF"]);
    }

    #[test]
    fn orders_without_end_are_refused() {
        assert!(flat(&[&["L"]])[0].contains("without end"));
        assert!(flat(&[&["O"; 20]])[0].contains("more than"));
    }
}
