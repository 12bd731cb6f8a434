//! Decision about the refs of a push: the commit to build, and refusals before anything is built.
//!
//! git checks most of this itself, but only after the hook has ended, when the release is already made.

use std::collections::{BTreeMap, BTreeSet};

use domain::branch::{DeployBranch, FIRST_BRANCHES, is_ref_name};

/// Names that a push may change at once.
pub(crate) const REFS_MAX: usize = 1_000;
/// Names that a repository may have.
const REFS_KEPT_MAX: usize = 5_000;
const BRANCHES: &str = "refs/heads/";
const TAGS: &str = "refs/tags/";

/// One line of the pre-receive hook's input.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct RefUpdate {
    pub old: String,
    pub new: String,
    pub name: String,
}

/// State before a push.
pub(crate) struct RefsBefore<'a> {
    /// All refs with their ids.
    pub refs: &'a BTreeMap<String, String>,
    /// The branch whose pushes deploy, where one was deployed or chosen.
    pub chosen: Option<&'a DeployBranch>,
    /// The branch that HEAD names, which was deployed last where it exists.
    pub head: Option<&'a str>,
}

/// Decision about a push.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PushPlan {
    /// Build this commit once. Other branches that were pushed along are only kept.
    Build { branch: String, commit: String, others: Vec<String> },
    /// Nothing to build: tags, other refs, removals.
    Keep {
        /// The branch that would have deployed.
        branch: String,
        /// True if refs were added or moved.
        adds: bool,
        /// A tag of the deploying branch's name, which hardly anybody means.
        mistaken_tag: Option<String>,
    },
}

/// A refused push; the text is shown to the pusher.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RefError {
    #[error(
        "`{0}` cannot be deleted: the app runs what was pushed to it last; deploy another branch first \
         (`deis git:branch <name>`), or remove the app with `deis apps:destroy`"
    )]
    Deletion(String),
    #[error(
        "the branch `{deploys}` deploys this app, not `{pushed}`; push to it, as in `git push deis {pushed}:{deploys}`, \
         or choose the other one with `deis git:branch {pushed}`"
    )]
    OtherBranch { pushed: String, deploys: String },
    #[error(
        "a new app is deployed by the branch `main` or `master`, not by `{0}`; push to one of them, as in \
         `git push deis {0}:main`, or choose the branch with `deis git:branch {0}`"
    )]
    NotFirst(String),
    #[error(
        "`{0}` cannot be kept here; push branches and tags, as in `git push deis main` or \
         `git push deis 'refs/heads/*' 'refs/tags/*'`"
    )]
    Kind(String),
    #[error("`{0}` is not a valid name; rename the {kind}, then push again", kind = kind(.0))]
    Name(String),
    #[error(
        "`{0}` cannot stand beside `{1}`; remove `{1}` first (`git push deis :{1}`), or push under another name, as in \
         `git push deis HEAD:main`"
    )]
    Conflict(String, String),
    #[error("{0} refs in one push are too many; push one branch, as in `git push deis main`")]
    TooMany(usize),
    #[error(
        "the app's repository would have {0} branches and tags; 5000 is the most: push only the branch, as in `git push deis main`"
    )]
    TooManyKept(usize),
    #[error("`{0}` is named twice in one push; name it once")]
    Twice(String),
    #[error(
        "`{0}` is not where the push expects it to be: somebody has pushed meanwhile; run `git fetch` for this remote, then push again"
    )]
    Moved(String),
    #[error("`{0}` is not a commit id that is understood here; use a repository with SHA-1 ids")]
    Id(String),
}

impl RefUpdate {
    pub(crate) fn is_deletion(&self) -> bool {
        is_none(&self.new)
    }

    /// The branch that is added or moved.
    pub(crate) fn pushed_branch(&self) -> Option<&str> {
        if self.is_deletion() { None } else { self.name.strip_prefix(BRANCHES) }
    }
}

