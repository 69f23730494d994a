//! The program that is a container's first process with `--init`: it hands signals on to the container's program, takes
//! away what has ended, and ends as the program does.
//!
//! It stands alone: no library, no allocation, no file is needed where it runs, and it holds no descriptor. Its one word is
//! the number of the program, a child of its own that was there before it began.

#![no_std]
#![no_main]

use core::arch::{asm, global_asm};

#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "mov rdi, rsp", "and rsp, -16", "call {begin}", "ud2", begin = sym begin);
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x0, sp", "bl {begin}", "brk 1", begin = sym begin);

/// Numbers of system calls.
#[cfg(target_arch = "x86_64")]
mod number {
    pub const PROCMASK: usize = 14;
    pub const WAIT: usize = 61;
    pub const KILL: usize = 62;
    pub const SIGTIMEDWAIT: usize = 128;
    pub const PRCTL: usize = 157;
    pub const EXIT: usize = 231;
    pub const CLOSE_RANGE: usize = 436;
}
#[cfg(target_arch = "aarch64")]
mod number {
    pub const PROCMASK: usize = 135;
    pub const WAIT: usize = 260;
    pub const KILL: usize = 129;
    pub const SIGTIMEDWAIT: usize = 137;
    pub const PRCTL: usize = 167;
    pub const EXIT: usize = 94;
    pub const CLOSE_RANGE: usize = 436;
}

/// Bytes of a set of signals.
const SET_LEN: usize = 8;
static ALL_SIGNALS: u64 = !0;
const SET_MASK: usize = 2;

const CHILD_ENDED: isize = 17;
/// From the terminal, to stop who has it or wants it: the kernel tells the program itself.
const STOPS: [isize; 3] = [20, 21, 22];

const SET_NAME: usize = 15;
const NAME: &[u8; 13] = b"layerfs-init\0";

const INTERRUPTED: isize = -4;
const AGAIN: isize = -11;
const NONE_ENDED: isize = 0;
const ANY_CHILD: usize = usize::MAX;
const NO_WAIT: usize = 1;

/// What a container ends with that could not be made or watched.
const LOST: usize = 125;

#[cfg(target_arch = "x86_64")]
fn call(number: usize, [a, b, c, d]: [usize; 4]) -> isize {
    let answer: isize;
    // SAFETY: the numbers that this file gives are those of calls that write to places of ours alone.
    unsafe {
        asm!("syscall", inlateout("rax") number => answer, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    answer
}

#[cfg(target_arch = "aarch64")]
fn call(number: usize, [a, b, c, d]: [usize; 4]) -> isize {
    let answer: isize;
    // SAFETY: as above.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a => answer, in("x1") b, in("x2") c, in("x3") d, options(nostack));
    }
    answer
}

fn exit(status: usize) -> ! {
    loop {
        call(number::EXIT, [status, 0, 0, 0]);
    }
}

/// `stack` is as the kernel leaves it: how many words there are, then the words.
extern "C" fn begin(stack: *const usize) -> ! {
    // SAFETY: the kernel has put them there; absent words are null.
    let word = unsafe { *stack.add(2) } as *const u8;
    let program = read(word);
    call(number::CLOSE_RANGE, [0, u32::MAX as usize, 0, 0]);
    call(number::PRCTL, [SET_NAME, NAME.as_ptr() as usize, 0, 0]);
    let all = &raw const ALL_SIGNALS as usize;
    call(number::PROCMASK, [SET_MASK, all, 0, SET_LEN]);
    loop {
        // Before the first signal, too: one that told of an end may have come before it was waited for.
        reap(program, NO_WAIT);
        match call(number::SIGTIMEDWAIT, [all, 0, 0, SET_LEN]) {
            CHILD_ENDED | INTERRUPTED | AGAIN => {}
            signal if STOPS.contains(&signal) => {}
            signal if signal > 0 => {
                call(number::KILL, [program as usize, signal as usize, 0, 0]);
            }
            // A filter of system calls forbids it: the end of the program is told still, or this is the end, too.
            _ => reap(program, 0),
        }
    }
}

/// Takes away what has ended, and ends with the program.
fn reap(program: isize, options: usize) {
    loop {
        let mut status = 0_u32;
        let place = &raw mut status as usize;
        match call(number::WAIT, [ANY_CHILD, place, options, 0]) {
            NONE_ENDED => return,
            INTERRUPTED => {}
            // SAFETY: a place of this function's.
            pid if pid == program => exit(code(unsafe { (&raw const status).read_volatile() })),
            pid if pid > 0 => {}
            // There is none, or a filter of system calls forbids to hear of it: who waits for this one would wait for ever.
            _ => exit(LOST),
        }
    }
}

/// As a shell tells it: a signal is 128 and its number.
fn code(status: u32) -> usize {
    match status & 0x7f {
        0 => (status >> 8 & 0xff) as usize,
        signal => 128 + signal as usize,
    }
}

/// A number without sign; -1, which is no process, where there is none.
fn read(word: *const u8) -> isize {
    if word.is_null() {
        return -1;
    }
    let (mut number, mut at) = (0, word);
    loop {
        // SAFETY: a word of ours, which ends with a zero that is not passed over.
        match unsafe { *at } {
            digit @ b'0'..=b'9' => number = number * 10 + (digit - b'0') as isize,
            _ => return number,
        }
        // SAFETY: what was there was not the end.
        at = unsafe { at.add(1) };
    }
}

#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(LOST)
}
