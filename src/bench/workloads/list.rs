//! Every workload, in the order of the report.

use super::change::{Chown, Remove, Rename};
use super::container::Container;
use super::copy_up::{Append, CopyUp, Size};
use super::create::{Create, Untar};
use super::depth::{Deed, Depth};
use super::import::Import;
use super::mount::Mount;
use super::parallel::Parallel;
use super::read::Read;
use super::software::{Dpkg, Git, Python};
use super::walk::{Tar, Walk};
use super::write::Write;
use crate::bench::stock::Stock;
use crate::bench::workload::{Start, Workload};

/// How many layers are stacked.
const DEPTHS: [u32; 4] = [1, 20, 100, 500];

/// Every workload.
pub fn all() -> Vec<Box<dyn Workload>> {
    let mut all: Vec<Box<dyn Workload>> = vec![
        Box::new(Walk(Start::Cold)),
        Box::new(Walk(Start::Warm)),
        Box::new(Tar(Start::Cold)),
        Box::new(Tar(Start::Warm)),
        Box::new(Read::Sequential),
        Box::new(Read::Random),
        Box::new(Write::Sequential),
        Box::new(Write::Random),
        Box::new(Create),
        Box::new(Untar),
        Box::new(Remove),
        Box::new(Chown),
        Box::new(CopyUp(Size::Small)),
        Box::new(CopyUp(Size::Middle)),
        Box::new(CopyUp(Size::Big)),
        Box::new(Append),
        Box::new(Rename),
        Box::new(Parallel),
        Box::new(Git),
        Box::new(Python(Start::Cold)),
        Box::new(Python(Start::Warm)),
        Box::new(Dpkg),
    ];
    for layers in DEPTHS {
        all.push(Box::new(Depth(layers, Deed::Walk)));
        all.push(Box::new(Depth(layers, Deed::Absent)));
    }
    all.push(Box::new(Import));
    for stock in [Stock::Tree, Stock::Program, Stock::Layers(100)] {
        all.push(Box::new(Mount(stock)));
    }
    all.push(Box::new(Container::Alone));
    all.push(Box::new(Container::Bridged));
    all
}

/// The names that the user's words mean: a name, or the first words of several. An error is the word that means none.
pub fn chosen(words: &[String]) -> Result<Vec<String>, String> {
    let names: Vec<String> = all().iter().map(|workload| workload.name()).collect();
    let is_meant = |name: &str, word: &str| {
        name.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    if let Some(strange) = words.iter().find(|word| !names.iter().any(|name| is_meant(name, word)))
    {
        return Err(strange.clone());
    }
    let is_asked =
        |name: &String| words.is_empty() || words.iter().any(|word| is_meant(name, word));
    Ok(names.into_iter().filter(is_asked).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_means_one_workload_or_all_that_begin_with_it() {
        let chosen =
            |words: &[&str]| chosen(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_eq!(chosen(&["walk"]).unwrap(), ["walk-cold", "walk-warm"]);
        assert_eq!(chosen(&["remove", "walk-warm"]).unwrap(), ["walk-warm", "remove"]);
        assert_eq!(chosen(&["wal"]).unwrap_err(), "wal");
        assert_eq!(chosen(&[]).unwrap().len(), all().len());
    }

    #[test]
    fn no_two_workloads_have_one_name() {
        let names: std::collections::BTreeSet<String> = all().iter().map(|w| w.name()).collect();
        assert_eq!(names.len(), all().len());
    }
}
