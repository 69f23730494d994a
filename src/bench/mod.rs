//! `layerfs bench`: named workloads on layerfs and on what it is measured beside, side by side on one disk.
//!
//! The command keeps the words, the figures and the report; the keeper, process 1 of namespaces of its own, sees that all
//! ends with it; the lab below it makes the disk and measures; each step of it is a process that can be ended alone.

mod contender;
mod disk;
mod figures;
mod lab;
mod layout;
mod machine;
mod measure;
mod programs;
mod report;
mod requests;
mod scale;
mod serving;
mod step;
mod stock;
mod tell;
mod tree;
pub mod verb;
mod watch;
mod workload;
mod workloads;
