//! Packages that tasks ask for and the base's archive does not have, told before apt fails for want of them.

use std::collections::BTreeSet;

use super::{Build, BuildError, Resolved};
use crate::op::{Command, Op, Step};
use crate::resolve::Other;

/// A package that the base's archive does not have, and another suite has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// Its name, as the task has it.
    pub package: String,
    /// The file of the task that wants it.
    pub file: String,
    /// The task's line there.
    pub line: usize,
    /// Who has it.
    pub other: Other,
}

impl Build<'_> {
    /// What tasks that the build will perform want in vain. Nothing is asked where the layers of all of them are there.
    pub fn lacking(&self, resolved: &mut Resolved) -> Result<Vec<Lacking>, BuildError> {
        let steps: Vec<&Step> = self.lowered.layers.iter().flat_map(|layer| &layer.steps).collect();
        if wanted(&steps).is_empty() {
            return Ok(Vec::new());
        }
        let plan = self.plan(&resolved.inputs, Some(&resolved.base))?;
        let there = |found: usize| plan.layers[..found].iter().map(|layer| layer.steps.len()).sum::<usize>();
        let steps: Vec<&Step> = plan.layers.iter().flat_map(|layer| &layer.steps).collect();
        let open = |found: usize| wanted(&steps).into_iter().any(|want| want.at >= there(found));
        let mut found = self.find(&plan)?.len();
        if open(found) && !self.resolver.team().from.is_empty() {
            // What the team has is not performed.
            self.bring(resolved, &plan)?;
            found = self.find(&plan)?.len();
        }
        Ok(self.looked(resolved, &steps, there(found)))
    }

    /// The same of all tasks whose packages are not pinned.
    pub fn lacking_to_lock(&self, resolved: &Resolved) -> Vec<Lacking> {
        let steps: Vec<&Step> = self.lowered.layers.iter().flat_map(|layer| &layer.steps).collect();
        self.looked(resolved, &steps, 0)
    }

    fn looked(&self, resolved: &Resolved, steps: &[&Step], from: usize) -> Vec<Lacking> {
        let wanted: Vec<Want<'_>> = wanted(steps).into_iter().filter(|want| want.at >= from).collect();
        let names: BTreeSet<String> = wanted.iter().map(|want| want.name.to_owned()).collect();
        if names.is_empty() {
            return Vec::new();
        }
        let others = self.resolver.other_suites(&self.lowered.base, &resolved.base, &names);
        let lacking = |want: Want<'_>| {
            let Step { file, line, .. } = steps[want.at];
            let other = others.get(want.name)?.clone();
            Some(Lacking { package: want.name.to_owned(), file: file.clone(), line: *line, other })
        };
        wanted.into_iter().filter_map(lacking).collect()
    }
}

/// A package that a task asks the base's archive for.
struct Want<'s> {
    name: &'s str,
    /// Which step.
    at: usize,
}

/// What the tasks in `steps` ask the base's archive for, up to the first that may bring another one. A task that may be
/// skipped asks for nothing, and who says an architecture or a suite may mean another index.
fn wanted<'s>(steps: &[&'s Step]) -> Vec<Want<'s>> {
    let mut wanted = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        if brings_sources(step) {
            break;
        }
        if step.guards.skip_if.is_some() || step.guards.creates.is_some() {
            continue;
        }
        for op in &step.ops {
            let Op::AptInstall { packages, locked: None, .. } = op else { continue };
            let plain = packages.iter().filter(|name| !name.contains([':', '/']));
            wanted.extend(plain.map(|name| Want { name: name.split('=').next().unwrap_or(name), at }));
        }
    }
    wanted
}

/// Where apt has its sources and what it does with them.
const ETC_APT: &str = "/etc/apt";
/// What commands say that may add a source of apt's, or run what does.
const ADDING: [&str; 12] = [
    ETC_APT,
    "sources.list",
    "apt-repository",
    "apt-key",
    "apt-add",
    "extrepo",
    "dpkg -i",
    "dpkg --install",
    ".deb",
    ".sh",
    "| bash",
    "| sh",
];

