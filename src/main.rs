//! The `layerfs` command: words in, words out. What it does lives in the packages below it.

mod bench;
mod booleans;
mod called;
mod changes;
mod cli;
mod container;
mod filters;
mod image;
mod misunderstood;
mod mount;
mod nested;
mod output;
mod owner;
mod roots;
mod run;
mod session;
mod system;
mod upper;

fn main() -> std::process::ExitCode {
    let words = booleans::plain(nested::flat(std::env::args_os().collect()));
    match called::help(&words) {
        Some(text) => run::print(&text),
        None => {
            let (words, caller) = called::own_words(words);
            run::run(&words, caller)
        }
    }
}
