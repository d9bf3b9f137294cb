//! System calls that a command of a sandbox may not make: the program that seccomp(2) runs before each.
//!
//! What is refused is what Docker's default profile refuses and the building of packages has no use for. A number alone
//! says too little of four calls: there the argument decides, by its lower 32 bits, since the kernel looks at no others.

use libc::sock_filter;

use super::compat;

/// Calls of one architecture that are looked at.
pub(super) struct Calls {
    /// `AUDIT_ARCH_…` of linux/audit.h: programs of two architectures may run here.
    pub(super) audit: u32,
    /// These reach past the namespaces, or their bugs have.
    pub(super) refused: &'static [u32],
    pub(super) clone: u32,
    pub(super) ioctl: u32,
    pub(super) socket: u32,
    pub(super) unshare: u32,
}

/// The same numbers in every architecture, since Linux 5.1: mounting by descriptor, quotas, users' page faults.
const REFUSED_EVERYWHERE: [u32; 9] = [428, 429, 430, 431, 432, 433, 442, 443, 467];

/// Calls that programs do without when the kernel is too old for them: io_uring, which acts behind the filter's back, and
/// clone3, whose flags are where no filter can look. The C library turns to clone.
const UNKNOWN: [u32; 4] = [425, 426, 427, 435];

/// Flags of clone(2) that make namespaces: in one of one's own, everybody is root, and may call what root may.
const NAMESPACES: u32 = 0x7E02_0000;
/// The same for unshare(2), where the clock's namespace has a flag as well.
const NAMESPACES_OR_CLOCK: u32 = NAMESPACES | 0x80;

/// ioctl(2) requests that type into a terminal: whoever reads from it afterwards takes that for the user's.
const TYPING: [u32; 2] = [0x5412, 0x541C];

/// The machine's hypervisor, past all namespaces (vsock(7)).
const AF_VSOCK: u32 = 40;

/// x86-64 programs with 32-bit pointers have calls of their own, marked by this bit. No distribution is made of such.
#[cfg(target_arch = "x86_64")]
const X32: Option<u32> = Some(0x4000_0000);
#[cfg(not(target_arch = "x86_64"))]
const X32: Option<u32> = None;

#[cfg(target_arch = "x86_64")]
const AUDIT: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const AUDIT: u32 = 0xC000_00B7;
#[cfg(target_arch = "riscv64")]
const AUDIT: u32 = 0xC000_00F3;

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "they are small positive numbers")]
const fn numbers<const N: usize>(calls: [libc::c_long; N]) -> [u32; N] {
    let mut numbers = [0; N];
    let mut at = 0;
    while at < N {
        numbers[at] = calls[at] as u32;
        at += 1;
    }
    numbers
}

const REFUSED: [u32; 25] = numbers([
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_perf_event_open,
    libc::SYS_pivot_root,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_userfaultfd,
]);
const SPECIAL: [u32; 4] = numbers([libc::SYS_clone, libc::SYS_ioctl, libc::SYS_socket, libc::SYS_unshare]);

const NATIVE: Calls = Calls {
    audit: AUDIT,
    refused: &REFUSED,
    clone: SPECIAL[0],
    ioctl: SPECIAL[1],
    socket: SPECIAL[2],
    unshare: SPECIAL[3],
};

/// Offsets of `seccomp_data` (linux/seccomp.h).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;

/// The lower half of an argument. All architectures named here are little-endian.
const fn argument(index: u32) -> u32 {
    16 + 8 * index
}

const EPERM: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned();
const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();

/// linux/bpf_common.h
fn statement(code: u32, k: u32) -> sock_filter {
    sock_filter { code: u16::try_from(code).unwrap_or_default(), jt: 0, jf: 0, k }
}

fn load(offset: u32) -> sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
}

fn end(action: u32) -> sock_filter {
    statement(libc::BPF_RET | libc::BPF_K, action)
}

/// Goes on with the next instruction if `condition` holds for `k`, and else leaves `over` of them out.
fn unless(condition: u32, k: u32, over: u8) -> sock_filter {
    sock_filter { jf: over, ..statement(libc::BPF_JMP | condition | libc::BPF_K, k) }
}

/// The whole program.
pub(super) fn program() -> Vec<sock_filter> {
    let mut program = Vec::new();
    for (calls, x32) in [(Some(&NATIVE), X32), (compat::CALLS.as_ref(), None)] {
        let Some(calls) = calls else { continue };
        let body = body(calls, x32);
        // Over more instructions than a conditional jump reaches.
        let length = u32::try_from(body.len()).unwrap_or_default();
        let other = statement(libc::BPF_JMP | libc::BPF_JA, length);
        let this = sock_filter { jt: 1, jf: 0, ..unless(libc::BPF_JEQ, calls.audit, 0) };
        program.extend([load(ARCHITECTURE), this, other]);
        program.extend(body);
    }
    // An architecture that nobody has told us of.
    program.push(end(libc::SECCOMP_RET_KILL_PROCESS));
    program
}

