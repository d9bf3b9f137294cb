//! The encoding is a promise: a change here makes every cached layer of every user unreachable. Whoever means that raises
//! `VERSION`, and writes down what comes out then.

use std::collections::BTreeMap;

use layers::digest::Digest;

use super::Fingerprint;
use crate::op::{Archive, Command, Deb, Guards, LentFile, Mode, Network, Op, Owner, Source, Step};

/// The name of an op; a new one wants a line in the table.
fn name(op: &Op) -> &'static str {
    match op {
        Op::MakeDir { .. } => "make-dir",
        Op::WriteFile { .. } => "write-file",
        Op::PlaceBlob { .. } => "place-blob",
        Op::Unpack { .. } => "unpack",
        Op::Copy { .. } => "copy",
        Op::SetAttributes { .. } => "set-attributes",
        Op::AptInstall { .. } => "apt-install",
        Op::Lend { .. } => "lend",
        Op::Run { .. } => "run",
        Op::PlaceRules { .. } => "place-rules",
        Op::ReloadUdev => "reload-udev",
        Op::RegisterBinfmt { .. } => "register-binfmt",
        Op::Remove { .. } => "remove",
        Op::Expect { .. } => "expect",
        Op::EnsureUser { .. } => "ensure-user",
        Op::EnsureGroup { .. } => "ensure-group",
    }
}

fn source() -> Source {
    Source::Local { path: "x.tar".into() }
}

/// Each op, with values in all its fields.
fn ops() -> Vec<Op> {
    let text = str::to_owned;
    let pairs = || BTreeMap::from([(text("A"), text("1")), (text("B"), text("2"))]);
    let deb = Deb { package: text("p"), version: text("1"), architecture: text("all"), source: source(), size: 9 };
    let run = |command| Op::Run { command, user: Some(text("dev")), env: pairs(), cwd: Some(text("/srv")) };
    vec![
        Op::MakeDir { path: text("/a") },
        Op::WriteFile { path: text("/a"), content: b"b".to_vec() },
        Op::PlaceBlob { source: source(), path: text("/a") },
        Op::Unpack { archive: Archive::Source(source()), dest: text("/a"), strip: 1 },
        Op::Unpack { archive: Archive::InTarget(text("/b")), dest: text("/a"), strip: 0 },
        Op::Copy { source: source(), dest: text("/a"), into: true },
        Op::SetAttributes {
            path: text("/a"),
            owner: Some(Owner { user: text("dev"), group: Some(text("team")) }),
            mode: Some(Mode::Octal(0o750)),
            recursive: true,
        },
        Op::SetAttributes { path: text("/a"), owner: None, mode: Some(Mode::Symbolic(text("u+x"))), recursive: false },
        Op::AptInstall { packages: vec![text("p")], debs: vec![source()], recommends: true, locked: None },
        Op::AptInstall { packages: vec![text("p")], debs: Vec::new(), recommends: false, locked: Some(vec![deb]) },
        Op::Lend { files: vec![LentFile { name: text("f"), source: source(), size: 9 }], network: true },
        run(Command::Shell(text("a"))),
        run(Command::Strict(text("a"))),
        run(Command::Argv(vec![text("a"), text("b")])),
        Op::PlaceRules { source: source(), path: text("/a") },
        Op::ReloadUdev,
        Op::RegisterBinfmt { architecture: text("aarch64"), interpreter: text("/i") },
        Op::Remove { path: text("/a") },
        Op::Expect { path: text("/a") },
        Op::EnsureUser { name: text("dev"), uid: 1000 },
        Op::EnsureGroup { name: text("team") },
    ]
}

fn fingerprint(step: &Step) -> String {
    let digests = BTreeMap::from([(source(), Digest::of("content"))]);
    Fingerprint::of(step, &digests).unwrap().0.hex()
}

fn of(ops: Vec<Op>) -> Step {
    Step { name: "n".into(), action: "a".into(), file: "f.yml".into(), line: 1, ops, ..Step::default() }
}

#[test]
fn every_op_has_the_fingerprint_that_it_has_always_had() {
    let found: String = ops().into_iter().map(|op| format!("{} {}\n", name(&op), fingerprint(&of(vec![op])))).collect();
    assert_eq!(found, include_str!("golden.txt"), "{found}");
    let all: std::collections::BTreeSet<&str> = found.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(all.len(), 16, "each op has a line");
}

#[test]
fn what_stands_beside_the_ops_has_the_fingerprint_that_it_has_always_had() {
    let pairs = || BTreeMap::from([("A".to_owned(), "1".to_owned())]);
    let ops = || vec![Op::MakeDir { path: "/a".into() }];
    let guards = |guards| Step { guards, ..of(ops()) };
    let steps = [
        ("skip-if", guards(Guards { skip_if: Some("test".into()), ..Guards::default() })),
        ("skip-if-env", guards(Guards { skip_if: Some("test".into()), env: pairs(), ..Guards::default() })),
        (
            "skip-if-strict",
            guards(Guards { skip_if: Some("test".into()), strict: true, env: pairs(), ..Guards::default() }),
        ),
        ("always-run", guards(Guards { always_run: true, ..Guards::default() })),
        ("creates", guards(Guards { creates: Some("/a".into()), ..Guards::default() })),
        ("env", Step { env: pairs().into_iter().collect(), ..of(ops()) }),
        ("network", Step { network: Some(Network::None), ..of(ops()) }),
        ("ssh", Step { ssh: true, ..of(ops()) }),
    ];
    let found: String = steps.iter().map(|(name, step)| format!("{name} {}\n", fingerprint(step))).collect();
    assert_eq!(found, include_str!("golden-steps.txt"), "{found}");
}
