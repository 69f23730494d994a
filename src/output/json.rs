//! JSON results: one array, one object a row, indented. `docs/json.md` lists the keys.

use anyhow::{Context, Result};
use serde::Serialize;

/// The array as text, without a line end.
pub fn array<T: Serialize>(rows: &[T]) -> Result<String> {
    serde_json::to_string_pretty(rows).context("write the results as JSON")
}
