//! A base from packages: unpacked each once, entered into dpkg's database, then configured by dpkg itself.

use std::fs::File;
use std::path::{Path, PathBuf};

use layers::root::Root;
use layers::unpack::unpack_deb;

use super::database::{Budget, Control, Database};
use super::{BasePlan, DebianError};

/// Directories that are links into `/usr` (Debian's UsrMerge), with those of architectures that need more.
const MERGED: [&str; 3] = ["bin", "lib", "sbin"];
const MERGED_LIB64: [&str; 4] = ["amd64", "loong64", "ppc64el", "s390x"];

/// Unpacks `debs`, the files of `plan`'s packages in their order, into the empty directory `root`, and gives the script
/// that configures them; it is to run inside.
pub fn assemble(root: &Root, plan: &BasePlan, debs: &[PathBuf]) -> Result<String, DebianError> {
    links(root, plan)?;
    let (mut database, mut budget) = (Database::default(), Budget::default());
    for (package, path) in plan.packages.iter().zip(debs) {
        let failed = |source| DebianError::Package { package: package.name.clone(), source };
        let open = || File::open(path).map_err(|source| DebianError::Read { path: path.clone(), source });
        let control = Control::read(open()?, &mut budget).map_err(failed)?;
        let files = unpack_deb(open()?, root).map_err(failed)?;
        budget.unpacked(&files).map_err(failed)?;
        database.add(control, files);
    }
    database.write(root)?;
    sources(root, plan)?;
    // A package's script makes it in the `/run` of the machine that it is configured on, which no layer has.
    root.create_dir_all(Path::new("run/lock"), 0o1777)?;
    // Scripts count on these before their packages are configured.
    for (link, target) in [("usr/bin/sh", "dash"), ("usr/bin/awk", "mawk")] {
        if !root.exists(Path::new(link))? && root.exists(&Path::new("usr/bin").join(target))? {
            let directory = root.directory(Path::new("usr/bin"))?;
            directory.symlink(Path::new(link).file_name().unwrap_or_default(), Path::new(target))?;
        }
    }
    Ok(script(&database))
}

fn links(root: &Root, plan: &BasePlan) -> Result<(), DebianError> {
    let lib64 = MERGED_LIB64.contains(&plan.architecture.as_str()).then_some("lib64");
    let top = root.directory(Path::new(""))?;
    for name in MERGED.into_iter().chain(lib64) {
        let target = Path::new("usr").join(name);
        root.create_dir_all(&target, 0o755)?;
        top.symlink(name.as_ref(), &target)?;
    }
    Ok(())
}

/// The base's own apt sources: where its packages came from, signed by the keyring it has itself.
fn sources(root: &Root, plan: &BasePlan) -> Result<(), DebianError> {
    let name = &plan.distribution;
    let keyrings = ["gpg", "pgp"].map(|kind| format!("/usr/share/keyrings/{name}-archive-keyring.{kind}"));
    let keyring = keyrings.iter().find(|path| root.exists(Path::new(path)).unwrap_or(false));
    let mut text = String::new();
    for stanza in plan.sources.split("\n\n").filter(|stanza| !stanza.trim().is_empty()) {
        text += stanza.trim_end();
        text += &keyring.map_or(String::new(), |path| format!("\nSigned-By: {path}"));
        text += "\n\n";
    }
    let directory = Path::new("etc/apt/sources.list.d");
    root.create_dir_all(directory, 0o755)?;
    let text = format!("{}\n", text.trim_end());
    root.write_file(&directory.join(format!("{name}.sources")), &mut text.as_bytes(), 0o644)?;
    Ok(())
}

/// `preinst install` of every package, then dpkg; users and the C library first, since scripts count on them without
/// a dependency (Debian policy 3.8: essential packages are taken for granted).
fn script(database: &Database) -> String {
    let mut script = String::from(
        "set -e\n\
         export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true LC_ALL=C DPKG_FORCE=unsafe-io\n\
         export DPKG_MAINTSCRIPT_NAME=preinst DPKG_RUNNING_VERSION=1.21.22 DPKG_ROOT= DPKG_ADMINDIR=/var/lib/dpkg\n",
    );
    for (package, architecture, preinst) in database.preinsts() {
        script +=
            &format!("DPKG_MAINTSCRIPT_PACKAGE={package} DPKG_MAINTSCRIPT_ARCH={architecture} {preinst} install\n");
    }
    script += "unset DPKG_MAINTSCRIPT_NAME DPKG_RUNNING_VERSION\n";
    let first: Vec<&str> =
        ["base-passwd", "base-files", "libc6"].into_iter().filter(|name| database.has(name)).collect();
    script += &format!("dpkg --force-depends --configure {}\n", first.join(" "));
    script += "dpkg --configure -a\n\
               rm -rf /var/cache/apt/*.bin /var/cache/apt/archives/*.deb\n\
               rm -f /var/lib/dpkg/*-old /var/cache/debconf/*-old\n";
    script
}
