# Says what a command of a sandbox can do and should not, or cannot and should: one line each. Opens and never writes.
fault() { echo "FAULT $*"; }
for file in sys/kernel/core_pattern sys/kernel/poweroff_cmd sys/kernel/panic sys/vm/overcommit_memory sys/fs/suid_dumpable \
    sys/fs/protected_hardlinks sys/kernel/printk sysrq-trigger irq/default_smp_affinity; do
    test ! -e /proc/$file || ! (: >> /proc/$file) 2>/dev/null || fault "/proc/$file can be set"
done
for file in kcore keys timer_list sched_debug interrupts latency_stats kallsyms kpageflags kpagecount kpagecgroup vmallocinfo; do
    test -z "$(head -c 1 /proc/$file 2>/dev/null | tr '\0' x)" || fault "/proc/$file can be read"
done
for directory in /proc/acpi /proc/asound /proc/scsi /sys/firmware /sys/devices/virtual/powercap /sys/dev/block; do
    test -z "$(ls -A $directory 2>/dev/null)" || fault "$directory can be seen"
done
test -d /sys/devices/system/cpu/cpu0 || fault "no /sys"
for file in kernel/mm/transparent_hugepage/enabled devices/system/cpu/cpu0/online kernel/uevent_helper power/state; do
    test ! -e /sys/$file || ! (: >> /sys/$file) 2>/dev/null || fault "/sys/$file can be set"
done
! mkdir /sys/fs/cgroup/alloy-probe 2>/dev/null || { rmdir /sys/fs/cgroup/alloy-probe; fault "cgroups can be made"; }
awk '$5 !~ "^/dev$|^/dev/(null|zero|full|random|urandom|tty|pts)$" && $4 !~ "/null$" && $6 !~ /nodev/ \
    { print "FAULT devices are allowed at " $5 }' /proc/self/mountinfo
for place in /srv /tmp /run /dev /dev/shm; do
    ! mknod $place/probe b 7 0 2>/dev/null || { rm $place/probe; fault "block devices are made in $place"; }
done
if chmod "$(stat -c %a /dev/full)" /dev/full 2>/dev/null; then
    test "$(stat -c %d:%i /dev/full)" != "$HOST_FULL" || fault "the machine's /dev/full can be changed"
fi
for name in null zero full random urandom; do
    test "$(stat -c %a /dev/$name)" = 666 || fault "/dev/$name has another mode"
done
echo x > /dev/null || fault "/dev/null takes nothing"
test "$(head -c 4 /dev/zero | wc -c)" = 4 || fault "/dev/zero gives nothing"
test "$(head -c 4 /dev/urandom | wc -c)" = 4 || fault "/dev/urandom gives nothing"
! (echo x > /dev/full) 2>/dev/null || fault "/dev/full is not full"
touch /dev/shm/probe && rm /dev/shm/probe || fault "no shared memory"
test ! -e /dev/kmsg || fault "/dev/kmsg"
for what in --user --net --mount --pid --ipc --uts --cgroup "--user --map-root-user"; do
    ! unshare $what true 2>/dev/null || fault "unshare $what"
done
! mount -t tmpfs none /mnt 2>/dev/null || fault "mount"
for descriptor in /proc/self/fd/[3-9] /proc/self/fd/??; do
    # dash keeps its script open above 9.
    case $(readlink $descriptor) in ""|/proc/*|pipe:*) ;; *) fault "$descriptor is $(readlink $descriptor)" ;; esac
done
perl - <<'PERL' || fault "perl"
use Socket;
my %number = `uname -m` =~ /x86_64/ ? (ioctl => 16, keyctl => 250) : (ioctl => 29, keyctl => 219);
sub gives { my ($what, $code, $number, @rest) = @_; $! = 0; syscall($number, @rest); print "FAULT $what: $!\n" unless $! == $code; }
gives("TIOCSTI", 1, $number{ioctl}, 0, 0x5412, my $one = "x");
gives("TIOCSTI with upper bits", 1, $number{ioctl}, 0, 0x700005412, my $two = "x");
gives("TIOCLINUX", 1, $number{ioctl}, 0, 0x541C, my $three = "x");
gives("clone3", 38, 435, 0, 0);
gives("io_uring_setup", 38, 425, 0, 0);
gives("open_tree", 1, 428, -1, 0, 0);
gives("keyctl", 1, $number{keyctl}, 0, 0);
print "FAULT a packet socket\n" if socket(my $packet, 17, SOCK_RAW, 0x0300);
print "FAULT a vsock\n" if socket(my $vsock, 40, SOCK_STREAM, 0);
open(my $terminal, "+<", "/dev/ptmx") or print "FAULT no terminals: $!\n";
if ($ENV{ABSTRACT}) {
    socket(my $outside, AF_UNIX, SOCK_STREAM, 0) or die;
    print "FAULT a socket of the machine\n" if connect($outside, pack_sockaddr_un("\0$ENV{ABSTRACT}"));
}
socket(my $listener, AF_UNIX, SOCK_STREAM, 0) or die;
my $name = pack_sockaddr_un("\0alloy-inside-$$");
bind($listener, $name) && listen($listener, 1) or print "FAULT no socket of its own: $!\n";
if (my $child = fork) {
    accept(my $got, $listener) or print "FAULT accept: $!\n";
    waitpid($child, 0);
    print "FAULT sockets among its own processes\n" if $?;
} else {
    $SIG{ALRM} = sub { exit 1 };
    socket(my $inside, AF_UNIX, SOCK_STREAM, 0) or exit 1;
    my $reached = connect($inside, $name);
    kill 9, getppid unless $reached;
    exit($reached ? 0 : 1);
}
PERL
test "$(su nobody -s /bin/sh -c 'id -un')" = nobody || fault "su"
if test -z "$TERMINAL"; then
    ! (: < /dev/tty) 2>/dev/null || fault "a controlling terminal"
fi
echo probed
