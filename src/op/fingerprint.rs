//! The canonical encoding of ops, and its hash.
//!
//! Every value is written with its kind and its length, so that no two different steps share an encoding. What is
//! hashed: guards and ops, all fields; a source by its digest, never by the URL or path it came from. What is not:
//! the task's name, its file and line, the values of secrets.

use std::collections::BTreeMap;

use layers::digest::{Digest, Hasher};
use serde::{Deserialize, Serialize};

use super::{Archive, Command, Guards, Mode, Network, Op, Owner, Source, Step};

/// Raised when the encoding, or what an op does, changes: older layers are then no longer found.
const VERSION: u64 = 1;

/// What a step does, as a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub Digest);

impl Fingerprint {
    /// The fingerprint of `step`; `digests` has what every source holds. `None` if a digest is missing.
    pub fn of(step: &Step, digests: &BTreeMap<Source, Digest>) -> Option<Self> {
        let mut encoder = Encoder { hasher: Hasher::new(), digests, complete: true };
        encoder.number(VERSION);
        encoder.guards(&step.guards);
        // A look changes nothing.
        let changes = || step.ops.iter().filter(|op| !matches!(op, Op::Expect { .. }));
        encoder.number(changes().count() as u64);
        for op in changes() {
            encoder.op(op);
        }
        if !step.env.is_empty() {
            encoder.text("env");
            encoder.number(step.env.len() as u64);
            for (name, value) in &step.env {
                encoder.text(name);
                encoder.text(value);
            }
        }
        // Only where a task says so: those that say nothing keep the encoding they have always had.
        if step.network == Some(Network::None) {
            encoder.text("no-network");
        }
        if step.ssh {
            encoder.text("ssh");
        }
        encoder.complete.then(|| Self(encoder.hasher.finish()))
    }
}

struct Encoder<'a> {
    hasher: Hasher,
    digests: &'a BTreeMap<Source, Digest>,
    complete: bool,
}

