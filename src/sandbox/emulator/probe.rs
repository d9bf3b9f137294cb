//! A program that does nothing but end well, for several architectures: whether the kernel starts it is the truth where
//! its list cannot be seen, as in containers.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use super::header::{Machine, header};

/// `exit(0)`.
const CODE: [(&str, &[u8]); 7] = [
    ("386", b"\x31\xdb\xb8\x01\0\0\0\xcd\x80"),
    ("amd64", b"\x31\xff\xb8\x3c\0\0\0\x0f\x05"),
    ("arm", b"\0\0\xa0\xe3\x01\x70\xa0\xe3\0\0\0\xef"),
    ("arm64", b"\0\0\x80\xd2\xa8\x0b\x80\xd2\x01\0\0\xd4"),
    ("ppc64le", b"\0\0\x60\x38\x01\0\0\x38\x02\0\0\x44"),
    ("riscv64", b"\x13\x05\0\0\x93\x08\xd0\x05\x73\0\0\0"),
    ("s390x", b"\xa7\x29\0\0\x0a\x01"),
];
/// Where it is loaded.
const ADDRESS: u64 = 0x10000;
/// Another thread that starts a program at the same moment holds the file open for writing, for that moment.
const ATTEMPTS: usize = 5;

/// True if a program of `architecture` was started and ended well.
pub(super) fn runs(architecture: &str) -> bool {
    let Some(program) = program(architecture) else { return false };
    (0..ATTEMPTS)
        .map(|_| start(&program))
        .find(|started| !is_busy(started))
        .is_some_and(|started| started.is_ok_and(|ok| ok))
}

fn is_busy(started: &io::Result<bool>) -> bool {
    started.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ExecutableFileBusy)
}

fn start(program: &[u8]) -> io::Result<bool> {
    let mut file = tempfile::Builder::new().prefix("alloy-").tempfile()?;
    file.write_all(program)?;
    file.as_file().set_permissions(PermissionsExt::from_mode(0o755))?;
    let path = file.into_temp_path();
    let mut command = Command::new(&path);
    let status = command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    Ok(status.success())
}

/// elf(5): a header, one segment that is the whole file, and the code.
fn program(architecture: &str) -> Option<Vec<u8>> {
    /// `ET_EXEC`, `PT_LOAD`, and `PF_R | PF_X`.
    const TYPE: u64 = 2;
    const LOAD: u64 = 1;
    const FLAGS: u64 = 5;
    let (_, code) = CODE.iter().find(|(name, _)| *name == architecture)?;
    let machine = Machine::of(architecture)?;
    let wide = machine.is_wide();
    let (head, segment, word) = if wide { (64, 56, 8) } else { (52, 32, 4) };
    let start = head + segment;
    let size = start + code.len() as u64;
    // Of ARM, what tells the calling convention; of POWER, its second.
    let convention = match architecture {
        "arm" => 0x0500_0000,
        "ppc64le" => 2,
        _ => 0,
    };
    let mut program = header(architecture, TYPE)?;
    let mut put = |value: u64, width: usize| machine.put(&mut program, value, width);
    for (value, width) in [
        (ADDRESS + start, word),
        (head, word),
        (0, word),
        (convention, 4),
        (head, 2),
        (segment, 2),
        (1, 2),
        (0, 2),
        (0, 2),
        (0, 2),
        (LOAD, 4),
    ] {
        put(value, width);
    }
    if wide {
        put(FLAGS, 4);
    }
    for value in [0, ADDRESS, ADDRESS, size, size] {
        put(value, word);
    }
    if !wide {
        put(FLAGS, 4);
    }
    put(0x1000, word);
    program.extend_from_slice(code);
    Some(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_runs_its_own_programs() {
        assert!(runs(&crate::plan::Platform::of_this_machine().architecture));
        assert!(!runs("mips"), "there is no code for it");
    }

    #[test]
    fn emulators_run_those_of_others() {
        let registered = |name: &str| super::super::look(std::path::Path::new(super::super::BINFMT_MISC), name).is_ok();
        let failed: Vec<&str> =
            CODE.iter().map(|(name, _)| *name).filter(|name| registered(name) && !runs(name)).collect();
        assert!(failed.is_empty(), "{failed:?}");
    }
}
