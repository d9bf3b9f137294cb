//! Programs of other architectures (Linux `Documentation/admin-guide/binfmt-misc.rst`, binfmt.d(5)).

use std::fs;
use std::io;
use std::path::Path;

const PLACE: &str = "/proc/sys/fs/binfmt_misc";

/// Class (32 or 64 bits), byte order and machine number of an architecture's programs (ELF, `e_ident` and `e_machine`).
fn header(architecture: &str) -> Option<(u8, u8, u16)> {
    const LITTLE: u8 = 1;
    const BIG: u8 = 2;
    Some(match architecture {
        "aarch64" => (2, LITTLE, 183),
        "arm" => (1, LITTLE, 40),
        "armeb" => (1, BIG, 40),
        "i386" => (1, LITTLE, 3),
        "mips" => (1, BIG, 8),
        "mipsel" => (1, LITTLE, 8),
        "ppc64le" => (2, LITTLE, 21),
        "riscv32" => (1, LITTLE, 243),
        "riscv64" => (2, LITTLE, 243),
        "s390x" => (2, BIG, 22),
        "x86_64" => (2, LITTLE, 62),
        _ => return None,
    })
}

/// What the rule is called: as Debian's packages of QEMU call theirs, so that it takes its place.
pub(super) fn name(architecture: &str) -> String {
    format!("qemu-{architecture}")
}

/// The rule, as the kernel takes it. `None` for an architecture that is not known. The flag `F` opens the interpreter
/// now: it is found in containers, too.
pub(super) fn rule(architecture: &str, interpreter: &str) -> Option<String> {
    let (class, order, machine) = header(architecture)?;
    let number = |number: u16| if order == 2 { number.to_be_bytes() } else { number.to_le_bytes() };
    let mut magic = vec![0x7f, b'E', b'L', b'F', class, order, 1];
    magic.resize(16, 0);
    // Executables, and with a bit left out shared objects.
    magic.extend(number(2).into_iter().chain(number(machine)));
    let mut mask = vec![0xff; 20];
    // The system's ABI is not looked at.
    mask[7] = 0;
    mask[16..18].copy_from_slice(&number(0xfffe));
    let escaped = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
    Some(format!(":{}:M::{}:{}:{interpreter}:F", name(architecture), escaped(magic), escaped(mask)))
}

/// Tells the kernel of this machine, unless it knows.
pub(super) fn register(architecture: &str, interpreter: &str, rule: &str) -> io::Result<()> {
    let place = Path::new(PLACE);
    let known = place.join(name(architecture));
    if let Ok(text) = fs::read_to_string(&known) {
        let same = text.lines().any(|line| line.strip_prefix("interpreter ") == Some(interpreter));
        if same && text.starts_with("enabled") {
            return Ok(());
        }
        fs::write(&known, "-1")?;
    }
    if !place.join("register").exists() {
        rustix::mount::mount("binfmt_misc", PLACE, "binfmt_misc", rustix::mount::MountFlags::empty(), None)?;
    }
    fs::write(place.join("register"), rule)
}

#[cfg(test)]
mod tests {
    use super::rule;

    /// As qemu-user-static of Debian 12 has them.
    #[test]
    fn rules_are_those_of_the_distribution() {
        let zeros = r"\x00".repeat(8);
        let ones = r"\xff".repeat(8);
        let aarch64 = format!(
            r":qemu-aarch64:M::\x7f\x45\x4c\x46\x02\x01\x01\x00{zeros}\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00{ones}\xfe\xff\xff\xff:/usr/bin/q:F"
        );
        assert_eq!(rule("aarch64", "/usr/bin/q").unwrap(), aarch64);
        let armeb = format!(
            r":qemu-armeb:M::\x7f\x45\x4c\x46\x01\x02\x01\x00{zeros}\x00\x02\x00\x28:\xff\xff\xff\xff\xff\xff\xff\x00{ones}\xff\xfe\xff\xff:/usr/bin/q:F"
        );
        assert_eq!(rule("armeb", "/usr/bin/q").unwrap(), armeb);
        assert_eq!(rule("vax", "/usr/bin/q"), None);
    }
}
