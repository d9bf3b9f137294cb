//! What a command reaches without a file: the network, and sockets that have names and no place in any root.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use super::SandboxError;

/// linux/landlock.h
#[repr(C)]
struct Ruleset {
    files: u64,
    network: u64,
    scoped: u64,
}
const SCOPE_ABSTRACT_UNIX_SOCKET: u64 = 1;

/// unix(7): abstract sockets belong to a network namespace and to nobody's files. Where that is the machine's, commands
/// are kept from those of other processes; among each other they go on as they are. Kernels before 6.12, or without
/// Landlock, cannot do that.
#[allow(unsafe_code)]
pub(super) fn keep_sockets_apart() -> Result<(), SandboxError> {
    let wanted = Ruleset { files: 0, network: 0, scoped: SCOPE_ABSTRACT_UNIX_SOCKET };
    // SAFETY: the kernel reads `wanted`, whose size it is told, and it outlives the call.
    let fd = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::from_ref(&wanted), size_of::<Ruleset>(), 0)
    };
    let Some(fd) = i32::try_from(fd).ok().filter(|fd| *fd >= 0) else {
        return match io::Error::last_os_error() {
            // An older kernel does not know so long a structure, or what is asked for in it.
            error
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ENOSYS | libc::EOPNOTSUPP | libc::E2BIG | libc::EINVAL)
                ) =>
            {
                Ok(())
            }
            // A container that alloy runs in may forbid the call.
            error if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            error => Err(SandboxError::setup("keep sockets apart", error)),
        };
    };
    // SAFETY: the kernel has just opened it for us.
    let ruleset = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: takes a descriptor, and touches no memory.
    if unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) } == 0 {
        return Ok(());
    }
    Err(SandboxError::setup("keep sockets apart", io::Error::last_os_error()))
}

/// True if the network namespace is this user namespace's: capabilities are worth something there.
#[allow(unsafe_code)]
pub(super) fn network_is_ours() -> bool {
    /// linux/nsfs.h
    const NS_GET_USERNS: libc::c_ulong = 0xB701;
    let owner = std::fs::File::open("/proc/self/ns/net").and_then(|network| {
        // SAFETY: takes no argument, and gives a descriptor.
        let fd = unsafe { libc::ioctl(network.as_raw_fd(), NS_GET_USERNS as _) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just opened it for us.
        std::fs::File::from(unsafe { OwnedFd::from_raw_fd(fd) }).metadata()
    });
    match (owner, std::fs::metadata("/proc/self/ns/user")) {
        (Ok(owner), Ok(ours)) => owner.ino() == ours.ino(),
        // That of a more privileged one is not shown.
        (Err(error), Ok(_)) => error.kind() != io::ErrorKind::PermissionDenied,
        _ => true,
    }
}

/// Brings up the loopback interface of a new network namespace: what runs in it talks to itself.
#[allow(unsafe_code)]
pub(super) fn raise_loopback() -> io::Result<()> {
    let socket = rustix::net::socket_with(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: a structure of numbers, for which zeros are a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as _;
    // SAFETY: the kernel reads `request`, which outlives the call.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, std::ptr::from_ref(&request)) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
