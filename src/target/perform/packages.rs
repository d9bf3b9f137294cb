//! Installing packages: those the archive has today, or those that were pinned, with nobody to ask.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Performer;
use crate::op::{DEFAULT_PATH, Deb, LentFile, Source};
use crate::target::apt::{Archived, Closure, LocalDeb, Status, Use};
use crate::target::{TargetError, apt};

/// Below `/run/alloy` in the sandbox: pinned packages while they are installed.
const DEBS: &str = "debs";
/// The same, of packages of a language.
pub(super) const LENT: &str = "packages";
/// What apt prints of a thousand packages is a tenth of it.
const MOST_PRINTED: usize = 4 << 20;

/// Packages of no archive that are to be installed.
#[derive(Default)]
struct Missing {
    /// Their names and places.
    files: Vec<(String, PathBuf)>,
    /// True if another one of the same name and version is installed.
    again: bool,
}

impl Missing {
    /// True if one of them is that package, by the name of its file.
    fn has(&self, name: &str) -> bool {
        self.files.iter().any(|(own, _)| own == name)
    }
}

/// `path`, and behind it what it lacks of the usual directories.
fn with_usual(path: &str) -> String {
    let known: Vec<&str> = path.split(':').filter(|directory| !directory.is_empty()).collect();
    let missing = DEFAULT_PATH.split(':').filter(|directory| !known.contains(directory));
    known.iter().copied().chain(missing).collect::<Vec<_>>().join(":")
}

