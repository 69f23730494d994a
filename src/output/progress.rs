//! How an import is told: a bar for each layer on a terminal that can move its cursor, lines elsewhere, nothing when
//! asked to be quiet. An export has no lines: it is told on terminals only, as docker tells it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use layerfs_driver::store::digest::Digest;
use layerfs_driver::store::{LayerOutcome, Progress};

use super::message;
use super::size::{Digits, human};

/// Whether progress is shown at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// In the form that fits standard error.
    Progress,
    /// Nothing: `--quiet`.
    Nothing,
}

/// What a layer is called in its line.
#[derive(Clone, Debug)]
pub enum Called {
    /// By the beginning of its diff id.
    DiffId,
    /// By the words for where it comes from: its diff id is not known before all of it is read.
    Origin(String),
}

impl Called {
    fn name(&self, layer: &Digest) -> String {
        match self {
            Called::DiffId => layer.short().to_string(),
            Called::Origin(words) => words.clone(),
        }
    }
}

/// The progress of one import, on standard error.
pub fn of_import(show: Show, called: Called) -> Box<dyn Progress> {
    match show {
        Show::Nothing => Box::new(Silent),
        Show::Progress => match ProgressDrawTarget::stderr() {
            hidden if hidden.is_hidden() => Box::new(Lines { called }),
            terminal => Box::new(Bars::new(called, terminal)),
        },
    }
}

/// The progress of one export, on standard error where that is a terminal.
pub fn of_export(show: Show) -> Box<dyn Progress> {
    let target = ProgressDrawTarget::stderr();
    match show {
        Show::Progress if !target.is_hidden() => Box::new(Bars::new(Called::DiffId, target)),
        Show::Progress | Show::Nothing => Box::new(Silent),
    }
}

struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &Digest, _: Option<u64>) {}
    fn advance(&self, _: &Digest, _: u64) {}
    fn end(&self, _: &Digest, _: LayerOutcome) {}
}

/// One line when a layer is begun, one when it is done: for logs. A layer that is here has only the second.
struct Lines {
    called: Called,
}

impl Progress for Lines {
    fn begin(&self, layer: &Digest, stored_bytes: Option<u64>) {
        let name = self.called.name(layer);
        tell(&match stored_bytes {
            Some(bytes) => format!("{name}: importing {}", human(bytes, Digits::Three)),
            None => format!("{name}: importing"),
        });
    }

    fn advance(&self, _: &Digest, _: u64) {}

    fn end(&self, layer: &Digest, outcome: LayerOutcome) {
        tell(&format!("{}: {}", self.called.name(layer), words_of(outcome)));
    }
}

fn tell(text: &str) {
    message::show(&format!("{text}\n"));
}

fn words_of(outcome: LayerOutcome) -> &'static str {
    match outcome {
        LayerOutcome::Imported => "imported",
        LayerOutcome::AlreadyHere => "already here",
        LayerOutcome::Written => "written",
    }
}

/// One bar for each layer. What is left of them is cleared at the end, so that the next line stands alone.
struct Bars {
    /// Never changes.
    called: Called,
    all: MultiProgress,
    /// Guarded by the lock: the bars of the layers that are begun.
    of_layer: Mutex<HashMap<Digest, ProgressBar>>,
}

impl Bars {
    fn new(called: Called, terminal: ProgressDrawTarget) -> Self {
        let all = MultiProgress::with_draw_target(terminal);
        Bars { called, all, of_layer: Mutex::new(HashMap::new()) }
    }

    /// The layer's bar. A thread that panicked under the lock left nothing half-done in the map.
    fn bar(&self, layer: &Digest) -> ProgressBar {
        let mut bars = self.of_layer.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || {
            let bar = self.all.add(ProgressBar::new_spinner().with_prefix(self.called.name(layer)));
            bar.with_style(style(SPINNER))
        };
        bars.entry(*layer).or_insert_with(fresh).clone()
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        if self.all.clear().is_err() {
            tracing::trace!("standard error is closed");
        }
    }
}

impl Progress for Bars {
    fn begin(&self, layer: &Digest, stored_bytes: Option<u64>) {
        let bar = self.bar(layer);
        if let Some(bytes) = stored_bytes {
            bar.set_length(bytes);
            bar.set_style(style(BAR));
        }
    }

    fn advance(&self, layer: &Digest, stored_bytes: u64) {
        self.bar(layer).inc(stored_bytes);
    }

    fn end(&self, layer: &Digest, outcome: LayerOutcome) {
        let bar = self.bar(layer);
        bar.set_style(style(DONE));
        bar.finish_with_message(words_of(outcome));
    }
}

const BAR: &str = "{prefix}: [{bar:40}] {decimal_bytes}/{decimal_total_bytes}";
const SPINNER: &str = "{prefix}: {decimal_bytes}";
const DONE: &str = "{prefix}: {msg}";

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_one_that_indicatif_reads() {
        for template in [BAR, SPINNER, DONE] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
