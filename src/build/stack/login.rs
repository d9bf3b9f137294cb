//! What a login shell makes of the environment.

use std::collections::{BTreeMap, BTreeSet};

use super::{Result, Stack};
use crate::build::foreign::{self, Need};
use crate::event::Event;

/// So many lines of what profiles say are told.
const TOLD: usize = 5;

impl Stack<'_> {
    /// What a login shell of `user` changes of `env`.
    pub(in crate::build) fn login_environment(
        &mut self,
        user: &str,
        env: BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>> {
        let (resolver, trees) = (self.resolver, self.trees(&BTreeSet::new())?);
        let target = self.target()?;
        // What this machine lends is no part of the image, however a profile spells it.
        target.begin_alone(trees, env.clone())?;
        // An image of files alone has no shell that sets anything, whatever architecture it is for.
        let found = match target.has_shell(user) {
            Ok(false) => Ok(Default::default()),
            Ok(true) => {
                foreign::ensure(resolver, || Need::LoginShell)?;
                target.login_environment(user)
            }
            Err(error) => Err(error),
        };
        target.discard()?;
        let (found, said) = found?;
        for wrong in wrong(user, &found, &said) {
            resolver.reporter().event(Event::Warning(wrong));
        }
        let own: BTreeSet<&str> = [
            "_",
            "APT_CONFIG",
            "DEBIAN_FRONTEND",
            "HOME",
            "HOSTNAME",
            "LOGNAME",
            "MAIL",
            "OLDPWD",
            "PWD",
            "PYTHONHASHSEED",
            "SHELL",
            "SHLVL",
            "SOURCE_DATE_EPOCH",
            "SYSTEMD_OFFLINE",
            "TERM",
            "USER",
        ]
        .into();
        let changed =
            found.into_iter().filter(|(name, value)| !own.contains(name.as_str()) && env.get(name) != Some(value));
        Ok(changed.collect())
    }
}

/// What is wrong with the profiles of `user`, by what they `said` and made of the environment.
fn wrong(user: &str, found: &BTreeMap<String, String>, said: &str) -> Vec<String> {
    let mut lines: Vec<&str> = said.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines.dedup();
    let more = lines.len().saturating_sub(TOLD);
    lines.truncate(TOLD);
    let mut wrong = Vec::new();
    if !lines.is_empty() {
        let more = if more == 0 { String::new() } else { format!("\n  and {more} more lines") };
        let said: String = lines.iter().map(|line| format!("\n  {line}")).collect();
        wrong.push(format!(
            "the profile scripts of `{user}` complain, and the image may lack what they set:{said}{more}"
        ));
    }
    let returned: Vec<String> =
        found.iter().filter(|(_, value)| value.ends_with('\r')).map(|(name, _)| format!("`{name}`")).collect();
    if !returned.is_empty() {
        wrong.push(format!(
            "a profile script of `{user}` has the line ends of Windows: {} would end with a carriage return. Write the file \
             with LF alone (dos2unix; `*.sh text eol=lf` in .gitattributes)",
            returned.join(", ")
        ));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_profiles_complain_of_and_the_line_ends_of_windows_are_told() {
        let env = |path: &str| BTreeMap::from([("PATH".to_owned(), path.to_owned())]);
        assert!(wrong("root", &env("/usr/bin"), "\n").is_empty());
        let [said] = &wrong("root", &env("/usr/bin"), "/etc/profile.d/b.sh: line 1: x\n")[..] else { panic!() };
        assert!(said.ends_with("they set:\n  /etc/profile.d/b.sh: line 1: x"), "{said}");
        let [said] = &wrong("root", &env("/usr/bin\r"), "")[..] else { panic!() };
        assert!(said.contains("`PATH` would end with a carriage return"), "{said}");
    }
}
