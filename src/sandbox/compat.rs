//! Programs of the 32-bit forerunner of this machine's architecture, which the kernel runs natively: their system calls
//! have numbers of their own, and `uname` has to name their architecture.

use std::io::Read;

use super::filter::Calls;

/// Its system calls. Linux `arch/x86/entry/syscalls/syscall_32.tbl`.
#[cfg(target_arch = "x86_64")]
pub(super) const CALLS: Option<Calls> = Some(Calls {
    audit: 0x4000_0003,
    refused: &[
        21, 22, 25, 51, 52, 79, 87, 88, 103, 115, 128, 129, 131, 217, 264, 283, 286, 287, 288, 336, 338, 342, 346, 350,
        357, 374, 404,
    ],
    clone: 120,
    ioctl: 54,
    socket: 359,
    unshare: 310,
});

/// Linux `arch/arm/tools/syscall.tbl`.
#[cfg(target_arch = "aarch64")]
pub(super) const CALLS: Option<Calls> = Some(Calls {
    audit: 0x4000_0028,
    refused: &[
        21, 51, 52, 79, 87, 88, 103, 115, 128, 129, 131, 218, 262, 309, 310, 311, 347, 364, 367, 371, 375, 379, 386,
        388, 401, 404,
    ],
    clone: 120,
    ioctl: 54,
    socket: 281,
    unshare: 337,
});

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) const CALLS: Option<Calls> = None;

/// `e_machine` of its programs (elf(5)).
#[cfg(target_arch = "aarch64")]
const MACHINE: Option<u8> = Some(40);
#[cfg(target_arch = "x86_64")]
const MACHINE: Option<u8> = Some(3);
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const MACHINE: Option<u8> = None;

/// Lets `uname` name the forerunner where the root is one of its: scripts choose what to download by it.
#[allow(unsafe_code)]
pub(super) fn adopt_personality() {
    /// linux/personality.h
    const PER_LINUX32: libc::c_ulong = 8;
    let Some(machine) = MACHINE else { return };
    let mut header = [0; 20];
    let read = std::fs::File::open("/bin/sh").and_then(|mut shell| shell.read_exact(&mut header));
    if read.is_ok() && header.starts_with(b"\x7fELF") && header[18..] == [machine, 0] {
        // SAFETY: changes nothing but what this process and its children are told.
        unsafe { libc::personality(PER_LINUX32) };
    }
}
