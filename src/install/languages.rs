//! What packages of languages have on a host, as their own programs write it down: pip in `RECORD` ("Recording installed
//! projects", PyPA specifications), npm by the package's directory and links to it (npm docs, "folders"), cargo in
//! `.crates2.json`. What is compiled of it later, and lists that others change as well, are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use layers::root::{FileKind, Root};
use serde::Deserialize;

use crate::op::{Language, Op, Step};
use crate::target::{Accounts, head, in_root};

/// Bytes of a list that is read.
const LIMIT: u64 = 32 << 20;
/// Files of one task; more are no longer followed.
const MOST: usize = 200_000;
/// Directories in each other.
const DEEPEST: usize = 64;
/// Where programs install for everybody.
const EVERYBODY: [&str; 2] = ["usr/local", "usr"];
/// Ends and directories of what Python compiles when it pleases.
const COMPILED: (&str, &str) = (".pyc", "__pycache__");

/// Paths of the packages that `step` has installed, relative to the root; none for other steps.
pub fn of(root: &Root, accounts: &Accounts, step: &Step) -> Vec<PathBuf> {
    let Some(wanted) = &step.wanted else { return Vec::new() };
    let mut names: BTreeSet<String> = wanted.asked.iter().map(|asked| wanted.language.bare(asked).to_owned()).collect();
    if wanted.language == Language::Python {
        names.extend(lent(step));
        names = names.iter().map(|name| wanted.language.normal(name)).collect();
    }
    let users = step.ops.iter().filter_map(|op| if let Op::Run { user, .. } = op { user.as_deref() } else { None });
    let users: BTreeSet<&str> = users.chain(["root"]).collect();
    let homes =
        users.iter().filter_map(|user| accounts.user(user).ok()).map(|account| in_root(Path::new(&account.home)));
    let own = if wanted.language == Language::Rust { ".cargo" } else { ".local" };
    let places: Vec<PathBuf> = EVERYBODY.iter().map(PathBuf::from).chain(homes.map(|home| home.join(own))).collect();
    let mut found = Found { root, paths: Vec::new() };
    for place in places {
        match wanted.language {
            Language::Python => found.python(&place, &names),
            Language::Npm => names.iter().for_each(|name| found.npm(&place, name)),
            Language::Rust => found.rust(&place, &names),
        }
    }
    found.paths
}

/// Names of packages whose files `step` is lent (PEP 427, PEP 625).
fn lent(step: &Step) -> impl Iterator<Item = String> {
    let files = step.ops.iter().flat_map(|op| if let Op::Lend { files, .. } = op { files.as_slice() } else { &[] });
    files.filter_map(|file| file.name.split('-').next().map(str::to_owned))
}

#[derive(Deserialize)]
struct Installed {
    #[serde(default)]
    installs: BTreeMap<String, Crate>,
}

#[derive(Deserialize)]
struct Crate {
    #[serde(default)]
    bins: Vec<String>,
}

struct Found<'a> {
    root: &'a Root,
    paths: Vec<PathBuf>,
}

