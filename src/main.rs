//! The `layerfs` command: words in, words out. What it does lives in the packages below it.

mod called;
mod cli;
mod container;
mod image;
mod misunderstood;
mod mount;
mod output;
mod roots;
mod run;
mod session;
mod system;

fn main() -> std::process::ExitCode {
    run::run(called::own_words(std::env::args_os().collect()))
}