fn body(calls: &Calls, x32: Option<u32>) -> Vec<sock_filter> {
    let mut body = vec![load(NUMBER)];
    body.extend(x32.into_iter().flat_map(|bit| [unless(libc::BPF_JGE, bit, 1), end(ENOSYS)]));
    for (list, answer) in [(calls.refused, EPERM), (&REFUSED_EVERYWHERE, EPERM), (&UNKNOWN, ENOSYS)] {
        body.extend(list.iter().flat_map(|number| [unless(libc::BPF_JEQ, *number, 1), end(answer)]));
    }
    let conditions: [(u32, u32, u32, &[u32]); 4] = [
        (calls.clone, 0, libc::BPF_JSET, &[NAMESPACES]),
        (calls.unshare, 0, libc::BPF_JSET, &[NAMESPACES_OR_CLOCK]),
        (calls.socket, 0, libc::BPF_JEQ, &[AF_VSOCK]),
        (calls.ioctl, 1, libc::BPF_JEQ, &TYPING),
    ];
    for (number, index, condition, values) in conditions {
        let mut looked_at = vec![load(argument(index))];
        looked_at.extend(values.iter().flat_map(|value| [unless(condition, *value, 1), end(EPERM)]));
        looked_at.push(end(libc::SECCOMP_RET_ALLOW));
        body.push(unless(libc::BPF_JEQ, number, u8::try_from(looked_at.len()).unwrap_or_default()));
        body.extend(looked_at);
    }
    body.push(end(libc::SECCOMP_RET_ALLOW));
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would answer: the instructions used here, as `Documentation/networking/filter.rst` has them.
    fn answer(audit: u32, number: u32, arguments: [u64; 2]) -> u32 {
        let mut data = [0; 64];
        data[..4].copy_from_slice(&number.to_le_bytes());
        data[4..8].copy_from_slice(&audit.to_le_bytes());
        for (at, argument) in arguments.iter().enumerate() {
            data[16 + 8 * at..][..8].copy_from_slice(&argument.to_le_bytes());
        }
        let program = program();
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let instruction = &program[at];
            at += 1;
            let code = u32::from(instruction.code);
            let jump = |holds: bool| usize::from(if holds { instruction.jt } else { instruction.jf });
            at += match code {
                _ if code == libc::BPF_RET | libc::BPF_K => return instruction.k,
                _ if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => {
                    let bytes = data[instruction.k as usize..][..4].try_into().unwrap();
                    accumulator = u32::from_le_bytes(bytes);
                    0
                }
                _ if code == libc::BPF_JMP | libc::BPF_JA => instruction.k as usize,
                _ if code == libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K => jump(accumulator == instruction.k),
                _ if code == libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K => jump(accumulator >= instruction.k),
                _ if code == libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K => jump(accumulator & instruction.k != 0),
                other => panic!("unknown instruction {other}"),
            };
        }
    }

    #[test]
    fn arguments_decide_by_their_lower_half() {
        const UPPER: u64 = 0xDEAD_BEEF_0000_0000;
        for calls in std::iter::once(&NATIVE).chain(compat::CALLS.as_ref()) {
            let of = |number, arguments| answer(calls.audit, number, arguments);
            for request in TYPING.map(u64::from) {
                assert_eq!(of(calls.ioctl, [0, request]), EPERM);
                assert_eq!(of(calls.ioctl, [0, request | UPPER]), EPERM);
            }
            assert_eq!(of(calls.ioctl, [0, 0x5413]), libc::SECCOMP_RET_ALLOW, "TIOCGWINSZ");
            for flag in [0x2_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000] {
                assert_eq!(of(calls.clone, [flag | 17, 0]), EPERM, "{flag:x}");
                assert_eq!(of(calls.unshare, [flag | UPPER, 0]), EPERM, "{flag:x}");
            }
            assert_eq!(of(calls.clone, [0x003D_0F00, 0]), libc::SECCOMP_RET_ALLOW, "a thread");
            assert_eq!(of(calls.unshare, [0x400, 0]), libc::SECCOMP_RET_ALLOW, "CLONE_FILES");
            assert_eq!(of(calls.socket, [u64::from(AF_VSOCK), 1]), EPERM);
            assert_eq!(of(calls.socket, [2, 1]), libc::SECCOMP_RET_ALLOW);
            assert_eq!(of(435, [0, 0]), ENOSYS, "clone3");
            assert_eq!(of(425, [0, 0]), ENOSYS, "io_uring_setup");
            for number in calls.refused.iter().chain(&REFUSED_EVERYWHERE) {
                assert_eq!(of(*number, [0, 0]), EPERM, "{number}");
            }
            // close_range, openat2, faccessat2.
            assert!([436, 437, 439].iter().all(|number| of(*number, [0, 0]) == libc::SECCOMP_RET_ALLOW));
        }
        assert_eq!(answer(1, 0, [0, 0]), libc::SECCOMP_RET_KILL_PROCESS);
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_third_kind_of_number_is_unknown() {
        for number in [0, 16, 250, 512, 0x3FFF_FFFF] {
            assert_eq!(answer(AUDIT, number | 0x4000_0000, [0, 0]), ENOSYS);
        }
        assert_eq!(answer(AUDIT, u32::MAX, [0, 0]), ENOSYS);
    }
}
