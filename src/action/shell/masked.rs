//! Commands that end well whatever becomes of a `$(…)` in them, where a script is to end at what fails.

use super::lex::Word;
use super::parse::{Command, Item, Kind, List, Pipeline, parse};
use super::passed::{DEEPEST, Options, given, is_harmless, without_assignments};

/// Commands that assign, and end well where the value could not be had.
const ASSIGNING: [&str; 5] = ["declare", "export", "local", "readonly", "typeset"];
/// Commands that hardly fail with what they are given in a script.
const SAFE: [&str; 9] = ["arch", "basename", "date", "dirname", "hostname", "nproc", "pwd", "uname", "whoami"];
/// So many of a script are told: whoever reads that stops long before.
const MOST: usize = 20;

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Masked {
    /// As it is written.
    pub(super) text: String,
    /// Where the script has it: which one it is of this text.
    pub(super) number: usize,
    /// What to write in its place.
    pub(super) instead: String,
}

/// All of `script`, of which `strict` says that it ends at the first command that fails.
pub(super) fn masked(script: &str, strict: bool) -> Vec<Masked> {
    let mut found = Vec::new();
    look(script, Options { errexit: strict, pipefail: strict }, DEEPEST, &mut found);
    found
}

fn look(script: &str, mut options: Options, depth: usize, found: &mut Vec<Masked>) {
    Looker { script, depth, found }.list(&parse(script), &mut options);
}

struct Looker<'a> {
    script: &'a str,
    depth: usize,
    found: &'a mut Vec<Masked>,
}

impl Looker<'_> {
    fn list(&mut self, list: &List, options: &mut Options) {
        list.iter().for_each(|item| self.item(item, options));
    }

    fn item(&mut self, item: &Item, options: &mut Options) {
        // Whoever writes `||` behind it knows that it may fail.
        let mut asked = item.rest.iter().map(|(or, _)| *or).collect::<Vec<_>>();
        asked.push(false);
        let all = std::iter::once(&item.first).chain(item.rest.iter().map(|(_, next)| next));
        for (at, pipeline) in all.enumerate() {
            let handled = asked[at..].contains(&true);
            if item.background {
                self.pipeline(pipeline, &mut options.clone(), handled);
            } else {
                self.pipeline(pipeline, options, handled);
            }
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline, options: &mut Options, handled: bool) {
        let handled = handled || pipeline.negated;
        match pipeline.commands.as_slice() {
            [command] => self.command(command, options, handled),
            commands => commands.iter().for_each(|command| self.command(command, &mut options.clone(), handled)),
        }
    }

    fn command(&mut self, command: &Command, options: &mut Options, handled: bool) {
        match &command.kind {
            Kind::Simple { words, documents, .. } => {
                let told = options.errexit && !handled && self.found.len() < MOST;
                if let Some(instead) = told.then(|| instead(words, options.pipefail)).flatten() {
                    let text = self.script.get(command.start..command.end).unwrap_or_default().to_owned();
                    let number = self.script.get(..command.start).unwrap_or_default().matches(&text).count();
                    self.found.push(Masked { text, number, instead });
                }
                self.given(words, documents, options);
            }
            Kind::Function(list) => self.list(list, &mut options.clone()),
            // Nothing within ends the script.
            _ if handled => {}
            Kind::Test => {}
            Kind::If { branches, .. } => branches.iter().for_each(|list| self.list(list, options)),
            Kind::Loop { body, .. } => self.list(body, options),
            Kind::Case(cases) => cases.iter().for_each(|list| self.list(list, options)),
            Kind::Group(list) => self.list(list, options),
            Kind::Subshell(list) => self.list(list, &mut options.clone()),
        }
    }

    /// Options that a command sets, and scripts that it gives to other shells.
    fn given(&mut self, words: &[Word], documents: &[String], options: &mut Options) {
        let words = without_assignments(words);
        let Some((first, rest)) = words.split_first() else { return };
        if first.text == "set" {
            options.take(rest);
        } else if self.depth > 0 {
            for (script, own) in given(words, documents) {
                look(script, own, self.depth - 1, self.found);
            }
        }
    }
}

