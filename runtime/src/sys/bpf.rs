//! Programs that the kernel runs before a group's processes open a device (`bpf(2)`).

use std::ffi::c_long;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{Errno, SysError, call, last_errno};

/// Commands, kinds and flags of `linux/bpf.h`.
const PROG_LOAD: c_long = 5;
const PROG_ATTACH: c_long = 8;
const CGROUP_DEVICE_PROGRAM: u32 = 15;
const CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;

/// So often the kernel is asked again that was interrupted while it looked a program through.
const TRIES: u32 = 5;

/// `struct bpf_insn` of `linux/bpf.h`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// The operation.
    pub code: u8,
    registers: u8,
    /// Of a jump how many instructions are passed over, of a read where in the context.
    pub offset: i16,
    /// The number that it works with.
    pub immediate: i32,
}

impl Instruction {
    /// What `code` does with the registers `to` and `from`.
    pub const fn new(code: u8, (to, from): (u8, u8), offset: i16, immediate: i32) -> Instruction {
        let registers = if cfg!(target_endian = "big") { to << 4 | from } else { from << 4 | to };
        Instruction { code, registers, offset, immediate }
    }
}

/// The part of `union bpf_attr` by which a program is loaded.
#[repr(C)]
struct Load {
    kind: u32,
    len: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_len: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

/// The part by which it is attached.
#[repr(C)]
struct Attach {
    group: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

/// Has the kernel look through a program that is asked before a process opens or makes a device: 1 in register 0 lets it.
pub fn load(instructions: &[Instruction]) -> Result<OwnedFd, SysError> {
    match load_once(instructions) {
        // Before Linux 5.11 programs count as locked memory of the user's.
        Err(error) if error.errno() == Errno::PERM => {
            let before = getrlimit(Resource::Memlock);
            let free = Rlimit { current: None, maximum: None };
            if setrlimit(Resource::Memlock, free).is_err() {
                return Err(error);
            }
            let loaded = load_once(instructions);
            let back = || setrlimit(Resource::Memlock, before);
            call("setrlimit", || "RLIMIT_MEMLOCK".into(), back)?;
            loaded
        }
        loaded => loaded,
    }
}

fn load_once(instructions: &[Instruction]) -> Result<OwnedFd, SysError> {
    let shown = || format!("BPF_PROG_LOAD, {} instructions", instructions.len());
    let Ok(len) = u32::try_from(instructions.len()) else {
        return Err(SysError::new("bpf", shown(), Errno::TOOBIG));
    };
    let license = c"n/a";
    let load = Load {
        kind: CGROUP_DEVICE_PROGRAM,
        len,
        instructions: instructions.as_ptr().addr() as u64,
        license: license.as_ptr().addr() as u64,
        log_level: 0,
        log_len: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
    };
    let mut tries = TRIES;
    loop {
        let loaded = call("bpf", shown, || {
            // SAFETY: the kernel reads the attributes, the instructions and the license, which outlive the call.
            let fd = unsafe {
                libc::syscall(libc::SYS_bpf, PROG_LOAD, &raw const load, size_of::<Load>())
            };
            match i32::try_from(fd) {
                // SAFETY: the kernel has made this descriptor for the call, and nobody else has it.
                Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
                _ => Err(last_errno()),
            }
        });
        tries -= 1;
        match loaded {
            Err(error) if error.errno() == Errno::AGAIN && tries > 0 => {}
            loaded => return loaded,
        }
    }
}

/// Has it asked for the processes in the version 2 group `dir` and in those below, as are those of groups above. It goes with the
/// group.
pub fn attach(dir: impl AsFd, program: &OwnedFd) -> Result<(), SysError> {
    let number = |fd: i32| u32::try_from(fd).unwrap_or(u32::MAX);
    let attach = Attach {
        group: number(dir.as_fd().as_raw_fd()),
        program: number(program.as_raw_fd()),
        kind: CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    call(
        "bpf",
        || "BPF_PROG_ATTACH, BPF_CGROUP_DEVICE".into(),
        || {
            // SAFETY: the kernel reads the attributes, which outlive the call, and takes the program by its own reference.
            let done = unsafe {
                libc::syscall(libc::SYS_bpf, PROG_ATTACH, &raw const attach, size_of::<Attach>())
            };
            if done == 0 { Ok(()) } else { Err(last_errno()) }
        },
    )
}
