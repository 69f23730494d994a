//! The command as users meet it: words, results, messages, exit statuses.

#![allow(clippy::panic, reason = "a test that can't go on says so and stops")]

mod support;

#[path = "cli/containers.rs"]
mod containers;
#[path = "cli/damage.rs"]
mod damage;
#[path = "cli/disk.rs"]
mod disk;
#[path = "cli/documented.rs"]
mod documented;
#[path = "cli/filters.rs"]
mod filters;
#[path = "cli/found.rs"]
mod found;
#[path = "cli/images.rs"]
mod images;
#[path = "cli/layout.rs"]
mod layout;
#[path = "cli/owned.rs"]
mod owned;
#[path = "cli/place.rs"]
mod place;
#[path = "cli/pruned.rs"]
mod pruned;
#[path = "cli/removal.rs"]
mod removal;
#[path = "cli/sources.rs"]
mod sources;
#[path = "cli/strangers.rs"]
mod strangers;
#[path = "cli/system.rs"]
mod system;
#[path = "cli/terminal.rs"]
mod terminal;
#[path = "cli/words.rs"]
mod words;
