//! Filters of system calls (`seccomp(2)`).

use super::{Errno, SysError, call, last_errno};
use crate::seccomp::Instruction;

/// `SECCOMP_SET_MODE_FILTER` of `linux/seccomp.h`.
const SET_MODE_FILTER: libc::c_ulong = 1;

/// `struct sock_fprog` of `linux/filter.h`.
#[repr(C)]
struct Program {
    len: u16,
    instructions: *const Instruction,
}

/// Puts this process, and all programs that it becomes, under a filter, for good. It has forbidden itself new privileges, or may
/// do everything (CAP_SYS_ADMIN).
pub fn load(instructions: &[Instruction]) -> Result<(), SysError> {
    let shown = || format!("SECCOMP_SET_MODE_FILTER, {} instructions", instructions.len());
    let Ok(len) = u16::try_from(instructions.len()) else {
        return Err(SysError::new("seccomp", shown(), Errno::INVAL));
    };
    let program = Program { len, instructions: instructions.as_ptr() };
    call("seccomp", shown, || {
        // SAFETY: the kernel reads the program, and as many instructions as it says, which both outlive the call.
        let done =
            unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, 0, &raw const program) };
        if done == 0 { Ok(()) } else { Err(last_errno()) }
    })
}
