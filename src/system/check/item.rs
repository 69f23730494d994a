//! One line of the report: what was looked at, how it stands, and the cure.

use std::fmt;

use serde::Serialize;

/// How one thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As layerfs wants it.
    Ok,
    /// There, and with less than everything.
    Limited,
    /// Not there.
    Missing,
}

/// Whether layerfs can do its main jobs without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It can't.
    Main,
    /// Only some options want it.
    Some,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Item {
    /// What it is called.
    pub name: &'static str,
    /// How it stands.
    pub state: State,
    /// What was seen.
    pub detail: String,
    /// What to do; `None` where it is as it should be.
    pub cure: Option<String>,
    /// Whether the main jobs need it.
    pub needed: bool,
}

impl Item {
    /// A thing that is as it should be.
    pub fn ok(name: &'static str, need: Need, detail: impl Into<String>) -> Self {
        Item {
            name,
            state: State::Ok,
            detail: detail.into(),
            cure: None,
            needed: need == Need::Main,
        }
    }

    /// The same thing, less than it should be.
    pub fn limited(self, detail: impl Into<String>, cure: impl Into<String>) -> Self {
        Item { state: State::Limited, detail: detail.into(), cure: Some(cure.into()), ..self }
    }

    /// The same thing, not there.
    pub fn missing(self, detail: impl Into<String>, cure: impl Into<String>) -> Self {
        Item { state: State::Missing, detail: detail.into(), cure: Some(cure.into()), ..self }
    }

    /// Whether the main jobs fail for it.
    pub fn is_fatal(&self) -> bool {
        self.needed && self.state == State::Missing
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Ok => "ok",
            State::Limited => "limited",
            State::Missing => "missing",
        };
        write!(f, "{state:<8} {:<18} {}", self.name, self.detail)?;
        match &self.cure {
            Some(cure) => write!(f, "; cure: {cure}"),
            None => Ok(()),
        }
    }
}