impl RefsBefore<'_> {
    /// The branch that was deployed last and is still there.
    fn running(&self) -> Option<&str> {
        self.head.filter(|head| self.refs.contains_key(&format!("{BRANCHES}{head}")))
    }

    /// The branch among `pushed`, if any, that is to be built.
    fn deploys<'p>(&self, pushed: &[&'p str]) -> Option<&'p str> {
        let find = |wanted: &str| pushed.iter().copied().find(|branch| *branch == wanted);
        match (self.chosen, self.running()) {
            (Some(DeployBranch::Any), _) => pushed.last().copied(),
            (Some(DeployBranch::Named(name)), _) => find(name),
            (None, Some(running)) => find(running),
            (None, None) => FIRST_BRANCHES.into_iter().find_map(find),
        }
    }

    /// The branch to name in hints.
    fn usual(&self) -> &str {
        match (self.chosen, self.running()) {
            (Some(DeployBranch::Named(name)), _) => name,
            (_, Some(running)) => running,
            _ => FIRST_BRANCHES[0],
        }
    }

    fn refusal(&self, pushed: &str) -> RefError {
        let pushed = printable(pushed);
        if self.chosen.is_none() && self.running().is_none() {
            return RefError::NotFirst(pushed);
        }
        RefError::OtherBranch { pushed, deploys: printable(self.usual()) }
    }
}

/// Decides what to do with the updates.
pub(crate) fn plan(updates: &[RefUpdate], before: &RefsBefore<'_>) -> Result<PushPlan, RefError> {
    if updates.len() > REFS_MAX {
        return Err(RefError::TooMany(updates.len()));
    }
    for update in updates {
        check(update, before.refs)?;
        check_old(update, before.refs)?;
    }
    check_numbers(updates, before.refs)?;
    check_conflicts(updates, before.refs)?;
    let pushed: Vec<_> = updates.iter().filter_map(RefUpdate::pushed_branch).collect();
    let built = before.deploys(&pushed);
    if let (None, Some(last)) = (built, pushed.last()) {
        return Err(before.refusal(last));
    }
    check_removals(updates, before, built.is_some())?;
    let Some(branch) = built else { return Ok(keep(updates, before)) };
    let of_branch = updates.iter().find(|update| update.pushed_branch() == Some(branch));
    Ok(PushPlan::Build {
        branch: branch.to_owned(),
        commit: of_branch.map(|update| update.new.clone()).unwrap_or_default(),
        others: pushed.iter().filter(|name| **name != branch).map(|name| printable(name)).collect(),
    })
}

fn keep(updates: &[RefUpdate], before: &RefsBefore<'_>) -> PushPlan {
    let usual = before.usual();
    let mut added = updates.iter().filter(|update| !update.is_deletion());
    let mut tags = added.clone().filter_map(|update| update.name.strip_prefix(TAGS));
    let is_mistaken = |tag: &&str| *tag == usual || FIRST_BRANCHES.contains(tag);
    PushPlan::Keep {
        branch: printable(usual),
        mistaken_tag: tags.find(is_mistaken).map(str::to_owned),
        adds: added.next().is_some(),
    }
}

/// The deployed branch stays, unless the same push deploys another.
fn check_removals(updates: &[RefUpdate], before: &RefsBefore<'_>, builds: bool) -> Result<(), RefError> {
    let Some(running) = before.running().filter(|_| !builds) else { return Ok(()) };
    let is_of_running = |update: &RefUpdate| update.name.strip_prefix(BRANCHES) == Some(running);
    if updates.iter().any(|update| update.is_deletion() && is_of_running(update)) {
        return Err(RefError::Deletion(printable(running)));
    }
    Ok(())
}

/// The id that the client saw must still be the ref's own.
fn check_old(update: &RefUpdate, existing: &BTreeMap<String, String>) -> Result<(), RefError> {
    let is_so = match existing.get(&update.name) {
        Some(id) => *id == update.old,
        None => is_none(&update.old),
    };
    if is_so { Ok(()) } else { Err(RefError::Moved(short(&update.name))) }
}

fn check_numbers(updates: &[RefUpdate], existing: &BTreeMap<String, String>) -> Result<(), RefError> {
    let mut names = std::collections::HashSet::new();
    if let Some(twice) = updates.iter().find(|update| !names.insert(update.name.as_str())) {
        return Err(RefError::Twice(short(&twice.name)));
    }
    let is_added = |update: &&RefUpdate| !update.is_deletion() && !existing.contains_key(&update.name);
    let is_removed = |update: &&RefUpdate| update.is_deletion() && existing.contains_key(&update.name);
    let added = updates.iter().filter(is_added).count();
    let kept = existing.len() + added - updates.iter().filter(is_removed).count();
    if added > 0 && kept > REFS_KEPT_MAX { Err(RefError::TooManyKept(kept)) } else { Ok(()) }
}

