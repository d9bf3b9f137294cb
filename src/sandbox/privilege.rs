//! What a command may not do even as root of its sandbox: capabilities and system calls it has no use for.
//!
//! `no_new_privs` stays off, so that `su`, `sudo` and file capabilities work as on a real system.

use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use super::{SandboxError, compat};

/// What package installation needs: capabilities(7).
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::AUDIT_WRITE)
    .union(CapabilitySet::SETFCAP);

/// System calls that reach past the namespaces, or whose bugs have.
const REFUSED: [i64; 19] = [
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_perf_event_open,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_userfaultfd,
];

/// Cuts this process and all it will start down to what is listed here.
pub(super) fn restrict() -> Result<(), SandboxError> {
    filter_system_calls()?;
    for capability in CapabilitySet::all().difference(KEPT).iter() {
        match remove_capability_from_bounding_set(capability) {
            // Newer than this kernel.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(SandboxError::setup("drop capabilities", error)),
        }
    }
    Ok(())
}

fn filter_system_calls() -> Result<(), SandboxError> {
    let failed = |e: seccompiler::BackendError| SandboxError::setup("filter system calls", std::io::Error::other(e));
    let arch = std::env::consts::ARCH.try_into().map_err(failed)?;
    let refused = REFUSED.into_iter().map(|call| (call, Vec::new())).collect();
    let eperm = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let filter = SeccompFilter::new(refused, SeccompAction::Allow, eperm, arch).map_err(failed)?;
    let native: BpfProgram = filter.try_into().map_err(failed)?;
    let compat = compat::filter(libc::EPERM.cast_unsigned());
    install(&compat.into_iter().chain(native).collect())
}

/// seccompiler's own `apply_filter` would also set `no_new_privs`.
#[allow(unsafe_code)]
fn install(program: &BpfProgram) -> Result<(), SandboxError> {
    let length = program.len().try_into().unwrap_or(u16::MAX);
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: `program` points at `length` filter instructions that outlive the call, and the kernel copies them.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, std::ptr::from_ref(&program)) };
    if result == 0 {
        return Ok(());
    }
    Err(SandboxError::setup("filter system calls", std::io::Error::last_os_error()))
}
