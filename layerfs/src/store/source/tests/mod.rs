//! Sources as a whole: what is found in hand-written layouts and archives, and what is refused.

mod archives;
mod choice;
mod hostile;
mod layouts;
mod tools;