impl Encoder<'_> {
    fn number(&mut self, number: u64) {
        self.hasher.update(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.hasher.update(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn flag(&mut self, flag: bool) {
        self.number(u64::from(flag));
    }

    fn optional(&mut self, text: Option<&str>) {
        self.flag(text.is_some());
        self.text(text.unwrap_or_default());
    }

    fn list<'s>(&mut self, texts: impl ExactSizeIterator<Item = &'s String>) {
        self.number(texts.len() as u64);
        texts.for_each(|text| self.text(text));
    }

    fn pairs(&mut self, pairs: &BTreeMap<String, String>) {
        self.number(pairs.len() as u64);
        for (name, value) in pairs {
            self.text(name);
            self.text(value);
        }
    }

    fn guards(&mut self, guards: &Guards) {
        let Guards { skip_if, strict, env, always_run, creates } = guards;
        match skip_if {
            Some(condition) if *strict => {
                self.number(3);
                self.text(condition);
                self.pairs(env);
            }
            // A kind of its own: conditions without variables keep the encoding they have always had.
            Some(condition) if !env.is_empty() => {
                self.number(2);
                self.text(condition);
                self.pairs(env);
            }
            _ => self.optional(skip_if.as_deref()),
        }
        self.flag(*always_run);
        self.optional(creates.as_deref());
    }

    fn op(&mut self, op: &Op) {
        match op {
            Op::MakeDir { path } => {
                self.text("make-dir");
                self.text(path);
            }
            Op::WriteFile { path, content } => {
                self.text("write-file");
                self.text(path);
                self.bytes(content);
            }
            Op::PlaceBlob { source, path } => {
                self.text("place-blob");
                self.source(source);
                self.text(path);
            }
            Op::Unpack { archive, dest, strip } => {
                // Of the second way: directories that an archive leaves out have the time of the build.
                self.text("unpack-2");
                match archive {
                    Archive::Source(source) => self.source(source),
                    Archive::InTarget(path) => {
                        self.text("in-target");
                        self.text(path);
                    }
                }
                self.text(dest);
                self.number(u64::from(*strip));
            }
            Op::Copy { source, dest, into } => {
                self.text("copy");
                self.source(source);
                self.text(dest);
                self.flag(*into);
                // Of a file, its name is part of what is done; of a directory it makes no difference.
                let name = match source {
                    Source::Tree { path, .. } if *into => path.rsplit('/').next(),
                    _ => None,
                };
                self.optional(name);
            }
            Op::SetAttributes { path, owner, mode, recursive } => {
                self.text("set-attributes");
                self.text(path);
                self.owner(owner.as_ref());
                self.mode(mode.as_ref());
                self.flag(*recursive);
            }
            Op::AptInstall { packages, debs: own, recommends, locked } => {
                self.text("apt-install");
                self.list(packages.iter());
                self.flag(*recommends);
                if !own.is_empty() {
                    self.text("debs");
                    self.number(own.len() as u64);
                    own.iter().for_each(|source| self.source(source));
                }
                // What is not locked keeps the encoding it has always had.
                if let Some(debs) = locked {
                    self.text("locked");
                    self.number(debs.len() as u64);
                    debs.iter().for_each(|deb| self.source(&deb.source));
                }
            }
            Op::Lend { files, network } => {
                self.text("lend");
                self.flag(*network);
                self.number(files.len() as u64);
                for file in files {
                    self.text(&file.name);
                    self.source(&file.source);
                }
            }
            Op::Run { command, user, env, cwd } => {
                self.text("run");
                self.command(command);
                self.optional(user.as_deref());
                self.pairs(env);
                self.optional(cwd.as_deref());
            }
            Op::PlaceRules { source, path } => {
                self.text("place-rules");
                self.source(source);
                self.text(path);
            }
            Op::ReloadUdev => self.text("reload-udev"),
            Op::RegisterBinfmt { architecture, interpreter } => {
                self.text("register-binfmt");
                self.text(architecture);
                self.text(interpreter);
            }
            Op::Expect { .. } => {}
            Op::Remove { path } => {
                self.text("remove");
                self.text(path);
            }
            Op::EnsureUser { name, uid } => {
                self.text("ensure-user");
                self.text(name);
                self.number(u64::from(*uid));
            }
            Op::EnsureGroup { name } => {
                self.text("ensure-group");
                self.text(name);
            }
        }
    }

    fn source(&mut self, source: &Source) {
        self.text("source");
        match self.digests.get(source) {
            Some(digest) => self.bytes(digest.as_bytes()),
            None => self.complete = false,
        }
    }

    fn owner(&mut self, owner: Option<&Owner>) {
        self.flag(owner.is_some());
        if let Some(Owner { user, group }) = owner {
            self.text(user);
            self.optional(group.as_deref());
        }
    }

    fn mode(&mut self, mode: Option<&Mode>) {
        match mode {
            None => self.text("none"),
            Some(Mode::Octal(bits)) => {
                self.text("octal");
                self.number(u64::from(*bits));
            }
            Some(Mode::Symbolic(text)) => {
                self.text("symbolic");
                self.text(text);
            }
        }
    }

    fn command(&mut self, command: &Command) {
        match command {
            Command::Shell(text) => {
                self.text("shell");
                self.text(text);
            }
            Command::Strict(text) => {
                self.text("strict");
                self.text(text);
            }
            Command::Argv(words) => {
                self.text("argv");
                self.list(words.iter());
            }
        }
    }
}

#[cfg(test)]
mod golden;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Deb;

    fn step(ops: Vec<Op>) -> Step {
        Step { name: "n".into(), action: "a".into(), file: "f.yml".into(), line: 1, ops, ..Step::default() }
    }

    fn of(ops: Vec<Op>) -> String {
        Fingerprint::of(&step(ops), &BTreeMap::new()).unwrap().0.hex()
    }

    fn run(words: &[&str]) -> Vec<Op> {
        let command = Command::Argv(words.iter().map(|word| (*word).to_owned()).collect());
        vec![Op::Run { command, user: None, env: BTreeMap::new(), cwd: None }]
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(of(run(&["ab", "c"])), of(run(&["a", "bc"])));
        assert_ne!(of(run(&["a", "b"])), of(run(&["a b"])));
        let dir = |path: &str| Op::MakeDir { path: path.into() };
        assert_ne!(of(vec![dir("/a"), dir("/b")]), of(vec![dir("/b"), dir("/a")]));
    }

    #[test]
    fn a_login_counts_and_only_where_it_is_asked_for() {
        let with = |ssh| Step { ssh, ..step(run(&["a"])) };
        let of = |step: &Step| Fingerprint::of(step, &BTreeMap::new()).unwrap();
        assert_ne!(of(&with(true)), of(&with(false)));
        assert_eq!(of(&with(false)).0.hex(), self::of(run(&["a"])));
    }

    #[test]
    fn a_source_counts_by_what_it_holds() {
        let place = |url: &str| {
            let source = Source::Url { url: url.into(), sha256: None };
            let digests = BTreeMap::from([(source.clone(), Digest::of("content"))]);
            Fingerprint::of(&step(vec![Op::PlaceBlob { source, path: "/x".into() }]), &digests).unwrap()
        };
        assert_eq!(place("https://a.example/x"), place("https://b.example/x"));
        let unknown = Source::Local { path: "x".into() };
        let ops = vec![Op::PlaceBlob { source: unknown, path: "/x".into() }];
        assert!(Fingerprint::of(&step(ops), &BTreeMap::new()).is_none());
    }

    #[test]
    fn locked_packages_count_by_what_they_hold() {
        let deb = |text: &str| {
            let source = Source::Url { url: format!("http://a.example/{text}"), sha256: Some(Digest::of(text)) };
            Deb { package: "p".into(), version: "1".into(), architecture: "all".into(), source, size: 1 }
        };
        let of = |locked: Option<Vec<Deb>>| {
            let sources = locked.iter().flatten().map(|deb| deb.source.clone());
            let digests = sources.map(|source| match &source {
                Source::Url { sha256: Some(digest), .. } => (source.clone(), *digest),
                _ => panic!("a package without a pin"),
            });
            let digests = digests.collect();
            let op = Op::AptInstall { packages: vec!["p".into()], debs: Vec::new(), recommends: false, locked };
            Fingerprint::of(&step(vec![op]), &digests).unwrap()
        };
        let (free, none, one) = (of(None), of(Some(Vec::new())), of(Some(vec![deb("a")])));
        let (other, both) = (of(Some(vec![deb("b")])), of(Some(vec![deb("a"), deb("b")])));
        let all = std::collections::BTreeSet::from([free, none, one, other, both]);
        assert_eq!(all.len(), 5);
    }

    #[test]
    fn lent_files_count_by_name_and_content() {
        let of = |name: &str, text: &str, network: bool| {
            let source = Source::Url { url: "https://a.example/x".into(), sha256: Some(Digest::of(text)) };
            let digests = BTreeMap::from([(source.clone(), Digest::of(text))]);
            let files = vec![crate::op::LentFile { name: name.into(), source, size: 1 }];
            Fingerprint::of(&step(vec![Op::Lend { files, network }]), &digests).unwrap()
        };
        let all = [of("a", "x", false), of("b", "x", false), of("a", "y", false), of("a", "x", true)];
        assert_eq!(std::collections::BTreeSet::from(all).len(), 4);
    }

    #[test]
    fn a_network_counts_where_a_task_does_without() {
        let of = |network, offline| {
            let step = Step { network, offline, ..step(run(&["true"])) };
            Fingerprint::of(&step, &BTreeMap::new())
        };
        assert_eq!(of(None, false), of(None, true), "what the command line says is no part of the task");
        assert_eq!(of(None, false), of(Some(Network::Host), false));
        assert_ne!(of(None, false), of(Some(Network::None), true));
    }

    #[test]
    fn variables_count_in_their_order() {
        let of = |env: &[(&str, &str)]| {
            let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            Fingerprint::of(&Step { env, ..step(run(&["true"])) }, &BTreeMap::new())
        };
        let all = [
            of(&[]),
            of(&[("A", "1")]),
            of(&[("A", "2")]),
            of(&[("A", "1"), ("B", "$A")]),
            of(&[("B", "$A"), ("A", "1")]),
        ];
        assert_eq!(std::collections::BTreeSet::from(all).len(), 5);
    }

    #[test]
    fn names_and_places_do_not_count() {
        let one = step(run(&["true"]));
        let other = Step { name: "other".into(), file: "g.yml".into(), line: 9, ..one.clone() };
        let digests = BTreeMap::new();
        assert_eq!(Fingerprint::of(&one, &digests), Fingerprint::of(&other, &digests));
    }
}
