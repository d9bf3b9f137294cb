//! Whether programs of an architecture run here: natively, or because the kernel starts an emulator for them.
//!
//! Linux `Documentation/admin-guide/binfmt-misc.rst`. What counts is what the kernel would do with a program of that
//! architecture: an entry's name says nothing, its magic and mask do.

use std::fs;
use std::path::Path;

use crate::plan::Platform;

mod entry;
mod error;
mod header;
mod probe;

use entry::Entry;
pub use error::NoEmulator;
use error::Reason;
use header::seen;

/// Where the kernel lists what it knows.
const BINFMT_MISC: &str = "/proc/sys/fs/binfmt_misc";

/// An error unless programs of `platform` run here.
pub fn runs_here(platform: &Platform) -> Result<(), NoEmulator> {
    let (native, wanted) = (Platform::of_this_machine().architecture, platform.architecture.as_str());
    if native == wanted || is_forerunner(&native, wanted) && probe::runs(wanted) {
        return Ok(());
    }
    match look(Path::new(BINFMT_MISC), wanted) {
        // In a container the list cannot be seen, and holds all the same.
        Err(Reason::NotMounted) if probe::runs(wanted) => Ok(()),
        found => found.map_err(|reason| NoEmulator { platform: platform.to_string(), reason }),
    }
}

/// Most 64-bit machines run the programs of their 32-bit forerunners.
fn is_forerunner(native: &str, wanted: &str) -> bool {
    matches!((native, wanted), ("amd64", "386") | ("arm64", "arm"))
}

/// Looks for an entry of the directory `place` that takes programs of `architecture`.
fn look(place: &Path, architecture: &str) -> Result<(), Reason> {
    let header = seen(architecture).ok_or(Reason::Unknown)?;
    let status = fs::read_to_string(place.join("status")).map_err(|_| Reason::NotMounted)?;
    if status.trim() != "enabled" {
        return Err(Reason::Disabled { what: "status".to_owned() });
    }
    let mut reason = Reason::NotRegistered { architecture: architecture.to_owned() };
    for file in fs::read_dir(place).into_iter().flatten().flatten() {
        // `register` is written to, never read.
        let Some(entry) = fs::read_to_string(file.path()).ok().and_then(|text| Entry::parse(&text)) else { continue };
        if !entry.takes(&header) {
            continue;
        }
        let name = file.file_name().to_string_lossy().into_owned();
        if !entry.enabled {
            reason = Reason::Disabled { what: name };
        } else if !entry.fixed {
            reason = Reason::NotFixed { name, interpreter: entry.interpreter };
        } else {
            return Ok(());
        }
    }
    Err(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As qemu-user-static registers it.
    const AARCH64: &str = "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: POF\noffset 0\n\
                           magic 7f454c460201010000000000000000000200b700\n\
                           mask ffffffffffffff00fffffffffffffffffeffffff\n";

    fn found(files: &[(&str, &str)], architecture: &str) -> Result<(), String> {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        look(directory.path(), architecture).map_err(|reason| reason.to_string())
    }

    #[test]
    fn an_entry_is_known_by_what_it_takes() {
        let on = ("status", "enabled\n");
        assert_eq!(found(&[on, ("anything", AARCH64), ("register", "")], "arm64"), Ok(()));
        let lies = AARCH64.replace("b700", "f300");
        assert!(found(&[on, ("qemu-aarch64", &lies)], "arm64").unwrap_err().contains("no emulator"));
        assert_eq!(found(&[on, ("qemu-aarch64", &lies)], "riscv64"), Ok(()));
        let by_name = "enabled\ninterpreter /usr/bin/x\nflags: F\nextension .so\n";
        assert!(found(&[on, ("x", by_name)], "arm64").is_err());
    }

    #[test]
    fn what_keeps_an_emulator_from_working_is_said() {
        let on = ("status", "enabled\n");
        let entry = |from: &str, to: &str| found(&[on, ("qemu-aarch64", &AARCH64.replace(from, to))], "arm64");
        assert!(entry("enabled", "disabled").unwrap_err().contains("`qemu-aarch64` is switched off"));
        assert!(entry("POF", "POC").unwrap_err().contains("flag F"));
        let off = found(&[("status", "disabled\n"), ("qemu-aarch64", AARCH64)], "arm64");
        assert!(off.unwrap_err().contains("switched off"));
        assert!(found(&[], "arm64").unwrap_err().contains("not mounted"));
        assert!(found(&[on, ("qemu-aarch64", AARCH64)], "wasm").unwrap_err().contains("does not know"));
        // One that works is enough.
        let unfixed = AARCH64.replace("POF", "");
        assert_eq!(found(&[on, ("a", &unfixed), ("b", AARCH64), ("c", &unfixed)], "arm64"), Ok(()));
    }
}