impl Performer<'_> {
    /// Runs a program that no task names: it is found where it usually is, whatever `PATH` the image has.
    pub(super) fn as_root(&mut self, argv: &[String]) -> Result<i32, TargetError> {
        let root = self.accounts()?.user("root")?;
        let own = self.assigned(&root)?.remove("PATH");
        let path = own.or_else(|| self.site.environment(&root).remove("PATH")).unwrap_or_default();
        self.run(argv, &root, &BTreeMap::from([("PATH".to_owned(), with_usual(&path))]), None)
    }

    fn read(&self, path: &str) -> String {
        let bytes = self.root().read(Path::new(path), 256 << 20).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Installs what is missing of `packages` and `debs`.
    pub(super) fn install(
        &mut self,
        packages: &[String],
        debs: &[Source],
        recommends: bool,
    ) -> Result<i32, TargetError> {
        let status = self.read(apt::STATUS);
        let has = Status::read(&status);
        let (missing, local) = (has.missing(packages), self.missing_debs(&has, debs)?);
        let all_there = missing.is_empty() && local.files.is_empty();
        if all_there && !(packages.is_empty() && debs.is_empty()) {
            return Ok(0);
        }
        let exit = self.fresh_index()?;
        if exit != 0 || all_there {
            return Ok(exit);
        }
        self.with_debs(&local.files, |this, names| {
            let wanted: Vec<&str> = missing.iter().copied().chain(names.iter().map(String::as_str)).collect();
            let archives = this.archives(&wanted, recommends, local.again)?;
            this.site.lend_archives(&archives)?;
            let exit = this.apt_get(&apt::install_command(&wanted, recommends, local.again), false)?;
            this.site.keep_archives(&archives)?;
            Ok(exit)
        })
    }

    /// Runs `command`, by which apt installs packages, `offline` or not. On a host that is somebody's, nothing that is
    /// installed goes for them; in an image, it is told.
    fn apt_get(&mut self, command: &[String], offline: bool) -> Result<i32, TargetError> {
        let run = |this: &mut Self, command: &[String]| match offline {
            true => this.offline(command),
            false => this.as_root(command),
        };
        if self.site.keeps_packages() {
            let exit = run(self, &apt::keeping(command))?;
            let packages = if exit == 0 { Vec::new() } else { self.would_remove(command)? };
            return if packages.is_empty() { Ok(exit) } else { Err(TargetError::Removes { packages }) };
        }
        let before = self.read(apt::STATUS);
        let exit = run(self, command)?;
        if exit == 0 {
            let gone = Status::read(&before).gone(&Status::read(&self.read(apt::STATUS)));
            if !gone.is_empty() {
                self.warnings.push(format!("apt has removed {} for what it was to install", gone.join(", ")));
            }
        }
        Ok(exit)
    }

    /// What apt would remove for what `command` installs; nothing if it does not say.
    fn would_remove(&mut self, command: &[String]) -> Result<Vec<String>, TargetError> {
        let (exit, printed) = self.printed(&apt::simulated(command))?;
        Ok(if exit == 0 { apt::removed(&printed) } else { Vec::new() })
    }

    /// Those of `debs` that are not what is installed.
    fn missing_debs(&self, has: &Status<'_>, debs: &[Source]) -> Result<Missing, TargetError> {
        let mut missing = Missing::default();
        let mut named: Vec<LocalDeb> = Vec::new();
        // One that is named twice is one.
        let debs = debs.iter().enumerate().filter(|(at, source)| !debs[..*at].contains(source));
        for (_, source) in debs {
            let path = self.file(source)?;
            let deb = LocalDeb::read(source, &path)?;
            deb.fits(has, &self.read(apt::ARCHITECTURES))?;
            named.iter().try_for_each(|other| deb.beside(other))?;
            if !deb.is_installed(self.root(), has) {
                missing.again |= deb.has_namesake(has);
                missing.files.push((deb.file_name(), path));
            }
            named.push(deb);
        }
        Ok(missing)
    }

    /// Lends packages to `run`, which gets their names.
    fn with_debs<T>(
        &mut self,
        files: &[(String, PathBuf)],
        run: impl FnOnce(&mut Self, &[String]) -> Result<T, TargetError>,
    ) -> Result<T, TargetError> {
        if files.is_empty() {
            return run(self, &[]);
        }
        let lent = self.site.lend(DEBS, files)?;
        let names: Vec<String> = files.iter().map(|(name, _)| format!("{}/{name}", lent.display())).collect();
        let done = run(self, &names);
        self.site.take_back(DEBS)?;
        done
    }

    /// What apt is going to need, where that is kept. If it does not say, the installation tells why.
    fn archives(&mut self, packages: &[&str], recommends: bool, again: bool) -> Result<Vec<Archived>, TargetError> {
        if !self.site.keeps_archives() {
            return Ok(Vec::new());
        }
        let (exit, printed) = self.uris(packages, recommends, again)?;
        Ok(if exit == 0 { apt::archived(&printed) } else { Vec::new() })
    }

    /// What apt says it would fetch.
    fn uris(&mut self, packages: &[&str], recommends: bool, again: bool) -> Result<(i32, String), TargetError> {
        self.printed(&apt::uris_command(packages, recommends, again))
    }

    /// Runs a command that only says something. Gives its exit status and what it said.
    fn printed(&mut self, command: &[String]) -> Result<(i32, String), TargetError> {
        let root = self.accounts()?.user("root")?;
        let printed = RefCell::new(Vec::new());
        let keep = |bytes: &[u8]| {
            let mut printed = printed.borrow_mut();
            if printed.len() < MOST_PRINTED {
                printed.extend_from_slice(bytes);
            }
        };
        let env = self.assigned(&root)?;
        let exit = self.site.run(command, &root, &env, "/", &keep)?;
        Ok((exit, String::from_utf8_lossy(&printed.borrow()).into_owned()))
    }

    /// Refreshes apt's index, unless that was done in this run for what apt is set up with now.
    fn fresh_index(&mut self) -> Result<i32, TargetError> {
        let setup = apt::setup(self.root());
        if self.site.index() == Some(setup) {
            return Ok(0);
        }
        self.site.lend_index();
        let exit = self.as_root(&apt::update_command())?;
        if exit == 0 {
            self.site.index_refreshed(setup);
        } else {
            self.site.forget_index();
        }
        Ok(exit)
    }

    /// Before a command: one that uses apt may count on an `apt-get update` of a layer that is cached by now, or of a
    /// task that came before the sources that it wants. Without a network there is nobody to ask.
    pub(super) fn index_for(&mut self, command: &str, offline: bool) -> Result<(), TargetError> {
        match Use::of(command) {
            Use::No => {}
            Use::Refreshing => self.site.lend_index(),
            // Its failure, if it is one, shows in the command that follows.
            Use::Counting if !offline => drop(self.fresh_index()?),
            Use::Counting => {}
        }
        Ok(())
    }

    /// Installs `debs` without a network. What `packages` do not name is marked as apt marks what it installs by itself.
    pub(super) fn install_locked(
        &mut self,
        packages: &[String],
        own: &[Source],
        debs: &[Deb],
    ) -> Result<i32, TargetError> {
        let status = self.read(apt::STATUS);
        let has = Status::read(&status);
        let local = self.missing_debs(&has, own)?;
        let rest = !debs.is_empty() && !has.missing(packages).is_empty();
        if local.files.is_empty() && !rest {
            return Ok(0);
        }
        // What the archive has as well is there already.
        let debs: Vec<Deb> = debs.iter().filter(|deb| !local.has(&apt::file_name(deb))).cloned().collect();
        let automatic = has.automatic(packages, &debs, &self.read(apt::EXTENDED_STATES));
        // Of those that are there already, none is installed again for the sake of another.
        let there = |deb: &Deb| has.stanza(&deb.package, &deb.version, &deb.architecture).is_some();
        let files = debs.iter().filter(|deb| !(local.again && there(deb)));
        let files = files.map(|deb| Ok((apt::file_name(deb), self.file(&deb.source)?)));
        let mut files = files.collect::<Result<Vec<(String, PathBuf)>, TargetError>>()?;
        files.extend(local.files);
        self.with_debs(&files, |this, names| {
            let exit = this.apt_get(&apt::local_command(names, local.again), true)?;
            if exit != 0 || automatic.is_empty() {
                return Ok(exit);
            }
            this.offline(&apt::mark_command(&automatic))
        })
    }

    /// Lends packages of a language to the commands that follow.
    pub(super) fn lend(&mut self, files: &[LentFile], network: bool) -> Result<(), TargetError> {
        let files = files.iter().map(|file| Ok((file.name.clone(), self.file(&file.source)?)));
        let files = files.collect::<Result<Vec<(String, PathBuf)>, TargetError>>()?;
        self.lent = Some(self.site.lend(LENT, &files)?);
        if !network {
            self.site.set_offline(true);
        }
        Ok(())
    }

    fn offline(&mut self, argv: &[String]) -> Result<i32, TargetError> {
        let root = self.accounts()?.user("root")?;
        let env = self.assigned(&root)?;
        self.site.run_offline(argv, &root, &env, "/", self.output)
    }

    fn file(&self, source: &Source) -> Result<PathBuf, TargetError> {
        self.files.get(source).cloned().ok_or_else(|| TargetError::NoSource { wanted: source.clone() })
    }

    /// What apt would install now for `packages`, as it decides itself.
    pub fn closure(&mut self, packages: &[String], debs: &[Source], recommends: bool) -> Result<Closure, TargetError> {
        let status = self.read(apt::STATUS);
        let has = Status::read(&status);
        let (missing, local) = (has.missing(packages), self.missing_debs(&has, debs)?);
        if missing.is_empty() && local.files.is_empty() {
            return Ok(Closure::default());
        }
        let failed =
            |what, exit, output: &str| TargetError::Command { what, exit, output: output.trim_end().to_owned() };
        let exit = self.fresh_index()?;
        if exit != 0 {
            return Err(failed("refreshing apt's index", exit, "see above"));
        }
        let (exit, printed) = self.with_debs(&local.files, |this, names| {
            let wanted: Vec<&str> = missing.iter().copied().chain(names.iter().map(String::as_str)).collect();
            this.uris(&wanted, recommends, local.again)
        })?;
        if exit != 0 {
            return Err(failed("asking apt what it would install", exit, &printed));
        }
        let mut debs = apt::uris(&printed).map_err(|line| TargetError::Unpinnable { line })?;
        // apt takes from the archive what it has there as well.
        debs.retain(|deb| !local.has(&apt::file_named(&deb.package, &deb.version, &deb.arch)));
        Ok(Closure { debs, suite: apt::suite(&self.read("etc/os-release")) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_the_system_are_found_whatever_the_path_is() {
        assert_eq!(
            with_usual("/opt/bin:/usr/bin:/bin"),
            "/opt/bin:/usr/bin:/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin"
        );
        assert_eq!(with_usual(""), DEFAULT_PATH);
        assert_eq!(with_usual(DEFAULT_PATH), DEFAULT_PATH);
    }
}
