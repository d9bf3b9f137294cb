//! What a command may not do even as root of its sandbox: capabilities and system calls it has no use for.
//!
//! `no_new_privs` stays off, so that `su`, `sudo` and file capabilities work as on a real system.

use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_capabilities_secure_bits,
};

use super::{SandboxError, filter, scope};

/// What package installation needs: capabilities(7). MKNOD is not among it: pipes and sockets take none, an image gets its
/// devices where it is run, and a device made here would be the machine's.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::AUDIT_WRITE)
    .union(CapabilitySet::SETFCAP);

/// Cuts this process and all it will start down to what is listed here.
pub(super) fn restrict(own_network: bool) -> Result<(), SandboxError> {
    scope::keep_sockets_apart()?;
    let mut kept = KEPT;
    // It is of use where the network is one's own, and of no effect in the network of somebody more privileged, where
    // programs that have it as their file's capability start all the same. In between lies the network of the machine.
    kept.set(CapabilitySet::NET_RAW, own_network || !scope::network_is_ours());
    for capability in CapabilitySet::all().difference(kept).iter() {
        match remove_capability_from_bounding_set(capability) {
            // Newer than this kernel.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(SandboxError::setup("drop capabilities", error)),
        }
    }
    // The bounding set bounds what a program's file gives it, and not what is inherited from whoever started alloy.
    pass_nothing_on().map_err(|error| SandboxError::setup("drop inherited capabilities", error))?;
    filter_system_calls()
}

/// Lets no capability of this process outlive exec but those that root, or a program's file, has by itself:
/// capabilities(7). Async-signal-safe.
pub(super) fn pass_nothing_on() -> rustix::io::Result<()> {
    // Whoever has locked them has taken away, which is no harm. Ordinary users cannot, and need not.
    let _ = set_capabilities_secure_bits(CapabilitiesSecureBits::empty());
    match clear_ambient_capability_set() {
        // Older than these sets, which came with Linux 4.3.
        Ok(()) | Err(rustix::io::Errno::INVAL) => {}
        Err(error) => return Err(error),
    }
    let own = capabilities(None)?;
    set_capabilities(None, CapabilitySets { inheritable: CapabilitySet::empty(), ..own })
}

#[allow(unsafe_code)]
fn filter_system_calls() -> Result<(), SandboxError> {
    let program = filter::program();
    let length = program.len().try_into().unwrap_or(u16::MAX);
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: `program` points at `length` filter instructions that outlive the call, and the kernel copies them.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, std::ptr::from_ref(&program)) };
    if result == 0 {
        return Ok(());
    }
    Err(SandboxError::setup("filter system calls", std::io::Error::last_os_error()))
}
