//! `alloy-cicd pipeline`, which is several commands of alloy: those, with what was given in its place.

use super::words::Words;
use crate::cli::error::CommandError;

/// An error that has the commands in its hint.
pub(super) fn refused(words: &Words) -> CommandError {
    CommandError::usage("`alloy-cicd pipeline` is several commands of alloy").hint(commands(words))
}

/// They pin and publish what alloy-cicd does: the toolchains are pinned, and downloads without a digest are not.
fn commands(words: &Words) -> String {
    let given = |flags: &[&str], otherwise: &str| {
        let value = flags.iter().find_map(|flag| words.value(flag)).unwrap_or_else(|| otherwise.into());
        value.to_string_lossy().into_owned()
    };
    let directory = given(&["--blueprint", "--dir", "--blueprint-dir"], ".");
    let catalog = given(&["--catalog-repo", "--catalog-dir", "--catalog"], "DIR");
    let registry = given(&["--registry"], "REGISTRY");
    let name = format!("{registry}/{}:{}", given(&["--repository"], "REPOSITORY"), given(&["--tag"], "TAG"));
    format!(
        "one after the other: `alloy check {directory}`, `alloy lock {directory} --toolchains-only --update --catalog {catalog}`, \
         `alloy publish {directory} {name} --format hub --allow-unpinned`; without `--toolchains-only` and \
         `--allow-unpinned`, all that is downloaded is pinned, too"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_stands_in_its_place() {
        let line =
            "pipeline --repo . --blueprint bp --catalog-repo . --registry r.example --repository a/b --tag 1.0.0";
        let typed: Vec<_> = line.split(' ').map(Into::into).collect();
        let said = commands(&Words::of(&typed));
        assert!(said.contains("`alloy lock bp --toolchains-only --update --catalog .`"), "{said}");
        assert!(said.contains("`alloy publish bp r.example/a/b:1.0.0 --format hub --allow-unpinned`"), "{said}");
        assert!(commands(&Words::of(&["pipeline".into()])).contains("alloy publish . REGISTRY/REPOSITORY:TAG"));
    }
}