impl Found<'_> {
    fn names(&self, path: &Path) -> Vec<String> {
        let names = self.root.directory(path).and_then(|directory| directory.names()).unwrap_or_default();
        names.into_iter().filter_map(|name| name.into_string().ok()).collect()
    }

    fn python(&mut self, place: &Path, names: &BTreeSet<String>) {
        let lib = place.join("lib");
        for python in self.names(&lib).into_iter().filter(|name| name.starts_with("python3")) {
            for kind in ["dist-packages", "site-packages"] {
                let packages = lib.join(&python).join(kind);
                for about in self.names(&packages) {
                    let name = about.strip_suffix(".dist-info").and_then(|name| name.rsplit_once('-'));
                    if name.is_some_and(|(name, _)| names.contains(&Language::Python.normal(name))) {
                        self.recorded(place, &packages, &about);
                    }
                }
            }
        }
    }

    /// The files below `place` that pip says a package has: `PATH,HASH,SIZE` on each line, the path in quotes where it needs
    /// them. What a list says of other places is nothing of the package's.
    fn recorded(&mut self, place: &Path, packages: &Path, about: &str) {
        let record = packages.join(about).join("RECORD");
        for line in head(self.root, &record, LIMIT).unwrap_or_default().lines() {
            let path = match line.strip_prefix('"') {
                Some(quoted) => quoted.split('"').next().unwrap_or_default(),
                None => line.split(',').next().unwrap_or_default(),
            };
            let path = in_root(&packages.join(path));
            let compiled = path.extension().is_some_and(|end| end == &COMPILED.0[1..]);
            if !compiled && path.starts_with(place) && !path.components().any(|part| part.as_os_str() == COMPILED.1) {
                self.take(path);
            }
        }
    }

    fn npm(&mut self, place: &Path, name: &str) {
        let own = place.join("lib/node_modules").join(name);
        if self.root.directory(&own).is_err() {
            return;
        }
        self.tree(&own, DEEPEST);
        let programs = place.join("bin");
        for program in self.names(&programs) {
            let link = programs.join(program);
            if self.root.read_link(&link).is_ok_and(|to| in_root(&programs.join(to)).starts_with(&own)) {
                self.take(link);
            }
        }
    }

    fn tree(&mut self, place: &Path, depth: usize) {
        self.take(place.to_owned());
        let Ok(directory) = self.root.directory(place) else { return };
        for name in directory.names().unwrap_or_default() {
            let path = place.join(&name);
            match directory.metadata(&name) {
                Ok(found) if found.kind == FileKind::Directory && depth > 0 => self.tree(&path, depth - 1),
                Ok(_) => self.take(path),
                Err(_) => {}
            }
        }
    }

    fn rust(&mut self, place: &Path, names: &BTreeSet<String>) {
        let listed = head(self.root, &place.join(".crates2.json"), LIMIT).unwrap_or_default();
        let Ok(Installed { installs }) = serde_json::from_str(&listed) else { return };
        let of = |asked: &str| names.contains(asked.split(' ').next().unwrap_or_default());
        for program in installs.iter().filter(|(asked, _)| of(asked)).flat_map(|(_, one)| &one.bins) {
            if !program.contains('/') {
                self.take(place.join("bin").join(program));
            }
        }
    }

    fn take(&mut self, path: PathBuf) {
        if self.paths.len() < MOST && self.root.metadata(&path).is_ok() {
            self.paths.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{Pinned, Wanted};

    fn paths(
        language: Language,
        asked: &str,
        user: Option<&str>,
        files: &[(&str, &str)],
        links: &[(&str, &str)],
    ) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        for (path, to) in links {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(to, path).unwrap();
        }
        let accounts = Accounts::parse("dev:x:1000:1000::/home/dev:/bin/sh\n", "");
        let run = Op::Run {
            command: crate::op::Command::Argv(vec!["x".into()]),
            user: user.map(str::to_owned),
            env: BTreeMap::new(),
            cwd: None,
        };
        let wanted =
            Wanted { language, asked: vec![asked.to_owned()], ask: Vec::new(), pinned: Vec::new(), locked: Pinned::No };
        let step = Step { wanted: Some(Box::new(wanted)), ops: vec![run], ..Step::default() };
        let root = Root::open(directory.path()).unwrap();
        of(&root, &accounts, &step).into_iter().map(|path| path.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn what_pip_records_is_followed_and_what_python_compiles_is_not() {
        let info = "usr/local/lib/python3.11/dist-packages/My_Tool-1.0.dist-info/RECORD";
        let record = "my_tool/__init__.py,sha256=x,1\nmy_tool/__pycache__/x.cpython-311.pyc,,\n../../../bin/my-tool,sha256=y,2\n\
                      \"odd, name\",,\n../../../../../../etc/shadow,,\ngone,,\nMy_Tool-1.0.dist-info/RECORD,,\n";
        let at = "usr/local/lib/python3.11/dist-packages";
        let found = paths(
            Language::Python,
            "my.tool==1.0",
            None,
            &[
                (info, record),
                (&format!("{at}/my_tool/__init__.py"), ""),
                (&format!("{at}/my_tool/__pycache__/x.cpython-311.pyc"), ""),
                (&format!("{at}/odd, name"), ""),
                (&format!("{at}/other/__init__.py"), ""),
                ("etc/shadow", ""),
                ("usr/local/bin/my-tool", ""),
            ],
            &[],
        );
        assert_eq!(
            found,
            [
                format!("{at}/my_tool/__init__.py"),
                "usr/local/bin/my-tool".into(),
                format!("{at}/odd, name"),
                info.into()
            ]
        );
    }

    #[test]
    fn a_package_of_npm_is_its_directory_and_the_links_to_it() {
        let at = "home/dev/.local/lib/node_modules/@s/a";
        let found = paths(
            Language::Npm,
            "@s/a@1.0.0",
            Some("dev"),
            &[
                (&format!("{at}/node_modules/b/x.js"), ""),
                (&format!("{at}/cli.js"), ""),
                ("home/dev/.local/lib/node_modules/c/x", ""),
            ],
            &[
                ("home/dev/.local/bin/a", "../lib/node_modules/@s/a/cli.js"),
                ("home/dev/.local/bin/c", "../lib/node_modules/c/x"),
            ],
        );
        let expected = [
            at,
            &format!("{at}/cli.js"),
            &format!("{at}/node_modules"),
            &format!("{at}/node_modules/b"),
            &format!("{at}/node_modules/b/x.js"),
            "home/dev/.local/bin/a",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn programs_of_a_crate_are_those_that_cargo_lists() {
        let list = "{\"installs\": {\"rg 1.0.0 (registry+x)\": {\"bins\": [\"rg\", \"../../etc/passwd\"]}, \"other 1.0.0 (x)\": {\"bins\": [\"other\"]}}}";
        let files = [("usr/local/.crates2.json", list), ("usr/local/bin/rg", ""), ("usr/local/bin/other", "")];
        assert_eq!(paths(Language::Rust, "rg@1.0.0", None, &files, &[]), ["usr/local/bin/rg"]);
        assert!(paths(Language::Rust, "rg@1.0.0", None, &[("usr/local/.crates2.json", "x")], &[]).is_empty());
    }
}
