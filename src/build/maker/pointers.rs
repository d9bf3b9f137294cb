//! Files of repositories that stand for others, which nobody has fetched.

use super::{Maker, Result};
use crate::event::Event;
use crate::op::{Command, Guards, Op, Step};
use crate::target::request::Outcome;

/// Names files below the working directory that are pointers, where git-lfs should have put what they stand for
/// (git-lfs, "docs/spec.md"). It changes nothing, and its failure says nothing.
const POINTERS: &str = r#"find . -name .git -prune 2>/dev/null | while read -r found; do (
    cd "${found%/.git}" && git -c safe.directory='*' ls-files -z -- ':(attr:filter=lfs)' 2>/dev/null |
        xargs -0 -r sh -c 'for file; do
            head -c 42 "$file" 2>/dev/null | grep -q "^version https://git-lfs.github.com/spec/v1$" && echo "$0/$file"
        done' "${found%/.git}"
) || true; done"#;

impl Maker<'_> {
    /// Warns of files that `step`, which went well, has checked out as mere pointers of git-lfs.
    pub(super) fn tell_pointers(&mut self, step: &Step) -> Result<()> {
        // Commands that install packages may clone, too: into no place that is known.
        if step.checkouts.is_empty() {
            return Ok(());
        }
        // Whoever cloned can read what is there.
        let Some(mut look) = step.ops.iter().rev().find(|op| op.clones()).cloned() else { return Ok(()) };
        let Op::Run { command, cwd, .. } = &mut look else { return Ok(()) };
        let place = cwd.clone().unwrap_or_default();
        *command = Command::Argv(["sh", "-c", POINTERS].map(str::to_owned).to_vec());
        let look = Step { guards: Guards::default(), ops: vec![look], wanted: None, ssh: false, ..step.clone() };
        let mut output = Vec::new();
        let outcome = self.stack.target()?.perform(&look, Vec::new(), None, |piece| output.extend(piece));
        let text = String::from_utf8_lossy(&output);
        let Some(first) = text.lines().next().filter(|_| matches!(outcome, Ok(Outcome::Ran(_)))) else { return Ok(()) };
        let (count, first) = (text.lines().count(), first.trim_start_matches("./"));
        let what = if count == 1 { "1 file is".to_owned() } else { format!("{count} files are") };
        self.build.resolver.reporter().event(Event::Warning(format!(
            "{}:{}: {}: {what} only a pointer of git-lfs in {place} ({first}): install git-lfs before, by \
             `apt_install`, and git fetches what it stands for",
            step.file, step.line, step.name
        )));
        Ok(())
    }
}
