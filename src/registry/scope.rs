//! What a token is good for (distribution's token scopes): `repository:NAME:pull,push`.

use std::collections::{BTreeMap, BTreeSet};

/// Actions on resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scope(BTreeMap<String, BTreeSet<String>>);

impl Scope {
    /// To read a repository.
    pub(super) fn pull(repository: &str) -> Self {
        Self::parse(&format!("repository:{repository}:pull"))
    }

    /// To read and write a repository.
    pub(super) fn push(repository: &str) -> Self {
        Self::parse(&format!("repository:{repository}:pull,push"))
    }

    /// Scopes with spaces between them. What is not one is left out.
    pub(super) fn parse(text: &str) -> Self {
        let mut scope = Self::default();
        for (resource, actions) in text.split_whitespace().filter_map(|one| one.rsplit_once(':')) {
            let actions = actions.split(',').filter(|action| !action.is_empty()).map(str::to_owned);
            scope.0.entry(resource.to_owned()).or_default().extend(actions);
        }
        scope
    }

    /// What either allows.
    #[must_use]
    pub(super) fn and(mut self, other: &Self) -> Self {
        for (resource, actions) in &other.0 {
            self.0.entry(resource.clone()).or_default().extend(actions.iter().cloned());
        }
        self
    }

    /// True if all that `other` allows is allowed.
    pub(super) fn covers(&self, other: &Self) -> bool {
        other.0.iter().all(|(resource, actions)| self.0.get(resource).is_some_and(|own| own.is_superset(actions)))
    }

    /// One text for each resource.
    pub(super) fn parts(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(resource, actions)| {
            let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
            format!("{resource}:{}", actions.join(","))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_add_up() {
        let push = Scope::push("a/b");
        assert!(push.covers(&Scope::pull("a/b")) && !Scope::pull("a/b").covers(&push));
        let both = push.clone().and(&Scope::pull("r.example:5000/c"));
        assert_eq!(both.parts().collect::<Vec<_>>(), ["repository:a/b:pull,push", "repository:r.example:5000/c:pull"]);
        assert!(both.covers(&push) && !push.covers(&both) && push.covers(&Scope::default()));
        assert_eq!(Scope::parse("repository:a/b:push,pull nonsense"), push);
    }
}