/// What to write in place of a command that assigns what a `$(…)` says that may fail; `None` for others.
fn instead(words: &[Word], pipefail: bool) -> Option<String> {
    let (first, rest) = without_assignments(words).split_first()?;
    let name = first.text.as_str();
    if first.quoted || !ASSIGNING.contains(&name) {
        return None;
    }
    let fails = |word: &&Word| {
        let assigned = without_assignments(std::slice::from_ref(*word)).is_empty();
        assigned && word.commands.iter().any(|script| can_fail(&parse(script), pipefail, DEEPEST))
    };
    let word = rest.iter().find(fails)?;
    let variable = word.text.split(['=', '+', '[']).next().unwrap_or_default();
    let sign = if word.text[variable.len()..].starts_with('+') { "+=" } else { "=" };
    let value = format!("`{variable}{sign}$(…)`");
    let options: Vec<&str> = rest.iter().map(|word| word.text.as_str()).filter(|word| word.starts_with('-')).collect();
    let with = [&[name], options.as_slice()].concat().join(" ");
    let constant = options.iter().any(|option| option.contains('r'));
    Some(match name {
        "local" if constant => format!("`local {variable}`, {value} and `readonly {variable}`, on lines of their own"),
        "declare" | "local" | "typeset" if !constant => {
            format!("`{with} {variable}`, then {value} on a line of its own")
        }
        _ => format!("{value} on a line of its own, then `{with} {variable}`"),
    })
}

/// True if the script of a `$(…)` may end with a failure that it does not take care of; of those within, as many as
/// `depth` are looked at.
fn can_fail(list: &List, pipefail: bool, depth: usize) -> bool {
    list.iter().filter(|item| !item.background).any(|item| {
        let last = item.rest.last().map_or(&item.first, |(_, last)| last);
        let handled = item.rest.iter().any(|(or, _)| *or);
        let all = std::iter::once(&item.first).chain(item.rest.iter().map(|(_, next)| next));
        let fails = |one: &Pipeline| pipeline_fails(one, pipefail, depth);
        if handled { fails(last) } else { all.into_iter().any(fails) }
    })
}

fn pipeline_fails(pipeline: &Pipeline, pipefail: bool, depth: usize) -> bool {
    let from = if pipefail { 0 } else { pipeline.commands.len().saturating_sub(1) };
    !pipeline.negated && pipeline.commands[from..].iter().any(|command| command_fails(command, pipefail, depth))
}