fn check(update: &RefUpdate, existing: &BTreeMap<String, String>) -> Result<(), RefError> {
    let RefUpdate { old: _, new, name } = update;
    if update.is_deletion() && existing.contains_key(name) {
        return Ok(());
    }
    // git takes no ref right below `refs/`, such as `refs/stash`.
    let short = name.strip_prefix("refs/").and_then(|rest| rest.split_once('/'));
    let Some((folder, short)) = short else {
        return Err(RefError::Kind(printable(name)));
    };
    if !is_ref_name(folder) || !is_ref_name(short) {
        return Err(RefError::Name(printable(name)));
    }
    let is_sha1 = new.len() == 40 && new.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_sha1 || update.is_deletion() { Ok(()) } else { Err(RefError::Id(printable(new))) }
}

/// A name and a folder of that name exclude each other among refs. git carries updates out in their order.
fn check_conflicts(updates: &[RefUpdate], existing: &BTreeMap<String, String>) -> Result<(), RefError> {
    let mut names: BTreeSet<&str> = existing.keys().map(String::as_str).collect();
    for update in updates {
        let name = update.name.as_str();
        if update.is_deletion() {
            names.remove(name);
            continue;
        }
        let above = name.match_indices('/').map(|(end, _)| &name[..end]).find(|above| names.contains(above));
        let folder = format!("{name}/");
        let below = names.range(folder.as_str()..).next().filter(|below| below.starts_with(&folder));
        if let Some(other) = above.or(below.copied()) {
            return Err(RefError::Conflict(short(name), short(other)));
        }
        names.insert(name);
    }
    Ok(())
}

/// Returns true for the all-zero id.
fn is_none(id: &str) -> bool {
    id.bytes().all(|byte| byte == b'0')
}

fn kind(name: &str) -> &'static str {
    if name.starts_with(TAGS) { "tag" } else { "branch" }
}

