//! Programs of the 32-bit forerunner of this machine's architecture, which the kernel runs natively: their system calls
//! have numbers of their own, and `uname` has to name their architecture.

use std::io::Read;

use seccompiler::sock_filter;

/// A forerunner.
pub(super) struct Compat {
    /// `AUDIT_ARCH_…`, as seccomp(2) tells the two apart.
    audit: u32,
    /// `e_machine` of its programs (elf(5)).
    machine: u8,
    /// What [`super::privilege`] refuses, in its numbers.
    refused: &'static [u32],
}

/// Linux `arch/x86/entry/syscalls/syscall_32.tbl`.
#[cfg(target_arch = "x86_64")]
const OWN: Option<Compat> = Some(Compat {
    audit: 0x4000_0003,
    machine: 3,
    refused: &[25, 79, 87, 88, 103, 115, 128, 129, 131, 264, 283, 286, 287, 288, 336, 342, 350, 357, 374, 404],
});

/// Linux `arch/arm/tools/syscall.tbl`.
#[cfg(target_arch = "aarch64")]
const OWN: Option<Compat> = Some(Compat {
    audit: 0x4000_0028,
    machine: 40,
    refused: &[79, 87, 88, 103, 115, 128, 129, 131, 262, 309, 310, 311, 347, 364, 371, 379, 386, 388, 401, 404],
});

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const OWN: Option<Compat> = None;

/// A filter of system calls that goes before that of the machine's own architecture, and has the last word on calls of
/// the forerunner. Without it, they would be taken for an attempt to get around the filter.
pub(super) fn filter(errno: u32) -> Vec<sock_filter> {
    // Offsets of `seccomp_data`; linux/bpf_common.h.
    const NUMBER: u32 = 0;
    const ARCHITECTURE: u32 = 4;
    let statement = |code: u32, k: u32| sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let load = |offset| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset);
    let end = |action| statement(libc::BPF_RET | libc::BPF_K, action);
    let equals = |k, jt, jf| sock_filter { jt, jf, ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, k) };
    let Some(Compat { audit, refused, .. }) = OWN else { return Vec::new() };
    let mut body = vec![load(NUMBER)];
    for (at, number) in refused.iter().enumerate() {
        // Over the rest of the list and what allows, to what refuses.
        let rest = u8::try_from(refused.len() - at).unwrap_or(u8::MAX);
        body.push(equals(*number, rest, 0));
    }
    body.extend([end(libc::SECCOMP_RET_ALLOW), end(libc::SECCOMP_RET_ERRNO | errno)]);
    let over = u8::try_from(body.len()).unwrap_or(u8::MAX);
    [load(ARCHITECTURE), equals(audit, 0, over)].into_iter().chain(body).collect()
}

/// Lets `uname` name the forerunner where the root is one of its: scripts choose what to download by it.
#[allow(unsafe_code)]
pub(super) fn adopt_personality() {
    /// linux/personality.h
    const PER_LINUX32: libc::c_ulong = 8;
    let Some(own) = OWN else { return };
    let mut header = [0; 20];
    let read = std::fs::File::open("/bin/sh").and_then(|mut shell| shell.read_exact(&mut header));
    if read.is_ok() && header.starts_with(b"\x7fELF") && header[18..] == [own.machine, 0] {
        // SAFETY: changes nothing but what this process and its children are told.
        unsafe { libc::personality(PER_LINUX32) };
    }
}