fn command_fails(command: &Command, pipefail: bool, depth: usize) -> bool {
    let of = |list: &List| can_fail(list, pipefail, depth);
    match &command.kind {
        Kind::Simple { words, .. } => match without_assignments(words).first() {
            Some(first) => !is_harmless(&first.text) && !SAFE.contains(&first.text.as_str()),
            None => {
                let mut scripts = words.iter().flat_map(|word| &word.commands);
                depth > 0 && scripts.any(|script| can_fail(&parse(script), pipefail, depth - 1))
            }
        },
        Kind::Group(list) | Kind::Subshell(list) => of(list),
        Kind::If { branches, .. } => branches.iter().any(of),
        Kind::Loop { body, .. } => of(body),
        Kind::Case(cases) => cases.iter().any(of),
        Kind::Test | Kind::Function(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(script: &str, strict: bool) -> Vec<String> {
        masked(script, strict).into_iter().map(|one| one.text).collect()
    }

    #[test]
    fn a_value_that_cannot_be_had_is_no_failure() {
        for (script, text, instead) in [
            ("export Y=$(false)", "export Y=$(false)", "`Y=$(…)` on a line of its own, then `export Y`"),
            (
                "a\nexport A=1 Y=\"$(curl x)\" B\nb",
                "export A=1 Y=\"$(curl x)\" B",
                "`Y=$(…)` on a line of its own, then `export Y`",
            ),
            ("f() { local x=`make`; }", "local x=`make`", "`local x`, then `x=$(…)` on a line of its own"),
            (
                "f() { local -r x=$(a); }",
                "local -r x=$(a)",
                "`local x`, `x=$(…)` and `readonly x`, on lines of their own",
            ),
            ("readonly X=$(a; b)", "readonly X=$(a; b)", "`X=$(…)` on a line of its own, then `readonly X`"),
            ("declare -rx X=$(a)", "declare -rx X=$(a)", "`X=$(…)` on a line of its own, then `declare -rx X`"),
            ("declare -x X=\"`a`\"", "declare -x X=\"`a`\"", "`declare -x X`, then `X=$(…)` on a line of its own"),
            ("typeset X+=$(a)", "typeset X+=$(a)", "`typeset X`, then `X+=$(…)` on a line of its own"),
            ("export X=$(a) && make", "export X=$(a)", "`X=$(…)` on a line of its own, then `export X`"),
            ("if x; then export X=$(a); fi", "export X=$(a)", "`X=$(…)` on a line of its own, then `export X`"),
            ("export X=$(a | sort)", "export X=$(a | sort)", "`X=$(…)` on a line of its own, then `export X`"),
            ("(export X=$(a); b)", "export X=$(a)", "`X=$(…)` on a line of its own, then `export X`"),
        ] {
            let found = masked(script, true);
            assert_eq!(found.len(), 1, "{script}");
            assert_eq!((found[0].text.as_str(), found[0].instead.as_str()), (text, instead), "{script}");
        }
        for script in [
            "set -e\nexport X=$(a)",
            "set -euo pipefail; export X=$(a)",
            "bash -ec 'export X=$(a)'",
            "set -o errexit\nexport X=$(a)",
        ] {
            assert_eq!(texts(script, false), ["export X=$(a)"], "{script}");
        }
        assert_eq!(masked(&"export X=$(a)\n".repeat(99), true).len(), MOST);
        let again = masked("# export X=$(a)\nexport X=$(a)\nexport X=$(a)\n", true);
        assert_eq!(again.iter().map(|one| one.number).collect::<Vec<_>>(), [1, 2], "which one it is");
    }

    #[test]
    fn what_fails_where_it_should_is_nothing_to_tell() {
        for script in [
            "",
            "Y=$(false)\nexport Y",
            "export Y=1 Z=$HOME W=${X:-y}",
            "export Y='$(false)'",
            "export Y=\\$(false)",
            "export Y=$((1 + 2))",
            "export Y=$(a || true)",
            "export Y=$(a || echo none)",
            "export Y=$(pwd) D=$(dirname \"$0\") N=$(nproc) T=$(date +%s)",
            "export Y=$(echo a)",
            "export Y=$(echo a | echo b)",
            "export Y=$(a) || true",
            "export Y=$(a) || exit 1",
            "if export Y=$(a); then b; fi",
            "while export Y=$(a); do b; done",
            "! export Y=$(a)",
            "# export Y=$(false)",
            "make # export Y=$(false)",
            "echo export Y=$(false)",
            "echo 'export Y=$(false)' > x",
            "cat > x <<EOF\nexport Y=$(false)\nEOF",
            "cat > x <<'EOF'\nset -e\nexport Y=$(false)\nEOF",
            "env Y=$(false) make",
            "Y=$(false) make",
            "export Y=<(false)",
            "local x y; x=$(a)",
            "export -f f; export -p",
            "set +e\nexport Y=$(a)",
            "bash -c 'export Y=$(a)'",
            "{ export Y=$(a); } || true",
            "for x in a b; do export Y=$(a); done || true",
            "if x; then export Y=$(a); fi || exit 1",
            "'export' Y=$(a)",
        ] {
            assert_eq!(texts(script, true), Vec::<String>::new(), "{script}");
        }
        for script in [
            "export Y=$(a)",
            "(set -e; b)\nexport Y=$(a)",
            "export Y=$(a)\nset -e",
            "set -e\nexport Y=$(a | sort | echo)",
        ] {
            assert_eq!(texts(script, false), Vec::<String>::new(), "{script}");
        }
    }

    proptest! {
        #[test]
        fn no_script_is_too_odd(words in prop::collection::vec(
            prop::sample::select(vec![
                "a", "if", "then", "fi", "export", "X=$(a)", "local", "x=`", "(", ")", "\n", ";", "&", "&&", "|", "||",
                "<<E", "E", "'", "\"", "`", "$(", "${", "\\", "#", "set -e", "bash -ec", "ü", "x=$(", "=",
            ]), 0..40)) {
            let _ = masked(&words.join(" "), true);
            let _ = masked(&words.concat(), true);
        }
    }

    #[test]
    fn deep_ones_end() {
        for (open, close) in [("export X=$(", ")"), ("X=$(", ")"), ("(", ")"), ("export X=\"`", "`\"")] {
            let deep = format!("{}a{}", open.repeat(5_000), close.repeat(5_000));
            let _ = (masked(&deep, true), masked(&format!("export X=$({deep})"), true));
        }
    }
}
