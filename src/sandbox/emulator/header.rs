//! How a program of an architecture begins (elf(5)).

/// Bytes of a header that the kernel looks at (`BINPRM_BUF_SIZE`).
const LENGTH: usize = 256;

/// Class, byte order and `e_machine`, by Go's names of architectures.
const MACHINES: [(&str, u8, u8, u16); 12] = [
    ("386", 1, 1, 3),
    ("amd64", 2, 1, 62),
    ("arm", 1, 1, 40),
    ("arm64", 2, 1, 183),
    ("loong64", 2, 1, 258),
    ("mips", 1, 2, 8),
    ("mips64le", 2, 1, 8),
    ("mipsle", 1, 1, 8),
    ("ppc64", 2, 2, 21),
    ("ppc64le", 2, 1, 21),
    ("riscv64", 2, 1, 243),
    ("s390x", 2, 2, 22),
];

/// The beginning of a position-independent program, as distributions have them; `None` for an architecture that is not
/// known.
pub(super) fn header(architecture: &str) -> Option<Vec<u8>> {
    /// `ET_DYN` and `EV_CURRENT`.
    const TYPE: u16 = 3;
    const VERSION: u32 = 1;
    let (_, class, order, machine) = MACHINES.into_iter().find(|(name, ..)| *name == architecture)?;
    let mut header = b"\x7fELF".to_vec();
    header.extend([class, order, 1]);
    header.resize(16, 0);
    let big = order == 2;
    for half in [TYPE, machine] {
        header.extend(if big { half.to_be_bytes() } else { half.to_le_bytes() });
    }
    header.extend(if big { VERSION.to_be_bytes() } else { VERSION.to_le_bytes() });
    header.resize(LENGTH, 0);
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_begins_as_said() {
        let native = crate::plan::Platform::of_this_machine();
        let program = std::fs::read("/proc/self/exe").unwrap();
        let header = header(&native.architecture).unwrap();
        assert_eq!(program[..7], header[..7]);
        // Type, machine and version; padding and ABI may differ.
        assert_eq!(program[18..24], header[18..24]);
    }
}