/// True for a step after which apt may have other archives than the base's.
fn brings_sources(step: &Step) -> bool {
    // A directory above as well: an archive may hold anything below it.
    let apt = |path: &str| {
        let path = path.trim_end_matches('/');
        path.starts_with(ETC_APT) || ETC_APT.starts_with(path) && ETC_APT[path.len()..].starts_with('/')
    };
    let says = |text: &str| ADDING.iter().any(|word| text.contains(word)) || runs_a_file(text);
    step.ops.iter().any(|op| match op {
        Op::WriteFile { path, .. } | Op::PlaceBlob { path, .. } | Op::PlaceRules { path, .. } => apt(path),
        Op::Copy { dest, .. } | Op::Unpack { dest, .. } => apt(dest),
        Op::AptInstall { debs, .. } => !debs.is_empty(),
        Op::Run { command: Command::Shell(text) | Command::Strict(text), .. } => says(text),
        Op::Run { command: Command::Argv(words), .. } => says(&words.join(" ")),
        _ => false,
    })
}

/// True if a word of the command is a file of the working directory: nobody knows what it does.
fn runs_a_file(text: &str) -> bool {
    text.split(|c: char| c.is_whitespace() || ";|&()".contains(c)).any(|word| word.starts_with("./"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{Archive, Guards, Source};

    fn step(ops: Vec<Op>) -> Step {
        Step { ops, ..Step::default() }
    }

    fn apt(packages: &[&str]) -> Step {
        let packages = packages.iter().map(|name| (*name).to_owned()).collect();
        step(vec![Op::AptInstall { packages, debs: Vec::new(), recommends: false, locked: None }])
    }

    fn run(text: &str) -> Step {
        let command = Command::Shell(text.to_owned());
        step(vec![Op::Run { command, user: None, env: std::collections::BTreeMap::new(), cwd: None }])
    }

    fn names(steps: &[Step]) -> String {
        wanted(&steps.iter().collect::<Vec<_>>()).iter().map(|want| want.name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn names_are_what_apt_looks_up_in_the_bases_own_index() {
        assert_eq!(names(&[apt(&["git", "jq=1.6-2.1", "libc6:armhf", "cmake/bookworm-backports"])]), "git jq");
        let skipped = |guards| Step { guards, ..apt(&["x"]) };
        let skip_if = Guards { skip_if: Some("true".into()), ..Guards::default() };
        let creates = Guards { creates: Some("/x".into()), ..Guards::default() };
        assert_eq!(names(&[skipped(skip_if), skipped(creates), apt(&["y"])]), "y");
        let mut locked = apt(&["x"]);
        let Op::AptInstall { locked: pins, .. } = &mut locked.ops[0] else { unreachable!() };
        *pins = Some(Vec::new());
        assert_eq!(names(&[locked, apt(&["y"])]), "y");
    }

    #[test]
    fn behind_a_source_of_the_blueprints_own_nothing_is_known() {
        let before = |step: Step| names(&[apt(&["a"]), step, apt(&["b"])]);
        for text in [
            "echo deb http://a.example/x y main > /etc/apt/sources.list.d/x.list",
            "add-apt-repository -y ppa:a/b",
            "curl -fsS https://a.example/setup | bash -",
            "./setup",
            "cd /src && ./install --all",
            "bash /opt/llvm.sh 18",
            "dpkg -i /tmp/x",
        ] {
            assert_eq!(before(run(text)), "a", "{text}");
        }
        for text in ["locale-gen en_US.UTF-8", "useradd -m dev", "apt-get clean"] {
            assert_eq!(before(run(text)), "a b", "{text}");
        }
        let write = |path: &str| step(vec![Op::WriteFile { path: path.into(), content: Vec::new() }]);
        assert_eq!(before(write("/etc/apt/sources.list.d/x.sources")), "a");
        assert_eq!(before(write("/etc/profile.d/x.sh")), "a b");
        let source = || Source::Local { path: "x".into() };
        let unpack = |dest: &str| {
            let archive = Archive::Source(source());
            step(vec![Op::Unpack { archive, dest: dest.into(), strip: 0 }])
        };
        assert_eq!(
            (before(unpack("/")), before(unpack("/etc")), before(unpack("/opt/x"))),
            ("a".into(), "a".into(), "a b".into())
        );
        let debs = vec![source()];
        let vendor = step(vec![Op::AptInstall { packages: Vec::new(), debs, recommends: false, locked: None }]);
        assert_eq!(before(vendor), "a");
    }
}
