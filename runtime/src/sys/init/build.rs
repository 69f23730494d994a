//! Makes the program of `program.rs`: it needs no library, so that it starts in any root.

use std::env;
use std::path::PathBuf;
use std::process::Command;

const PROGRAM: &str = "src/sys/init/program.rs";
const OPTIONS: [&str; 16] = [
    "--edition=2024",
    "--crate-type=bin",
    "--crate-name=layerfs_init",
    "-Copt-level=s",
    "-Cpanic=abort",
    "-Cdebuginfo=0",
    "-Cstrip=symbols",
    "-Crelocation-model=static",
    "-Coverflow-checks=off",
    "-Clink-arg=-nostartfiles",
    "-Clink-arg=-nostdlib",
    "-Clink-arg=-static",
    "-Clink-arg=-no-pie",
    "-Clink-arg=-Wl,--build-id=none",
    "-Clink-arg=-Wl,-z,noexecstack",
    "-Clink-arg=-Wl,-z,norelro",
];

#[allow(clippy::print_stdout)] // words for cargo
fn main() {
    println!("cargo::rerun-if-changed={PROGRAM}");
    let said = |name: &str| env::var(name).expect("cargo says it");
    if !["x86_64", "aarch64"].contains(&said("CARGO_CFG_TARGET_ARCH").as_str()) {
        return;
    }
    let made = PathBuf::from(said("OUT_DIR")).join("init");
    let mut compiler = Command::new(said("RUSTC"));
    compiler.args(OPTIONS).arg("--target").arg(said("TARGET")).arg("-o").arg(made).arg(PROGRAM);
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        compiler.arg(format!("-Clinker={linker}"));
    }
    let done = compiler.status().expect("the compiler that compiled this starts");
    assert!(done.success(), "{PROGRAM}: {done}");
}
