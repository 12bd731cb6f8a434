//! What the refs of a push ask for: which commit is built, and what is refused before anything is built.
//!
//! git checks most of this itself, but only after the hook has ended, when the release is already made.

/// Names that a push may change at once.
pub(crate) const REFS_MAX: usize = 1_000;

/// One line of the pre-receive hook's input.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct RefUpdate {
    pub old: String,
    pub new: String,
    pub name: String,
}

/// What a push asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Build this commit once, however many branches were pushed along.
    Build { branch: String, commit: String },
    /// Only tags: kept, not built.
    Keep,
}

/// Why the push is refused; the text is what the pusher sees.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RefError {
    #[error(
        "`{0}` cannot be deleted: the app runs what was pushed last; push another commit, or remove the app with `deis apps:destroy`"
    )]
    Deletion(String),
    #[error("`{0}` is neither a branch nor a tag; push a branch, as in `git push deis main`")]
    Kind(String),
    #[error("`{0}` is not a valid name; rename the branch, then push again")]
    Name(String),
    #[error(
        "`{0}` cannot stand beside `{1}`; push the branch under another name, as in `git push deis HEAD:main`"
    )]
    Conflict(String, String),
    #[error("{0} refs in one push are too many; push one branch, as in `git push deis main`")]
    TooMany(usize),
    #[error("`{0}` is not a commit id that is understood here; use a repository with SHA-1 ids")]
    Id(String),
}

/// Decides what to do with the updates, given the refs that are there already.
pub(crate) fn plan(updates: &[RefUpdate], existing: &[String]) -> Result<Plan, RefError> {
    if updates.len() > REFS_MAX {
        return Err(RefError::TooMany(updates.len()));
    }
    for update in updates {
        check(update)?;
    }
    check_conflicts(updates, existing)?;
    let branch = updates.iter().rev().find_map(|update| {
        let branch = update.name.strip_prefix("refs/heads/")?;
        Some(Plan::Build { branch: branch.to_owned(), commit: update.new.clone() })
    });
    Ok(branch.unwrap_or(Plan::Keep))
}

fn check(update: &RefUpdate) -> Result<(), RefError> {
    let RefUpdate { old: _, new, name } = update;
    let short = name.strip_prefix("refs/heads/").or_else(|| name.strip_prefix("refs/tags/"));
    let Some(short) = short else {
        return Err(RefError::Kind(printable(name)));
    };
    if !is_name(short) {
        return Err(RefError::Name(printable(name)));
    }
    if new.bytes().all(|byte| byte == b'0') {
        return Err(RefError::Deletion(short.to_owned()));
    }
    if new.len() != 40 || !new.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(RefError::Id(printable(new)));
    }
    Ok(())
}

/// A name and a folder of that name exclude each other among refs.
fn check_conflicts(updates: &[RefUpdate], existing: &[String]) -> Result<(), RefError> {
    let new = updates.iter().map(|update| update.name.as_str());
    let mut names: Vec<&str> = new.chain(existing.iter().map(String::as_str)).collect();
    names.sort_unstable();
    names.dedup();
    let known: std::collections::HashSet<&str> = names.iter().copied().collect();
    for name in &names {
        for (end, _) in name.match_indices('/') {
            if known.contains(&name[..end]) {
                return Err(RefError::Conflict(short(name), short(&name[..end])));
            }
        }
    }
    Ok(())
}

/// The rules of `git check-ref-format` for what follows `refs/heads/`.
fn is_name(name: &str) -> bool {
    let is_bad = |letter: char| letter.is_ascii_control() || " ~^:?*[\\".contains(letter);
    let part_well = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    name.len() <= 200
        && !name.contains("..")
        && !name.contains("@{")
        && !name.ends_with('.')
        && !name.starts_with('-')
        && name != "@"
        && !name.contains(is_bad)
        && name.split('/').all(part_well)
}

fn short(name: &str) -> String {
    printable(name.strip_prefix("refs/heads/").or_else(|| name.strip_prefix("refs/tags/")).unwrap_or(name))
}

fn printable(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: &str = "0000000000000000000000000000000000000000";

    fn update(name: &str, new: &str) -> RefUpdate {
        RefUpdate { old: ZERO.to_owned(), new: new.to_owned(), name: name.to_owned() }
    }

    fn commit(digit: &str) -> String {
        digit.repeat(40)
    }

    #[test]
    fn the_last_branch_is_built_once_and_tags_are_only_kept() {
        let updates = [
            update("refs/heads/a", &commit("1")),
            update("refs/heads/b", &commit("2")),
            update("refs/tags/v1", &commit("3")),
        ];

        let built = Plan::Build { branch: "b".to_owned(), commit: commit("2") };
        assert_eq!(plan(&updates, &[]), Ok(built));
        assert_eq!(plan(&updates[2..], &[]), Ok(Plan::Keep));
    }

    #[test]
    fn deletions_and_other_kinds_of_refs_are_refused() {
        let deleted = [update("refs/heads/main", ZERO)];
        let noted = [update("refs/notes/x", &commit("1"))];

        assert_eq!(plan(&deleted, &[]), Err(RefError::Deletion("main".to_owned())));
        assert_eq!(plan(&noted, &[]), Err(RefError::Kind("refs/notes/x".to_owned())));
    }

    #[test]
    fn names_that_git_would_refuse_after_the_release_are_refused_before() {
        for bad in
            ["a..b", "a.lock", ".a", "a/", "a//b", "a b", "a~1", "a\x07", "-a", "a/.b", "@", "a.", "a@{b"]
        {
            let updates = [update(&format!("refs/heads/{bad}"), &commit("1"))];
            assert!(matches!(plan(&updates, &[]), Err(RefError::Name(_))), "{bad:?}");
        }
        for good in ["main", "feature/x-1", "ünïcode", "a.b", "v1.0"] {
            assert!(plan(&[update(&format!("refs/heads/{good}"), &commit("1"))], &[]).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn a_branch_cannot_be_a_folder_of_another() {
        let conflict = |new: &str, old: &str| {
            let existing = [format!("refs/heads/{old}")];
            plan(&[update(&format!("refs/heads/{new}"), &commit("1"))], &existing)
        };

        assert!(matches!(conflict("a/b", "a"), Err(RefError::Conflict(..))));
        assert!(matches!(conflict("a", "a/b"), Err(RefError::Conflict(..))));
        assert!(conflict("a", "a").is_ok());
        assert!(conflict("a-b", "a").is_ok());
        let both = [update("refs/heads/x", &commit("1")), update("refs/heads/x/y", &commit("1"))];
        assert!(matches!(plan(&both, &[]), Err(RefError::Conflict(..))));
    }

    #[test]
    fn ids_other_than_sha1_are_refused() {
        assert!(matches!(plan(&[update("refs/heads/a", &"a".repeat(64))], &[]), Err(RefError::Id(_))));
        assert!(matches!(plan(&[update("refs/heads/a", &"A".repeat(40))], &[]), Err(RefError::Id(_))));
    }
}