fn short(name: &str) -> String {
    printable(name.strip_prefix(BRANCHES).or_else(|| name.strip_prefix(TAGS)).unwrap_or(name))
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

    fn removal(name: &str) -> RefUpdate {
        RefUpdate { old: commit("1"), new: ZERO.to_owned(), name: name.to_owned() }
    }

    fn commit(digit: &str) -> String {
        digit.repeat(40)
    }

    fn refs(names: &[&str]) -> BTreeMap<String, String> {
        names.iter().map(|name| ((*name).to_owned(), commit("1"))).collect()
    }

    /// Any branch deploys, so that only the tested rule refuses.
    fn planned(updates: &[RefUpdate], existing: &BTreeMap<String, String>) -> Result<PushPlan, RefError> {
        plan(updates, &RefsBefore { refs: existing, chosen: Some(&DeployBranch::Any), head: None })
    }

    /// Branch to build in an app that has the branches `existing`, of which `head` was deployed last.
    fn built(
        chosen: Option<&str>,
        (existing, head): (&[&str], &str),
        pushed: &[&str],
    ) -> Result<String, RefError> {
        let chosen = chosen.map(|text| DeployBranch::parse(text).expect("a branch"));
        let full = |name: &&str| format!("{BRANCHES}{name}");
        let existing: BTreeMap<_, _> = existing.iter().map(|name| (full(name), commit("1"))).collect();
        let updates: Vec<_> = pushed
            .iter()
            .map(|name| RefUpdate {
                old: existing.get(&full(name)).cloned().unwrap_or_else(|| ZERO.to_owned()),
                ..update(&full(name), &commit("2"))
            })
            .collect();
        let before = RefsBefore { refs: &existing, chosen: chosen.as_ref(), head: Some(head) };
        match plan(&updates, &before)? {
            PushPlan::Build { branch, others, .. } => {
                assert_eq!(others.len(), pushed.len() - 1);
                Ok(branch)
            }
            PushPlan::Keep { .. } => panic!("nothing is built"),
        }
    }

    #[test]
    fn a_push_that_expects_another_old_id_is_refused() {
        let existing = refs(&["refs/heads/main"]);
        let from = |old: &str, name: &str| {
            planned(&[RefUpdate { old: old.to_owned(), ..update(name, &commit("2")) }], &existing)
        };

        let moved = Err(RefError::Moved("main".to_owned()));
        assert!(from(&commit("1"), "refs/heads/main").is_ok() && from(ZERO, "refs/heads/new").is_ok());
        assert_eq!(from(&commit("3"), "refs/heads/main"), moved);
        assert_eq!(from(ZERO, "refs/heads/main"), moved);
        assert_eq!(from(&commit("3"), "refs/heads/new"), Err(RefError::Moved("new".to_owned())));
    }

    #[test]
    fn a_name_is_given_once_and_the_number_of_kept_names_is_bounded() {
        let twice = [update("refs/heads/a", &commit("1")), update("refs/heads/a", &commit("2"))];
        assert_eq!(planned(&twice, &refs(&[])), Err(RefError::Twice("a".to_owned())));

        let full: BTreeMap<_, _> =
            (0..REFS_KEPT_MAX).map(|number| (format!("refs/tags/{number}"), commit("1"))).collect();
        let added = update("refs/heads/a", &commit("1"));
        let moved = [RefUpdate { old: commit("1"), ..update("refs/tags/7", &commit("2")) }];
        assert_eq!(
            planned(std::slice::from_ref(&added), &full),
            Err(RefError::TooManyKept(REFS_KEPT_MAX + 1))
        );
        assert!(planned(&moved, &full).is_ok());
        assert!(planned(&[removal("refs/tags/7"), added], &full).is_ok());
    }

    #[test]
    fn a_new_app_is_deployed_by_the_first_of_main_and_master() {
        let new = (&[][..], "master");
        assert_eq!(built(None, new, &["master"]).as_deref(), Ok("master"));
        assert_eq!(built(None, new, &["main"]).as_deref(), Ok("main"));
        assert_eq!(built(None, new, &["a", "main", "master", "z"]).as_deref(), Ok("main"));
        assert_eq!(built(None, new, &["trunk"]), Err(RefError::NotFirst("trunk".to_owned())));
        assert_eq!(built(Some("trunk"), new, &["main", "trunk"]).as_deref(), Ok("trunk"));
    }

    #[test]
    fn the_branch_that_was_deployed_last_goes_on_until_another_is_chosen() {
        let app = (&["develop", "main"][..], "develop");
        let refused = |pushed: &str, deploys: &str| {
            Err(RefError::OtherBranch { pushed: pushed.to_owned(), deploys: deploys.to_owned() })
        };

        assert_eq!(built(None, app, &["develop", "main"]).as_deref(), Ok("develop"));
        assert_eq!(built(None, app, &["main"]), refused("main", "develop"));
        assert_eq!(built(Some("main"), app, &["develop", "main"]).as_deref(), Ok("main"));
        assert_eq!(built(Some("main"), app, &["develop"]), refused("develop", "main"));
        assert_eq!(built(Some("*"), app, &["develop", "main"]).as_deref(), Ok("main"));
        assert_eq!(built(Some("*"), app, &["new"]).as_deref(), Ok("new"));
    }

    #[test]
    fn the_last_branch_is_built_once_and_tags_are_only_kept() {
        let updates = [
            update("refs/heads/a", &commit("1")),
            update("refs/heads/b", &commit("2")),
            update("refs/tags/v1", &commit("3")),
        ];

        let built =
            PushPlan::Build { branch: "b".to_owned(), commit: commit("2"), others: vec!["a".to_owned()] };
        assert_eq!(planned(&updates, &refs(&[])), Ok(built));
        let kept = PushPlan::Keep { branch: "main".to_owned(), adds: true, mistaken_tag: None };
        assert_eq!(planned(&updates[2..], &refs(&[])), Ok(kept));
    }

    #[test]
    fn a_tag_of_the_branchs_name_is_kept_and_told() {
        let kept =
            planned(&[update("refs/tags/v1", ZERO), update("refs/tags/main", &commit("1"))], &refs(&[]));

        let tag = Some("main".to_owned());
        assert_eq!(kept, Ok(PushPlan::Keep { branch: "main".to_owned(), adds: true, mistaken_tag: tag }));
    }

    #[test]
    fn what_nothing_runs_can_be_removed_and_what_runs_only_for_another() {
        let existing = refs(&["refs/heads/main", "refs/heads/old", "refs/tags/main", "refs/stash"]);
        let main = DeployBranch::Named("main".to_owned());
        let asked = |updates: &[RefUpdate]| {
            plan(updates, &RefsBefore { refs: &existing, chosen: Some(&main), head: Some("old") })
        };

        let removed = PushPlan::Keep { branch: "main".to_owned(), adds: false, mistaken_tag: None };
        for name in ["refs/heads/main", "refs/tags/main", "refs/stash"] {
            assert_eq!(asked(&[removal(name)]).as_ref(), Ok(&removed), "{name}");
        }
        assert_eq!(asked(&[removal("refs/heads/old")]), Err(RefError::Deletion("old".to_owned())));
        let moved = RefUpdate { old: commit("1"), ..update("refs/heads/main", &commit("2")) };
        assert!(matches!(asked(&[removal("refs/heads/old"), moved]), Ok(PushPlan::Build { .. })));
    }

    #[test]
    fn all_that_a_mirror_brings_is_kept_but_what_git_itself_refuses() {
        let brought = |name: &str| planned(&[update(name, &commit("1"))], &refs(&[]));

        for name in ["refs/notes/commits", "refs/remotes/origin/main", "refs/pull/1/head"] {
            assert!(matches!(brought(name), Ok(PushPlan::Keep { adds: true, .. })), "{name}");
        }
        for name in ["refs/stash", "HEAD", "refs/", "main"] {
            assert_eq!(brought(name), Err(RefError::Kind(name.to_owned())));
        }
    }

    #[test]
    fn names_that_git_would_refuse_after_the_release_are_refused_before() {
        for bad in
            ["a..b", "a.lock", ".a", "a/", "a//b", "a b", "a~1", "a\x07", "-a", "a/.b", "@", "a.", "a@{b"]
        {
            let updates = [update(&format!("refs/heads/{bad}"), &commit("1"))];
            assert!(matches!(planned(&updates, &refs(&[])), Err(RefError::Name(_))), "{bad:?}");
        }
        for good in ["main", "feature/x-1", "ünïcode", "a.b", "v1.0"] {
            let updates = [update(&format!("refs/heads/{good}"), &commit("1"))];
            assert!(planned(&updates, &refs(&[])).is_ok(), "{good:?}");
        }
        let tag = RefError::Name("refs/tags/a b".to_owned()).to_string();
        assert!(tag.contains("rename the tag"), "{tag}");
    }

    #[test]
    fn a_branch_cannot_be_a_folder_of_another() {
        let conflict = |new: &str, old: &str| {
            let existing = BTreeMap::from([(format!("refs/heads/{old}"), ZERO.to_owned())]);
            planned(&[update(&format!("refs/heads/{new}"), &commit("1"))], &existing)
        };

        assert!(matches!(conflict("a/b", "a"), Err(RefError::Conflict(..))));
        assert!(matches!(conflict("a", "a/b"), Err(RefError::Conflict(..))));
        assert!(conflict("a", "a").is_ok());
        assert!(conflict("a-b", "a").is_ok());
        let both = [update("refs/heads/x", &commit("1")), update("refs/heads/x/y", &commit("1"))];
        assert!(matches!(planned(&both, &refs(&[])), Err(RefError::Conflict(..))));
    }

    #[test]
    fn a_name_that_was_removed_before_in_the_same_push_is_in_nobodys_way() {
        let existing = refs(&["refs/heads/a"]);
        let (gone, new) = (removal("refs/heads/a"), update("refs/heads/a/b", &commit("1")));

        assert!(planned(&[gone.clone(), new.clone()], &existing).is_ok());
        assert!(matches!(planned(&[new, gone], &existing), Err(RefError::Conflict(..))));
    }

    #[test]
    fn ids_other_than_sha1_are_refused() {
        let id = |id: &str| planned(&[update("refs/heads/a", id)], &refs(&[]));
        assert!(matches!(id(&"a".repeat(64)), Err(RefError::Id(_))));
        assert!(matches!(id(&"A".repeat(40)), Err(RefError::Id(_))));
    }
}
