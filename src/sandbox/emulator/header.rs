//! How a program of an architecture begins (elf(5)).

/// Bytes of a header that the kernel looks at (`BINPRM_BUF_SIZE`).
const LENGTH: usize = 256;

/// What tells programs of an architecture from others.
#[derive(Clone, Copy)]
pub(super) struct Machine {
    class: u8,
    order: u8,
    number: u16,
}

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

impl Machine {
    /// `None` for an architecture that is not known.
    pub(super) fn of(architecture: &str) -> Option<Self> {
        let (_, class, order, number) = MACHINES.into_iter().find(|(name, ..)| *name == architecture)?;
        Some(Self { class, order, number })
    }

    /// True for one of 64 bits.
    pub(super) fn is_wide(self) -> bool {
        self.class == 2
    }

    /// Appends the lowest `width` bytes of `value`, at most 8, in the machine's order.
    pub(super) fn put(self, bytes: &mut Vec<u8>, value: u64, width: usize) {
        match self.order {
            2 => bytes.extend_from_slice(&value.to_be_bytes()[8 - width..]),
            _ => bytes.extend_from_slice(&value.to_le_bytes()[..width]),
        }
    }
}

/// The beginning of a program of that type (`e_type`); `None` for an architecture that is not known.
pub(super) fn header(architecture: &str, kind: u64) -> Option<Vec<u8>> {
    /// `EV_CURRENT`
    const VERSION: u8 = 1;
    let machine = Machine::of(architecture)?;
    let mut header = b"\x7fELF".to_vec();
    header.extend([machine.class, machine.order, VERSION]);
    header.resize(16, 0);
    for (value, width) in [(kind, 2), (machine.number.into(), 2), (VERSION.into(), 4)] {
        machine.put(&mut header, value, width);
    }
    Some(header)
}

/// How the kernel sees the beginning of a position-independent program, as distributions have them.
pub(super) fn seen(architecture: &str) -> Option<Vec<u8>> {
    /// `ET_DYN`
    const DYNAMIC: u64 = 3;
    let mut header = header(architecture, DYNAMIC)?;
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
        let header = seen(&native.architecture).unwrap();
        assert_eq!(program[..7], header[..7]);
        // Machine and version; padding, ABI and type may differ.
        assert_eq!(program[18..24], header[18..24]);
    }
}
